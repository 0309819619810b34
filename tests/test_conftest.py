"""The seed of conftest.py; what it makes of skips is tested in `test_packaging`."""

import random

import keras
import numpy as np
import pytest
from conftest import SEED


def drawn():
    return random.random(), np.random.rand(), float(keras.random.uniform(()))


@pytest.mark.parametrize("repeat", [1, 2])  # one of them comes after a test that has drawn
def test_every_test_starts_from_the_same_seed(repeat):
    at_the_start = drawn()
    keras.utils.set_random_seed(SEED)
    assert drawn() == at_the_start
    assert drawn() != at_the_start
