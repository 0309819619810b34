"""Gradients by each backend's own automatic differentiation, behind one function."""

import keras
import numpy as np
from keras import ops


def gradients(layer, inputs, weighting):
    """Gradients of `sum(weighting * layer(inputs))`.

    Args:
        layer: built Keras layer.
        inputs: float32 NumPy array.
        weighting: float32 NumPy array, shaped like the outputs.

    Returns:
        `(of the inputs, list for each trainable weight)`, NumPy arrays.
    """
    run = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.config.backend()]
    of_inputs, *of_weights = run(layer, inputs, weighting)
    return np.asarray(of_inputs), [np.asarray(gradient) for gradient in of_weights]


def _tensorflow(layer, inputs, weighting):
    import tensorflow as tf

    x = tf.constant(inputs)
    weights = [variable.value for variable in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weighting * layer(x))
    return tape.gradient(loss, [x, *weights])


def _jax(layer, inputs, weighting):
    import jax

    fixed = [variable.value for variable in layer.non_trainable_variables]

    def loss(x, weights):
        outputs, _ = layer.stateless_call(weights, fixed, x)
        return ops.sum(weighting * outputs)

    weights = [variable.value for variable in layer.trainable_variables]
    of_inputs, of_weights = jax.grad(loss, argnums=(0, 1))(inputs, weights)
    return [of_inputs, *of_weights]


def _torch(layer, inputs, weighting):
    import torch

    x = torch.tensor(inputs, requires_grad=True)
    weights = [variable.value for variable in layer.trainable_weights]
    loss = (torch.tensor(weighting) * layer(x)).sum()
    return [gradient.numpy() for gradient in torch.autograd.grad(loss, [x, *weights])]
