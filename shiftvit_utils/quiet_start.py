"""Keeps TensorFlow's information at start-up out of logs and notebooks.

Some of it is written by its C++ libraries while they load, before `TF_CPP_MIN_LOG_LEVEL` counts.
Only lines of level "information" are dropped; warnings and errors come through.
"""

import contextlib
import os
import re
import tempfile

INFORMATION = re.compile(
    rb"I\d{4} |WARNING: All log messages before absl::InitializeLog|To enable the following instr"
)


@contextlib.contextmanager
def without_information_lines():
    """Holds back what is written to the process's standard error, and drops its information lines.

    Works on the file descriptor, because C++ does not write through `sys.stderr`.
    """
    try:
        standard_error = os.dup(2)
    except OSError:  # the process has no standard error, so there is nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            held_back.seek(0)
            for line in held_back:
                if not INFORMATION.match(line):
                    os.write(2, line)


def set_random_seed(seed):
    """`keras.utils.set_random_seed`, without what TensorFlow says when that loads it.

    Keras seeds TensorFlow, if it is installed, under every backend.

    Args:
        seed: int.

    >>> import keras
    >>> def draw():
    ...     set_random_seed(7)
    ...     return float(keras.random.uniform(()))
    >>> draw() == draw()
    True
    """
    import keras

    with without_information_lines():
        keras.utils.set_random_seed(seed)
