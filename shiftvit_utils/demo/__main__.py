"""The demo's command line: `python -m shiftvit_utils.demo --help`."""

import argparse
import sys

from shiftvit_utils.demo.page import build_demo, launch_demo
from shiftvit_utils.inference import Classifier


def main():
    """Starts the demo as the arguments of the process say; errors are one line each."""
    parser = argparse.ArgumentParser(
        prog="python -m shiftvit_utils.demo", description="A web page on a trained network."
    )
    parser.add_argument(
        "--model",
        metavar="PATH",
        help="a model.keras or a run folder (default: the weights that come with the library)",
    )
    parser.add_argument(
        "--port", type=port_number, help="(default: the first free one from 7860 on)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="0.0.0.0 lets the machines around in, as in a class room (default: %(default)s)",
    )
    parser.add_argument(
        "--share",
        choices=("no", "yes"),
        default="no",
        help="yes asks Gradio's servers for a public address, for a week (default: %(default)s)",
    )
    chosen = parser.parse_args()
    try:
        demo = build_demo(load(chosen.model))
    except (ImportError, FileNotFoundError, ValueError) as error:
        sys.exit(f"{parser.prog}: {error}")
    try:
        launch_demo(
            demo, server_name=chosen.host, server_port=chosen.port, share=chosen.share == "yes"
        )
    except OSError as error:
        ports = "7860 to 7959" if chosen.port is None else chosen.port
        sys.exit(
            f"{parser.prog}: cannot listen on port {ports} of {chosen.host}: taken, or not allowed "
            f"({error}). Choose another --port."
        )


def port_number(text):
    """A port, as `--port` takes it."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535.")
    return int(text)


def load(path):
    """The `Classifier` of a model or run folder; None means the shipped weights."""
    if path is None:
        return Classifier(weights="cifar10")
    try:
        return Classifier(path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(
            f"--model {path}: {error} Without --model, the demo runs on the weights that come with "
            "the library."
        ) from error


if __name__ == "__main__":
    main()
