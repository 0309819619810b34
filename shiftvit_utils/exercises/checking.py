"""What all checkers share: the three kinds of line that they print, and how answers are read."""

import functools
import math

import numpy as np


class WrongAnswerError(Exception):
    """The learner's answer is not right; the message says in which way."""


def checker(check):
    """Makes a checker of a function that raises `WrongAnswerError` with a hint.

    Args:
        check: function `check_<name>(answer)`.

    Returns:
        function of the same name that prints one line and returns bool. It raises nothing that
        comes from the answer.
    """

    @functools.wraps(check)
    def checked(answer):
        name = check.__name__.removeprefix("check_")
        try:
            if answer is Ellipsis:
                raise NotImplementedError
            check(answer)
        except NotImplementedError:
            print(f"○ {name}: not written yet. Replace the dots or the NotImplementedError.")
        except WrongAnswerError as error:
            print(f"✗ {name}: {error}")
        except Exception as error:  # anything at all can go wrong in a learner's code
            # Backends write pages; the first line says what happened.
            message = (str(error).strip().splitlines() or ["no message"])[0]
            print(f"✗ {name}: your code stopped with {type(error).__name__}: {message}")
        else:
            print(f"✓ {name}: right.")
            return True
        return False

    return checked


def number(value, what):
    """The answer as a float.

    Args:
        value: what the learner gave.
        what: str, its name in the message.

    Returns:
        float.

    Raises:
        WrongAnswerError: it is no number.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise WrongAnswerError(
            f"{what} must be a number, yours is {type(value).__name__}.{forgot_return(value)}"
        ) from None


def array(value, what, shape=None, dtype=None):
    """The answer as a NumPy array of the expected shape and kind.

    Args:
        value: what the learner gave: an array, a tensor of any backend, or nested lists.
        what: str, its name in the message.
        shape: None, or the shape that it must have, a tuple of int.
        dtype: None, or the dtype that it must have, such as `"uint8"`.

    Returns:
        `numpy.ndarray`.

    Raises:
        WrongAnswerError: it is no array, or has another shape or dtype.
    """
    try:
        import keras

        result = np.asarray(keras.ops.convert_to_numpy(value))
    except Exception:  # each backend has its own errors for what it cannot read
        result = np.asarray(None)
    if result.dtype == object:
        raise WrongAnswerError(
            f"{what} must be an array, yours is {type(value).__name__}.{forgot_return(value)}"
        )
    if shape is not None and result.shape != tuple(shape):
        raise WrongAnswerError(
            f"{what} must have the shape {tuple(shape)}, yours has {result.shape}."
        )
    if dtype is not None and result.dtype != np.dtype(dtype):
        raise WrongAnswerError(f"{what} must be {np.dtype(dtype)}, yours is {result.dtype}.")
    return result


def require_function(answer):
    """Checks that the learner gave a function.

    Raises:
        WrongAnswerError: it cannot be called.
    """
    if not callable(answer):
        raise WrongAnswerError(f"give the function itself, not a {type(answer).__name__}.")


def refuse_known_mistakes(value, hints):
    """Says which mistake gives this number, if it is a known one.

    Args:
        value: float, the answer.
        hints: dict, what each known mistake gives -> its hint.

    Raises:
        WrongAnswerError: it is one of them.
    """
    for mistake, hint in hints.items():
        if math.isclose(value, mistake, rel_tol=1e-6):
            raise WrongAnswerError(hint)


def forgot_return(value):
    """A question to append to a message if the learner's function returned nothing."""
    return " Did you forget `return`?" if value is None else ""
