"""The real numbers behind the scenes: a photograph, and what the library's layers make of it.

The photograph is `china.jpg`, which scikit-learn ships: by danielbuechele on Flickr, CC BY 2.0.
The layers have no trained weights; NumPy draws them, so that every backend shows the same maps.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

CREDIT = "photo: danielbuechele, CC BY 2.0"
TOWER = (40, 0, 467, 427)  # left, top, right, bottom: the square that holds the tower


def photograph(size, box=TOWER):
    """A square of `size` pixels of the photograph, uint8 `(size, size, 3)`."""
    image = Image.fromarray(load_sample_image("china.jpg")).crop(box)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def network_input(pixels):
    """Pixels 0..255 `(H, W, 3)` as a float32 batch of one, of mean 0 and deviation 1."""
    pixels = pixels.astype("float32")
    return ((pixels - pixels.mean()) / pixels.std())[np.newaxis]


def draw_weights(layer, seed):
    """Fills the matrices of a built layer from NumPy, as wide as Glorot's rule says."""
    generator = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        if len(variable.shape) == 2:
            limit = np.sqrt(6 / sum(variable.shape))
            variable.assign(generator.uniform(-limit, limit, variable.shape).astype("float32"))
    return layer


def as_array(tensor):
    """Any backend's tensor as a NumPy array."""
    return keras.ops.convert_to_numpy(tensor)
