"""Finds a Python of one minor version, for environments of their own."""

import shutil
import subprocess
import sys
from pathlib import Path


def find_python(version):
    """The path of a Python that can make virtual environments, or None.

    Looks at the running one, on the PATH, and among those of pyenv, which puts placeholders on the
    PATH for versions that are installed but not switched on.

    Args:
        version: str, as "3.12".
    """
    check = f"import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in (sys.executable, shutil.which(f"python{version}"), *pyenv):
        if candidate is None:
            continue
        command = [str(candidate), "-c", check]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return str(candidate)
    return None
