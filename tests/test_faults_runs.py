"""Runs that are killed, or whose disk fails, end with every epoch; what was saved before stays.

A share of what `python benchmarks/faults.py` does. `test_resume` has kills at chosen places.
"""

import os

import pytest
from bad_disks import can_mount, obey_permissions, small_disk
from fault_runs import disks, kills_at_random_moments, saves_that_do_not_fit, uninterrupted
from fault_tries import losses
from tiny_run import prepared, process_maker

from shiftvit_utils.saving import written_beside

# The processes that save and die are the same on every backend; `test_resume` runs on each.
pytestmark = [pytest.mark.training, pytest.mark.backend_free]

KILLS = 3
WAYS = ("full disk" if can_mount() else "limit of the size of a file", "read-only folder")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with prepared(tmp_path_factory.mktemp("data")) as path:
        yield path


@pytest.fixture(scope="module")
def baseline(data, tmp_path_factory):
    return uninterrupted(data, tmp_path_factory.mktemp("baseline"))


def test_killed_anywhere(data, baseline, tmp_path):
    tries = list(kills_at_random_moments(data, tmp_path, KILLS, baseline, seed=1))
    assert len(tries) == KILLS
    assert losses(tries) == []


def test_a_disk_that_fails_while_training(data, baseline, tmp_path):
    tries = list(disks(data, tmp_path, WAYS, [1], baseline))
    assert [one.kind for one in tries] == list(WAYS)
    assert losses(tries) == []


def test_files_that_do_not_fit(tmp_path):
    tries = list(saves_that_do_not_fit(tmp_path, limit=True))
    assert len(tries) > 15
    assert losses(tries) == []
    if can_mount():
        with small_disk(tmp_path / "disk", 2**21) as disk:
            tries = list(saves_that_do_not_fit(disk, limit=False))
        assert len(tries) > 15
        assert losses(tries) == []


def write_read_only(folder, told):
    obey_permissions()
    try:
        with written_beside(folder / "a.txt") as partial:
            partial.write_text("new")
    except OSError as error:
        told.put(str(error))
    else:
        told.put("written")


def test_a_read_only_folder_is_named_and_its_files_stay(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    os.chmod(tmp_path, 0o555)
    context = process_maker()
    told = context.SimpleQueue()
    process = context.Process(target=write_read_only, args=(tmp_path, told))
    process.start()
    process.join(120)
    os.chmod(tmp_path, 0o755)
    message = told.get()
    assert "Could not write a.txt (Permission denied)" in message
    assert "untouched" in message
    assert (tmp_path / "a.txt").read_text() == "old"
