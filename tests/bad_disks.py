"""Disks that are full and folders that are read-only, from the kernel itself; no tests in here.

A file system of a few megabytes needs the right to mount, which not every container gives. A limit
on the size of files needs no right at all and gives errors from the same calls. The superuser may
write anywhere, so a process gives that privilege up before it meets a read-only folder.
"""

import contextlib
import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

_CAPABILITIES_VERSION = 0x20080522
_FILLER = "filler"


@contextlib.contextmanager
def file_size_limit(size):
    """No file of this process may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of `size` bytes in memory, mounted on `folder`.

    Raises:
        subprocess.CalledProcessError, FileNotFoundError: this process may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(options, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@functools.cache
def can_mount():
    """Whether this process may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder, "disk"), 2**20):
                return True
        except (subprocess.CalledProcessError, FileNotFoundError):
            return False


def fill(disk, leave=0):
    """Writes a file that leaves `leave` bytes of a file system free, or a little less."""
    (disk / _FILLER).unlink(missing_ok=True)
    status = os.statvfs(disk)
    with open(disk / _FILLER, "wb") as file:
        file.write(bytes(max(status.f_bavail * status.f_frsize - leave, 0)))


def empty(disk):
    """Takes away what `fill` wrote."""
    (disk / _FILLER).unlink(missing_ok=True)


def remount(disk, how):
    """Makes a mounted file system read-only ("ro") or writable ("rw")."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def obey_permissions():
    """Takes the superuser's privileges from the calling thread, for good: mode bits count again."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "cannot give up privileges")
