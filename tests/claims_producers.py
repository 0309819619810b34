"""What produces a number: a result, a cell, a test, arithmetic. Each gives the numbers it holds."""

import ast
import csv
import functools
import json
import math
import operator
import re
import statistics
from pathlib import PurePath

from claims_numbers import numbers_in

SOURCE = re.compile(r"source: (arXiv \d{4}\.\d{4,5}|https?://\S+|\S[^,]*, \d{4})")
# Texts of megabytes, which many rows name.
read_json = functools.cache(json.loads)
parse = functools.cache(ast.parse)


class NotProvenError(Exception):
    """A row's producer is missing, or does not hold what the row says."""


def leaves(value, batch_size=None):
    """The numbers of a JSON value. A list of measurements counts by median, lowest and highest.

    Seconds of training and inference steps also count as images per second.
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    if isinstance(value, list):
        if value and all(isinstance(x, int | float) for x in value):
            return [statistics.median(value), min(value), max(value)]
        return [x for item in value for x in leaves(item)]
    found = [x for item in value.values() for x in leaves(item)]
    for kind in ("steps", "inference") if batch_size else ():
        speeds = [batch_size / seconds for seconds in value.get(kind, ())]
        found += [statistics.median(speeds), min(speeds), max(speeds)] if speeds else []
    return found


def from_result(path, key, files):
    """Numbers under a dotted key of a JSON file in `benchmarks/results`; `history.-1` is a row."""
    whole = value = read_json(files[path])
    for name in key.split(".") if key else ():
        try:
            value = value[int(name) if isinstance(value, list) else name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise NotProvenError(f"{path} has no key {key}") from None
    return leaves(value, whole.get("batch_size") if isinstance(whole, dict) else None)


def from_table(path, name, files):
    """Numbers of the rows of a CSV file in `benchmarks/results` whose first cell is `name`."""
    rows = [row for row in csv.reader(files[path].splitlines()) if row and row[0] == name]
    if not rows:
        raise NotProvenError(f"{path} has no row {name}")
    return [number for row in rows for cell in row[1:] for number in numbers_in(cell)]


def literals(*nodes):
    """Every number in pieces of syntax tree."""
    constants = (n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant))
    return [
        number
        for value in constants
        if not isinstance(value, bool)
        for number in ([float(value)] if isinstance(value, int | float) else [])
        + (numbers_in(value) if isinstance(value, str) else [])
    ]


def from_cell(path, cell_id, files):
    """Numbers that a code cell printed or asserts; after ` (input)`, those that it sets."""
    cell_id, _, is_input = cell_id.partition(" ")
    if is_input not in ("", "(input)"):
        raise NotProvenError(f"{is_input!r} is not known; write #{cell_id} or #{cell_id} (input)")
    cells = [c for c in read_json(files[path])["cells"] if c.get("id") == cell_id]
    if not cells or cells[0]["cell_type"] != "code":
        raise NotProvenError(f"{path} has no code cell {cell_id}")
    source = "".join(cells[0]["source"])
    python = "\n".join(
        "pass" if line.startswith(("%", "!")) else line for line in source.split("\n")
    )
    tree = ast.parse(python)
    if is_input:
        return literals(tree)
    printed = []
    for output in cells[0]["outputs"]:
        data = output.get("data", {})
        printed += ["".join(output.get("text", "")), "".join(data.get("text/plain", ""))]
    found = numbers_in("\n".join(printed))
    return found + literals(*(n for n in ast.walk(tree) if isinstance(n, ast.Assert)))


def from_test(path, name, files):
    """Numbers in a test, its decorators, and the constants of its module that it names.

    `name` is `test_x`, `TestClass::test_x`, or a constant of a module, whose value is taken.
    """
    module = body = parse(files[path]).body
    *classes, last = name.split("::")
    for class_name in classes:
        body = [
            n for c in body if isinstance(c, ast.ClassDef) and c.name == class_name for n in c.body
        ]
    constants = {
        target.id: node
        for node in module
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    if not path.startswith("tests/test_") and last in constants:
        return literals(constants[last].value)
    tests = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == last]
    if not tests or not last.startswith("test_"):
        raise NotProvenError(f"{path} has no test {name}")
    used = {node.id for node in ast.walk(tests[0]) if isinstance(node, ast.Name)}
    return literals(tests[0], *(node for key, node in constants.items() if key in used))


OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
FUNCTIONS = {"sqrt": math.sqrt, "exp": math.exp, "erf": math.erf, "log": math.log, "cos": math.cos}


def calculate(node):
    """The value of a syntax tree of plain arithmetic."""
    if isinstance(node, ast.Expression):
        return calculate(node.body)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](calculate(node.left), calculate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -calculate(node.operand)
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) in FUNCTIONS:
        return FUNCTIONS[node.func.id](*map(calculate, node.args))
    raise NotProvenError(
        f"{ast.unparse(node)!r} is not plain arithmetic with {', '.join(FUNCTIONS)}"
    )


def from_arithmetic(expressions):
    """Values and terms of `a; b; c`: what stands in a calculation by hand is proven by it too."""
    try:
        trees = [
            ast.parse(expression.strip(), mode="eval") for expression in expressions.split(";")
        ]
    except SyntaxError as error:
        raise NotProvenError(f"{expressions!r} is no arithmetic") from error
    if any(isinstance(tree.body, ast.Constant) for tree in trees):
        raise NotProvenError("a number alone proves nothing; write the calculation that gives it")
    return [float(calculate(tree)) for tree in trees] + literals(*trees)


def produced(producer, files):
    """Every number that a producer holds; None where it lies outside this repository.

    Raises:
        NotProvenError: there is no such producer.
    """
    if producer.startswith("= "):
        return from_arithmetic(producer.removeprefix("= "))
    if producer.startswith("source: "):
        if not SOURCE.match(producer):
            raise NotProvenError(
                "a source is `source: arXiv NNNN.NNNNN, where`, `source: https://...` or "
                "`source: author, year`"
            )
        return None
    if producer.startswith(("open: ", "given: ")):
        return None
    path, _, name = producer.partition("::" if "::" in producer else "#")
    if path not in files:
        raise NotProvenError(f"{path!r} is no test, notebook or result of this repository")
    if path.endswith(".py"):
        return from_test(path, name, files)
    readers = {".ipynb": from_cell, ".csv": from_table, ".json": from_result}
    return readers[PurePath(path).suffix](path, name, files)
