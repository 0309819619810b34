"""CIFAR-10 is trained on as published or not at all, whatever network or disk make of it."""

import socket

import pytest
from fault_downloads import archive_bytes, damaged_copies, serving, spoiled_downloads
from fault_tries import losses

from shiftvit_utils import cifar10
from shiftvit_utils.cifar10 import load_cifar10

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def content():
    return archive_bytes()


def test_spoiled_downloads_are_named_and_never_read(tmp_path, content):
    """Through Keras's own download, from a server on this machine; afterwards, a good one works."""
    wanted = ("shorter than announced", "server falls silent", "503", "one bit wrong")
    tries = list(spoiled_downloads(tmp_path, content, wanted))
    assert [one.what for one in tries] == list(wanted)
    assert losses(tries) == []


def test_damaged_copies_are_named_and_never_passed_over(tmp_path, content):
    """A good one could be downloaded all the while."""
    wanted = ("cut off", "one pixel wrong")
    tries = list(damaged_copies(tmp_path, content, wanted))
    assert [one.what for one in tries] == [
        "archive, cut off",
        "batch, one pixel wrong",
        "batch, cut off",
    ]
    assert losses(tries) == []


def test_patience_with_a_silent_server_ends_and_is_this_downloads_only(tmp_path):
    assert cifar10._STALLED_SECONDS == 60
    socket.setdefaulttimeout(7.0)
    try:
        with serving(tmp_path) as server:
            server.content, server.behave = b"half", "silent"
            with pytest.raises(FileNotFoundError, match="timed out"):
                load_cifar10()
        assert socket.getdefaulttimeout() == 7.0
    finally:
        socket.setdefaulttimeout(None)
