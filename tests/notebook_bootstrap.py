# Finds the library in the clone around this notebook. Elsewhere, as on Colab and Kaggle, it fetches
# a clone, or says how to get the library. Nothing that is installed is touched.
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = ""  # owner/name on GitHub; `make links` fills it in
around = (Path.cwd(), *Path.cwd().parents[:2])
clone = next((f for f in around if (f / "shiftvit_utils/__init__.py").is_file()), None)
installed = importlib.util.find_spec("shiftvit_utils")
if REPOSITORY and not clone and not installed:
    url, clone = f"https://github.com/{REPOSITORY}", Path.cwd() / REPOSITORY.split("/")[1]
    if not clone.is_dir() and subprocess.run(["git", "clone", "-q", "--depth=1", url]).returncode:
        raise ConnectionError(f"git clone {url} failed: is the internet on?")
    os.chdir(clone / "notebooks")  # where the files beside a notebook are
if clone:
    sys.path.insert(0, str(clone))
elif not installed:
    raise ModuleNotFoundError("Run this in a clone, or pip install --no-deps the project's wheel.")
keras = importlib.metadata.version("keras")
if [int(number) for number in keras.split(".")[:2]] < [3, 13]:
    raise ImportError(f'Keras {keras} is older than 3.13: pip install "keras>=3.13", and restart.')
