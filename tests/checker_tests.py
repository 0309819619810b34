"""What every checker of an exercise must do, as tests to be made from a table of right answers."""

import numpy as np
import pytest

GARBAGE = [
    None, "text", [], {}, np.nan, object(), lambda: 1, lambda *_: None, lambda *_: "text",
    lambda *_: np.nan, lambda *_: np.zeros((2, 2)), lambda *_: {}["none"], lambda x, *_: x,
]  # fmt: skip


def not_yet(*_):
    raise NotImplementedError


def each_checker(right):
    return pytest.mark.parametrize("checker", right, ids=lambda checker: checker.__name__)


def right_answers_pass(right):
    """A test that every checker takes its right answer. `right` is a dict from one to the other."""

    @each_checker(right)
    def test(checker, capsys):
        assert checker(right[checker])
        assert capsys.readouterr().out.startswith("✓")

    return test


def stubs_are_not_written_yet(right):
    """A test that every checker knows the stub that stands in the notebook."""

    @each_checker(right)
    def test(checker, capsys):
        assert not checker(not_yet if callable(right[checker]) else ...)
        assert "not written yet" in capsys.readouterr().out

    return test


def garbage_is_answered_with_one_sentence(right, more=()):
    """A test that no checker crashes or is silent, whatever the learner gives it."""

    @each_checker(right)
    @pytest.mark.parametrize("garbage", [*GARBAGE, *more], ids=lambda g: type(g).__name__)
    def test(checker, garbage, capsys):
        assert not checker(garbage)
        line = capsys.readouterr().out
        assert line.startswith("✗")
        assert line.count("\n") == 1

    return test
