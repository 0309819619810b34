"""The demo as a Hugging Face Space; `make space` puts the library beside this file."""

import os

# JAX is the smallest of the three backends to install on a CPU.
os.environ.setdefault("KERAS_BACKEND", "jax")

from shiftvit_utils import Classifier
from shiftvit_utils.demo import build_demo, launch_demo

demo = build_demo(Classifier(weights="cifar10"))

if __name__ == "__main__":
    launch_demo(demo)
