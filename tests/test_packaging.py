"""The packaging files agree with each other, and the commands around them do what they say."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CI_EXTRAS = ["tensorflow", "jax", "torch", "notebooks", "demo", "export", "test"]
CONDA_EXTRAS = ["tensorflow", "notebooks", "animations", "test"]
# For a pytest of a few small tests, which starts sooner than the plugins that it does not need.
NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def capture(command, cwd=ROOT, **environment):
    """Runs `command` in this environment plus `environment`; returns its code and its output."""
    # A make above this one must not steer the make below.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def bounds(requirements):
    """Merges requirement strings into {canonical name: bounds}."""
    merged = {}
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        merged[name] = merged.get(name, SpecifierSet()) & requirement.specifier
    return merged


def project_bounds(extras):
    return bounds(PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]])


def constraint_lines():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins():
    pairs = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def repository_files():
    """Every file that is, or is about to be, tracked by git."""
    listing = capture(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


# pyproject.toml, constraints.txt, environment.yml


def environment_yml():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_conda = [line for line in dependencies if isinstance(line, str)]
    (from_pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return from_conda, from_pip


def test_environment_yml_has_the_names_and_bounds_of_pyproject():
    _, from_pip = environment_yml()
    assert from_pip[-1] == "-e ."
    assert bounds(from_pip[:-1]) == project_bounds(CONDA_EXTRAS)


def test_environment_yml_has_the_python_bounds_of_pyproject():
    from_conda, _ = environment_yml()
    (python,) = [line for line in from_conda if line.startswith("python ")]
    assert SpecifierSet(python.removeprefix("python ")) == SpecifierSet(PROJECT["requires-python"])


def test_binder_installs_the_lists_of_pyproject_at_the_versions_of_ci():
    binder = ROOT / ".binder"
    lines = (binder / "requirements.txt").read_text().splitlines()
    options = [line.split() for line in lines if not line.startswith("#")]
    (constraint,) = [value for option, value in options if option == "-c"]
    assert (binder / constraint).resolve() == ROOT / "constraints.txt"
    (course,) = [Requirement(f"shiftvit-utils{value[1:]}") for o, value in options if o == "-e"]
    assert course.extras == {"tensorflow", "notebooks"}, "no more than the notebooks need"
    assert course.extras <= EXTRAS.keys()

    # What repo2docker finds beside these would be installed too, or instead.
    assert {path.name for path in binder.iterdir()} == {"requirements.txt", "runtime.txt"}
    python = (binder / "runtime.txt").read_text().strip().removeprefix("python-")
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_constraints_are_names_and_public_versions_only():
    for line in constraint_lines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.!]*", line), line
    assert len(pins()) == len(constraint_lines()), "a package is pinned twice"


@pytest.mark.parametrize("extra", CI_EXTRAS)
def test_constraints_pin_every_direct_dependency_of_ci(extra):
    assert project_bounds([extra]).keys() <= pins().keys()


@pytest.mark.parametrize("extra", EXTRAS)
def test_constraints_allow_every_extra(extra):
    for name, bound in project_bounds([extra]).items():
        if name in pins():
            assert pins()[name] in bound, f"{name}: {pins()[name]} is not {bound}"


def test_no_pin_leaves_out_a_python_that_the_project_supports():
    checked = set()
    for installed in distributions():
        name = canonicalize_name(installed.name)
        if pins().get(name) == Version(Version(installed.version).public):
            checked.add(name)
            supported = SpecifierSet(installed.metadata.get("Requires-Python", ""))
            for python in ("3.11.0", "3.12.0", "3.13.0"):
                assert python in supported, f"{name} {installed.version} needs Python {supported}"
    assert checked, "no installed package has its pinned version: run make test"


def test_the_wheel_holds_the_library_its_weights_and_the_license(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    library = tmp_path / "shiftvit_utils"
    shutil.copytree(ROOT / "shiftvit_utils", library, ignore=shutil.ignore_patterns("__pycache__"))
    (library / "weights").mkdir(exist_ok=True)
    (library / "weights" / "sentinel.keras").touch()

    # TensorFlow depends on setuptools, so the backend is there: no build isolation, no network.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, tmp_path], check=True)

    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {str(p.relative_to(tmp_path)) for p in library.rglob("*") if p.is_file()}
    assert any(name.endswith("/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


# What no file in the repository may say


def test_no_file_names_a_package_registry_or_this_machine():
    hosts = (
        ("py", "pi", r"\.org"),
        ("python", "hosted", r"\.org"),
        ("npm", "js", r"\.(org|com)"),
        ("ana", "conda", r"\.org"),
        ("download", r"\.py", r"torch\.org"),
        ("deb", r"\.debian", r"\.org"),
    )
    forbidden = re.compile("|".join(["".join(host) for host in hosts] + [re.escape(f"{ROOT}/")]))
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in repository_files()
        if (match := forbidden.search(path.read_bytes().decode("utf-8", errors="ignore")))
    ]
    assert not found


# Makefile


def make(*arguments, **environment):
    return capture(["make", "--no-print-directory", *arguments], **environment)


def documented_targets():
    listing = make("help")
    assert listing.returncode == 0, listing.stderr
    return re.findall(r"^  make (\S+)", listing.stdout, flags=re.MULTILINE)


def test_make_alone_lists_the_targets():
    assert make().stdout == make("help").stdout
    assert {"venv", "train", "test", "lint", "clean"} <= set(documented_targets())


def test_every_documented_target_is_a_phony_one_that_make_can_plan():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(documented_targets()) == set(phony.group(1).split())
    for target in documented_targets():
        plan = make("--dry-run", target)
        assert plan.returncode == 0, f"{target}: {plan.stderr}"


def test_venv_takes_the_first_python_that_is_new_enough(tmp_path):
    executable(tmp_path / "python3", "exit 1  # as a Python 3.10 would")
    executable(
        tmp_path / "python3.13",
        'case "$1" in -c) exit 0 ;; --version) echo Python 3.13 ;; *) echo "made with $*" ;; esac',
    )
    venv = tmp_path / "venv"
    result = make(f"{venv}/bin/pip", f"VENV={venv}", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert f"made with -m venv {venv}" in result.stdout


def test_venv_says_which_python_is_wanted_when_there_is_none(tmp_path):
    old = executable(tmp_path / "python3.10", "exit 1")
    venv = tmp_path / "venv"
    result = make("venv", f"VENV={venv}", f"PYTHON={old}")
    assert result.returncode != 0
    assert "no Python 3.11, 3.12 or 3.13" in result.stderr
    assert str(old) in result.stderr
    assert not venv.exists()


# run_lanes.py


def run_lanes(*arguments, **environment):
    return capture([sys.executable, "tests/run_lanes.py", *arguments], **environment)


def test_a_lane_that_ran_no_test_has_failed():
    # The plugin is what reads the setting `timeout` of pyproject.toml.
    arguments = "-p pytest_timeout tests/test_packaging.py -k no_such_test"
    result = run_lanes("tensorflow", PYTEST_ARGS=arguments, **NO_PLUGINS)
    assert result.returncode == 1
    assert re.search(r"^tensorflow +failed: no test ran", result.stdout, flags=re.MULTILINE)


def test_an_unknown_lane_is_an_error_that_lists_the_lanes():
    result = run_lanes("theano")
    assert result.returncode == 2
    assert "no lane theano; choose from lint, reference, tensorflow, jax, torch" in result.stderr


# .ci/run


@pytest.fixture
def ci_run(tmp_path):
    """Runs `.ci/run` with every package installed and a `make` that only records its call."""

    def run(make_exit):
        executable(tmp_path / "dpkg-query", "echo install ok installed")
        record = 'echo "make $* [$SHIFTVIT_NO_SKIPS] in $PWD"'
        executable(tmp_path / "make", f"{record}\nexit {make_exit}")
        path = f"{tmp_path}:{os.environ['PATH']}"
        return capture([ROOT / ".ci" / "run"], cwd=tmp_path, PATH=path)

    return run


def test_ci_calls_make_test_on_every_backend_with_skips_as_failures(ci_run):
    result = ci_run(make_exit=0)
    assert result.stdout.strip() == f"make test EXTRAS=torch,animations,demo,export [1] in {ROOT}"
    assert result.returncode == 0


def test_ci_fails_when_make_fails(ci_run):
    assert ci_run(make_exit=2).returncode == 2


# conftest.py

MARKERS = "[pytest]\nmarkers =\n    backend_free: x\n    hardware(what): x\n"
HEAD = "import pytest\npytestmark = pytest.mark.backend_free\n"


def run_pytest(folder, *sources, **environment):
    """Runs pytest on test modules beside a copy of the conftest.py of this folder."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "pytest.ini").write_text(MARKERS)
    for number, source in enumerate(sources):
        (folder / f"test_{number}.py").write_text(HEAD + source)
    command = [sys.executable, "-m", "pytest", "-rs", "--continue-on-collection-errors"]
    return capture(command, cwd=folder, **NO_PLUGINS, **environment)


def test_a_skip_passes_by_default_and_fails_in_ci(tmp_path):
    three_tests = """
@pytest.mark.skip(reason="reason 1")
def test_marked(): pass

def test_calls_skip(): pytest.skip("reason 2")

@pytest.fixture
def fixture(): pytest.skip("reason 3")
def test_fixture_skips(fixture): pass

def test_other(): pass
"""
    whole_module = "pytest.importorskip('a_module_that_no_one_has', reason='reason 4')\n"
    reasons = [f"reason {number}" for number in (1, 2, 3, 4)]

    allowed = run_pytest(tmp_path, three_tests, whole_module, SHIFTVIT_NO_SKIPS="")
    assert "= 1 passed, 4 skipped in " in allowed.stdout
    assert [r for r in reasons if r not in allowed.stdout] == []

    # A skip in a fixture or of a module is an error in pytest's words, and fails the run too.
    refused = run_pytest(tmp_path, three_tests, whole_module, SHIFTVIT_NO_SKIPS="1")
    assert refused.returncode == 1
    assert "= 1 failed, 1 passed, 3 errors in " in refused.stdout
    for reason in reasons:
        assert f"Skips are failures under SHIFTVIT_NO_SKIPS=1. Skipped: {reason}" in refused.stdout


def test_ci_still_allows_missing_hardware_and_expected_failures(tmp_path):
    source = """
@pytest.mark.hardware("a quantum computer")
def test_device(): pytest.skip("there is none")

@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert False
"""
    result = run_pytest(tmp_path, source, SHIFTVIT_NO_SKIPS="1")
    assert result.returncode == 0, result.stdout
    assert "= 1 skipped, 1 xfailed in " in result.stdout
