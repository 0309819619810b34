"""Logits and metrics of a trained model on arrays of any length, with one compiled shape."""

import keras
import numpy as np


def predict_logits(model, images, batch_size=256):
    """Runs a classifier over images in batches that all have the same size.

    A last batch of another size would make XLA compile the network a second time, and could not be
    split over several devices. So it is filled up with copies of the first image, whose logits are
    cut off again.

    Args:
        model: `keras.Model` from images to logits.
        images: array `(N, H, W, 3)`, values 0..255, N at least 1.
        batch_size: int >= 1.

    Returns:
        float32 NumPy array `(N, num_classes)`.
    """
    if len(images) == 0:
        raise ValueError("images must hold at least one image, got none.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be an int >= 1, got {batch_size!r}.")
    whole = len(images) - len(images) % batch_size
    parts = [images[:whole]]  # not copied: all images may fill the memory
    if missing := -len(images) % batch_size:
        parts.append(np.concatenate([images[whole:], np.repeat(images[:1], missing, axis=0)]))
    logits = [model.predict(part, batch_size=batch_size, verbose=0) for part in parts if len(part)]
    return np.concatenate(logits)[: len(images)]


def classification_metrics(logits, labels):
    """Cross-entropy (no label smoothing), top-1 and top-5 accuracy.

    Args:
        logits: float array `(N, num_classes)`.
        labels: int array `(N,)`.

    Returns:
        dict of floats with the keys "loss" (nats), "top1" and "top5" (fractions). With fewer than
        five classes, top-5 counts all of them and is 1.

    >>> classification_metrics(np.array([[4.0, 0.0], [4.0, 0.0]]), np.array([0, 1]))["top1"]
    0.5
    """
    logits, labels = np.asarray(logits, "float32"), np.asarray(labels)
    k = min(5, logits.shape[-1])
    return {
        "loss": float(
            # The function, not the class: that divides by the number of devices in a strategy.
            keras.ops.mean(
                keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            )
        ),
        "top1": float(keras.metrics.SparseCategoricalAccuracy()(labels, logits)),
        "top5": float(keras.metrics.SparseTopKCategoricalAccuracy(k=k)(labels, logits)),
    }
