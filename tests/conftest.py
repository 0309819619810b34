"""What every test shares: a backend, a seed, and the rule that turns skips into failures.

With `SHIFTVIT_NO_SKIPS=1`, as in continuous integration, a test or a whole module that skips
itself fails, so that nothing goes untested unnoticed. Only tests marked `hardware("what")` may
still be skipped: they need a device that the machine does not have.
"""

import os
import re

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

NO_SKIPS = os.environ.get("SHIFTVIT_NO_SKIPS") == "1"
SEED = 2201


def pytest_report_header():
    return f"keras backend: {os.environ['KERAS_BACKEND']}; skips {'fail' if NO_SKIPS else 'pass'}"


def pytest_ignore_collect(collection_path, config):
    """Does not import, for a lane that leaves it out, a module of which nothing would be run."""
    if "not backend_free" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return bool(re.search(r"^pytestmark = .*\bbackend_free\b", text, re.MULTILINE)) or None


@pytest.fixture(autouse=True)
def keras_seed(request):
    """Starts every test from one seed and leaves no Keras state behind.

    Tests marked `backend_free` are spared the import of Keras.
    """
    if request.node.get_closest_marker("backend_free"):
        yield
        return
    import keras

    keras.utils.set_random_seed(SEED)
    yield
    # Collecting garbage after each of many small tests takes longer than the tests.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, one for each module of tests."""
    from explorer_page import chromium  # not at the top: few tests need it

    with chromium() as started:
        yield started


def fail_if_skipped(report):
    # An expected failure also reports "skipped"; it ran, and it is meant.
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Skips are failures under SHIFTVIT_NO_SKIPS=1. {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    return report if item.get_closest_marker("hardware") else fail_if_skipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return fail_if_skipped((yield))
