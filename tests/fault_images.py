"""Bad images through everything that reads images, in a process that may crash; no tests in here.

`all_images` starts `python fault_images.py FOLDER SEED` and turns what that prints into `Try`s. The
process says what it is about to do before it does it, so that a crash or a wait has a name.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from bad_images import CLASSES, COUNT, PIXELS, REFUSED, WHOLE, write_bad_images
from fault_tries import Try

PER_FOLDER = 20  # as many as `load_dataset` names at a time
SECONDS = 300  # for all of them; a few suffice
MOST_MEMORY = 400 * 2**20  # bytes beyond what the libraries themselves take


def all_images(folder, seed=0, count=COUNT):
    """Yields a `Try` for each image and each reader, and one for the memory of all."""
    result = subprocess.run(
        [sys.executable, __file__, str(folder), str(seed), str(count)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('["')]
    for reader, image, lost in lines:
        yield Try(f"bad images, {reader}", image, lost)
    if result.returncode or lines[-1][0] != "memory":
        yield Try("bad images, crashes", str(lines[-1:]), result.stderr[-2000:])


def tell(reader, image, lost=""):
    print(json.dumps([reader, image, lost]), flush=True)


def verdict(image, pixels, refusal):
    """What is wrong with an answer: `pixels` or the text of a refusal."""
    if refusal is not None:
        return "refused, though it is good" if image.owed == PIXELS else ""
    if image.owed == REFUSED:
        return "read as if it were good"
    if image.owed in (PIXELS, WHOLE) and not image.holds(pixels):
        return f"read wrong: {pixels.shape}"
    return ""


def main(folder, seed, count):
    import numpy as np

    from shiftvit_utils import Classifier, build_classifier, load_dataset, save_model
    from shiftvit_utils.demo.answers import answer
    from shiftvit_utils.image_decoding import UnreadableImageError, decode_image
    from shiftvit_utils.predictions import printable

    model = build_classifier("micro", 2, projected_dim=12, num_shift_blocks_per_stages=(1,))
    save_model(model, folder / "model.keras", CLASSES)
    classifier = Classifier(folder / "model.keras")
    classifier.predict(np.zeros((1, 32, 32, 3), np.uint8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    images = write_bad_images(folder / "all", seed, count)
    for name, image in images.items():
        pixels = refusal = None
        try:
            pixels = decode_image(folder / "all" / name)
        except UnreadableImageError as error:
            refusal = str(error)
        tell("decode_image", name, verdict(image, pixels, refusal))

    through_load_dataset(folder, images, load_dataset, printable)

    whole = classifier.predict(folder / "all")
    # Images in folders whose names end like those of images are walked into, not read.
    said = {*whole.names, *(file.name for file in whole.skipped)}
    for name, image in images.items():
        lost = "" if image.kind == "folder" or name in said else "neither read nor named"
        if image.owed == REFUSED and name in whole.names:
            lost = "read as if it were good"
        if image.owed == PIXELS and name not in whole.names:
            lost = "refused, though it is good"
        try:
            if image.kind != "folder":
                classifier.predict(folder / "all" / name)
        except (UnreadableImageError, FileNotFoundError) as error:
            if printable(image.name) not in str(error):
                lost = f"not named: {error}"
        tell("Classifier", name, lost)

    # What the page does with an upload; it hands over copies, so a name says little there.
    for name, image in images.items():
        lost = ""
        try:
            answer(classifier, folder / "all" / name)
            lost = "read as if it were good" if image.owed == REFUSED else ""
        except UnreadableImageError:
            lost = "refused, though it is good" if image.owed == PIXELS else ""
        tell("the demo", name, lost)

    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    lost = f"{grown:,} bytes were taken" if grown > MOST_MEMORY else ""
    tell("memory", f"{grown:,} bytes", lost)


def through_load_dataset(folder, images, load_dataset, printable):
    """Twenty at a time: as many as it names."""
    names = list(images)
    for start in range(0, len(names), PER_FOLDER):
        part = {name: images[name] for name in names[start : start + PER_FOLDER]}
        home = folder / f"part-{start}"
        for kind in CLASSES:
            (home / "train" / kind).mkdir(parents=True)
            for number in range(6):
                source = folder / "all" / "train" / kind / "0-good.png"
                (home / "train" / kind / f"0-good-{number}.png").write_bytes(source.read_bytes())
        for name, image in part.items():
            image.write(home / name)
        log = folder / f"part-{start}.log"
        # As strict as a terminal in UTF-8: what cannot be printed is an error.
        with open(log, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            data = load_dataset(home, validation_size=0.3, test_size=0.3, image_size=(8, 8))
        told = log.read_text(encoding="utf-8")
        named = {name for name in part if f"\n  {printable(name)}: " in told}
        read = len(data.x_train) + len(data.x_val) + len(data.x_test) - 12
        skipped = [name for name, image in part.items() if image.owed == REFUSED]
        for name, image in part.items():
            lost = ""
            if image.owed == REFUSED and name not in named:
                lost = "not named"
            if image.owed == PIXELS and name in named:
                lost = "refused, though it is good"
            tell("load_dataset", name, lost)
        folders = sum(image.kind == "folder" for image in part.values())
        if read != len(part) - len(named) - folders or len(skipped) > len(named):
            tell("load_dataset", f"part {start}", f"{read} images were read, {len(named)} named")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
