"""The network once more, in plain NumPy and float64: what the layers are compared with.

Written from the paper, not from the library: slices, sums and products only. Weights are looked up
by the end of their Keras path in a dictionary that `weights_of` makes.
"""

import math

import numpy as np
from scipy.special import erf

# Where each of the four groups goes: (rows, columns) per pixel of shift.
OFFSETS = ((0, -1), (0, 1), (-1, 0), (1, 0))


def as_numpy(tensor, dtype="float64"):
    """Any backend's tensor of any dtype, bfloat16 included, as a NumPy array."""
    from keras import ops

    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), dtype)


def shifted(x, num_div=12, shift_pixel=1):
    height, width, channels = x.shape[1:]
    group = channels // num_div
    rows, columns = max(height - shift_pixel, 0), max(width - shift_pixel, 0)
    first, second, third, fourth = (slice(k * group, (k + 1) * group) for k in range(4))
    y = np.zeros_like(x)
    y[:, :, :columns, first] = x[:, :, width - columns :, first]  # left
    y[:, :, width - columns :, second] = x[:, :, :columns, second]  # right
    y[:, :rows, :, third] = x[:, height - rows :, :, third]  # up
    y[:, height - rows :, :, fourth] = x[:, :rows, :, fourth]  # down
    y[..., 4 * group :] = x[..., 4 * group :]
    return y


def normalized(x, normalization, gamma, beta, epsilon, mean=None, variance=None):
    if mean is None:
        axes = {"layer": (3,), "group": (1, 2, 3), "batch": (0, 1, 2)}[normalization]
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def relu(x):
    return np.maximum(x, 0.0)


def mlp(x, expand_kernel, expand_bias, project_kernel, project_bias, activation=gelu):
    return activation(x @ expand_kernel + expand_bias) @ project_kernel + project_bias


def patches(x, size):
    """Every square of the image as one vector, row by row, a loop over squares."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    squares = [
        x[:, r * size : (r + 1) * size, c * size : (c + 1) * size].reshape(len(x), -1)
        for r in range(rows)
        for c in range(columns)
    ]
    return np.stack(squares, axis=1).reshape(len(x), rows, columns, -1)


def even(x):
    """Zeros below and on the right, until height and width are even."""
    return np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)])


def weights_of(layer):
    """{path below the layer: float64 array}."""
    return {variable.path.partition("/")[2]: as_numpy(variable) for variable in layer.weights}


def network(x, weights, blocks_per_stage, patch_size, num_div=12, shift_pixel=1, epsilon=1e-5):
    """Logits of a ShiftViT with layer normalisation everywhere and exact GELU, at inference."""

    def norm(x, name):
        gamma, beta = weights[f"{name}/gamma"], weights[f"{name}/beta"]
        return normalized(x, "layer", gamma, beta, epsilon)

    def dense(x, name):
        return x @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0.0)

    x = norm(dense(patches(x, patch_size), "patch_embedding/projection"), "patch_embedding/norm")
    for stage, blocks in enumerate(blocks_per_stage):
        for k in range(blocks):
            block = f"stage_{stage}/block_{k}"
            x = shifted(x, num_div, shift_pixel)
            hidden = gelu(dense(norm(x, f"{block}/norm"), f"{block}/mlp/expand"))
            x = x + dense(hidden, f"{block}/mlp/project")
        if stage < len(blocks_per_stage) - 1:
            merging = f"stage_{stage}/merging"
            x = dense(patches(even(norm(x, f"{merging}/norm")), 2), f"{merging}/reduction")
    return dense(norm(x, "norm").mean(axis=(1, 2)), "head")


def central_differences(function, x, step=1e-5):
    """The gradient of a scalar function at a float64 array, one element at a time."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        there = x.copy()
        there[index] += step
        back = x.copy()
        back[index] -= step
        gradient[index] = (function(there) - function(back)) / (2 * step)
    return gradient
