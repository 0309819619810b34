"""What the library survives: `python benchmarks/faults.py --json benchmarks/results/faults.json`.

Kills processes that train, fills their disks, spoils downloads, and hands over bad images and
hostile files, all from one seed. Prints a table: how many were tried, how many ended as promised,
and how many did not. A share of the same tries is in the tests. Takes a quarter of an hour.

`--only images` runs a part, and keeps the other parts of the JSON file.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# These networks are so small that a second thread only waits for the first.
os.environ.setdefault("OMP_NUM_THREADS", "1")
SEED = 0


def runs(folder):
    from bad_disks import can_mount
    from fault_runs import (
        REASONS,
        disks,
        kills_at_random_moments,
        kills_within_writes,
        uninterrupted,
    )
    from tiny_run import prepared

    ways = [way for way in REASONS if can_mount() or not way.endswith(" disk")]
    with prepared(folder) as data:
        baseline = uninterrupted(data, folder)
        yield from kills_at_random_moments(data, folder, 20, baseline, SEED)
        yield from kills_within_writes(data, folder, 10, baseline, SEED)
        yield from disks(data, folder, ways, (0, 1, 2), baseline)


def saves(folder):
    from bad_disks import can_mount, small_disk
    from fault_runs import saves_that_do_not_fit

    yield from saves_that_do_not_fit(folder, limit=True)
    if can_mount():
        with small_disk(folder / "disk", 2**21) as disk:
            yield from saves_that_do_not_fit(disk, limit=False)


def downloads(folder):
    from fault_downloads import archive_bytes, damaged_copies, spoiled_downloads

    content = archive_bytes()
    yield from spoiled_downloads(folder, content)
    yield from damaged_copies(folder, content)


def hostile(folder):
    from fault_tries import Try
    from hostile_files import attack, hostile_files

    for number, file in enumerate(hostile_files()):
        home = folder / str(number)
        home.mkdir()
        yield Try(file.kind, file.what, attack(file, home))


def images(folder):
    from fault_images import all_images

    yield from all_images(folder, SEED)


PARTS = (runs, saves, downloads, hostile, images)


def main():
    names = [part.__name__ for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some parts")
    options = parser.parse_args()

    import keras
    from fault_tries import counted, losses

    from shiftvit_utils.machine import describe_device, versions

    results = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text())["results"]
    lost = []
    for part in PARTS:
        if part.__name__ not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            tries = []
            for one in part(Path(folder)):
                tries.append(one)
                print(f"{len(tries):4d}  {one.kind}: {one.what!a} {one.lost}", file=sys.stderr)
        results[part.__name__] = counted(tries)
        lost += losses(tries)

    print("| what went wrong | tries | survived | lost |\n|---|---|---|---|")
    for name in filter(results.get, names):
        for kind, count in results[name].items():
            print(f"| {kind} | {count['tries']} | {count['survived']} | {count['lost']} |")
    print("\n".join(lost))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "command": f"KERAS_BACKEND={keras.backend.backend()} python benchmarks/faults.py",
            "device": describe_device(),
            "versions": versions(),
            "seed": SEED,
            "results": {name: results[name] for name in names if name in results},
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
