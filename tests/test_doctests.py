"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import shiftvit_utils

# They pass under every backend, but compiling their one-off shapes takes JAX a minute.
pytestmark = pytest.mark.backend_free

MODULES = [
    f"shiftvit_utils.{module.name}" for module in pkgutil.iter_modules(shiftvit_utils.__path__)
]


def public_names(module):
    """What this module gives to `import shiftvit_utils`."""
    return [
        name
        for name in shiftvit_utils.__all__
        if getattr(getattr(shiftvit_utils, name), "__module__", None) == module.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
    if public_names(module):
        assert results.attempted > 0, f"{public_names(module)} without one example"


def test_every_public_name_comes_from_one_of_these_modules():
    constants = {"PRESETS", "RECIPES"}
    found = {name for module in MODULES for name in public_names(importlib.import_module(module))}
    assert found == set(shiftvit_utils.__all__) - constants
