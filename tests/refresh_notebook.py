"""Runs notebooks and stores their outputs in them, clean enough to commit.

    python tests/refresh_notebook.py notebooks/03_shift.ipynb notebooks/solutions/03_shift.ipynb

The data set is what the notebook takes by default, or `$SHIFTVIT_DATASET`. A notebook that stops
with an error is left as it was.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import papermill

# What papermill and the kernel record of this one run, and no reader needs.
RUN_METADATA = ("papermill", "execution")


def without_run_metadata(notebook):
    """Removes what differs between two equal runs; joins the pieces in which text arrived."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        for name in RUN_METADATA:
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return notebook


def joined(outputs):
    """Outputs with neighbouring pieces of one stream made one."""
    result = []
    for output in outputs:
        last = result[-1] if result else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def refresh(path):
    """Executes one notebook from its own folder and writes it back; returns the seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        executed = papermill.execute_notebook(
            str(path.resolve()),
            str(Path(folder) / path.name),
            cwd=str(path.resolve().parent),
            kernel_name="python3",
            progress_bar=False,
        )
    nbformat.write(without_run_metadata(executed), path)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    for path in parser.parse_args().notebooks:
        print(f"{path}: {refresh(path):.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
