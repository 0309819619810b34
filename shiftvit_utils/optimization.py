"""The learning-rate schedule and the optimizer, and the two meanings of "weight decay".

Keras's AdamW shrinks a weight by `learning_rate * weight_decay` of itself at each step. The AdamW
of TensorFlow Addons, which the published Keras example used, shrinks it by `weight_decay`, whatever
the learning rate. One number means two very different things, so the choice has a name here.
"""

import math

import keras

WEIGHT_DECAY_MODES = ("times_lr", "constant")
OPTIMIZERS = ("adamw", "sgd", "muon")


def warmup_cosine(lr_start, lr_max, warmup_steps, total_steps):
    """Linear warm-up from `lr_start` to `lr_max`, then half a cosine down to 0.

    Args:
        lr_start: float >= 0, learning rate at step 0.
        lr_max: float >= lr_start, learning rate after `warmup_steps` steps.
        warmup_steps: int >= 0.
        total_steps: int >= warmup_steps and >= 1; from here on the learning rate is 0. (If all
            steps warm up, it is `lr_max` at `total_steps` and 0 after it.)

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: for rates that are negative, not finite or in the wrong order, and for too few
            steps.

    >>> schedule = warmup_cosine(0.0, 1.0, warmup_steps=10, total_steps=110)
    >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    check_not_negative("lr_start", lr_start)
    check_not_negative("lr_max", lr_max)
    if lr_max < lr_start:
        raise ValueError(
            f"lr_max={lr_max} is below lr_start={lr_start}: the warm-up must not go down."
        )
    if warmup_steps < 0 or total_steps < max(warmup_steps, 1):
        raise ValueError(
            "Need 0 <= warmup_steps <= total_steps and total_steps >= 1, got "
            f"warmup_steps={warmup_steps}, "
            f"total_steps={total_steps}. Train for more epochs or warm up for fewer steps."
        )
    # Floats, not ints: an int 0 raises on TensorFlow and stays 0 for ever on JAX.
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(float(lr_max), decay_steps=total_steps)
    return keras.optimizers.schedules.CosineDecay(
        float(lr_start),
        decay_steps=max(total_steps - warmup_steps, 1),
        warmup_target=float(lr_max),
        warmup_steps=warmup_steps,
    )


def check_not_negative(name, value):
    """Raises a ValueError unless `value` is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}.")


def is_decayed(variable):
    """Whether weight decay acts on a variable: on kernels only.

    Biases, and the scales and offsets of normalisation, are exactly the variables of one axis.
    """
    return len(variable.shape) > 1


@keras.saving.register_keras_serializable(package="shiftvit_utils")
class AdamConstantDecay(keras.optimizers.Adam):
    """Adam with a weight decay that ignores the learning rate.

    Each step does `w -= constant_decay * w`, and then what Adam does.
    This is what `AdamW` of TensorFlow Addons does, and so what the published Keras example did.

    Args:
        learning_rate: float or schedule.
        constant_decay: float >= 0, the share of a weight that is lost at each step.
        decay_all: bool, decay biases and normalisation weights too, as TensorFlow Addons does by
            default.
        **kwargs: the other arguments of `keras.optimizers.Adam`.

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101.
    """

    def __init__(
        self,
        learning_rate=0.001,
        constant_decay=0.0,
        decay_all=False,
        name="adam_constant_decay",
        **kwargs,
    ):
        super().__init__(learning_rate, name=name, **kwargs)
        check_not_negative("constant_decay", constant_decay)
        self.constant_decay = constant_decay
        self.decay_all = decay_all

    def update_step(self, gradient, variable, learning_rate):
        if self.decay_all or is_decayed(variable):
            self.assign_sub(
                variable, variable * keras.ops.cast(self.constant_decay, variable.dtype)
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {
            **super().get_config(),
            "constant_decay": self.constant_decay,
            "decay_all": self.decay_all,
        }


def build_optimizer(
    learning_rate,
    weight_decay=0.05,
    weight_decay_mode="times_lr",
    decay_all=False,
    ema_momentum=None,
    global_clipnorm=None,
    optimizer="adamw",
):
    """AdamW with the chosen meaning of weight decay, SGD or Muon.

    Args:
        learning_rate: float or schedule.
        weight_decay: float >= 0.
        weight_decay_mode: "times_lr" (Keras, PyTorch: `w -= lr * weight_decay * w`) or "constant"
            (TensorFlow Addons, the published example: `w -= weight_decay * w`).
        decay_all: bool. False leaves biases and normalisation weights undecayed.
        ema_momentum: None, or a float in (0, 1): keep an exponential moving average of the weights.
        global_clipnorm: None, or a float > 0: scale all gradients down together to at most this
            norm.
        optimizer: "adamw"; "sgd", with Nesterov momentum 0.9; or "muon", which steps each kernel
            along the nearest orthogonal matrix of its momentum, scaled so that AdamW's learning
            rates and decay fit, and leaves patch embedding, head, biases and normalisation
            weights to AdamW. With the last two, weight decay is always "times_lr".

    Returns:
        A Keras optimizer. Keras's AdamW forgets which variables it leaves undecayed when it is
        rebuilt from its configuration: build a new one with this function instead.

    Raises:
        ValueError: for an unknown mode or optimizer, for "constant" with another than "adamw", and
            for numbers out of range.

    Reference:
        Muon: Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982.

    >>> build_optimizer(1e-3, weight_decay=1e-4, weight_decay_mode="constant").constant_decay
    0.0001
    """
    check_not_negative("weight_decay", weight_decay)
    if weight_decay_mode not in WEIGHT_DECAY_MODES:
        raise ValueError(
            f"weight_decay_mode must be one of {WEIGHT_DECAY_MODES}, got {weight_decay_mode!r}."
        )
    if ema_momentum is not None and not 0.0 < ema_momentum < 1.0:
        raise ValueError(f"ema_momentum must be None or in (0, 1), got {ema_momentum!r}.")
    if global_clipnorm is not None and not (math.isfinite(global_clipnorm) and global_clipnorm > 0):
        raise ValueError(
            f"global_clipnorm must be None or a finite number > 0, got {global_clipnorm!r}."
        )
    options = {"global_clipnorm": global_clipnorm}
    if ema_momentum is not None:
        options |= {"use_ema": True, "ema_momentum": ema_momentum}
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {OPTIMIZERS}, got {optimizer!r}.")
    if weight_decay_mode == "constant" and optimizer != "adamw":
        raise ValueError(
            f"weight_decay_mode='constant' is AdamW's; use 'times_lr' with {optimizer!r}."
        )
    if weight_decay_mode == "constant":
        return AdamConstantDecay(
            learning_rate, constant_decay=weight_decay, decay_all=decay_all, **options
        )
    options["weight_decay"] = weight_decay
    if optimizer == "sgd":
        built = keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True, **options)
    elif optimizer == "muon":
        # Its authors' advice: not for the last layer, whose columns are classes and no features.
        built = keras.optimizers.Muon(
            learning_rate,
            exclude_layers=[r"(^|/)head/"],
            adam_weight_decay=weight_decay,
            **options,
        )
    else:
        built = keras.optimizers.AdamW(learning_rate, **options)
    if not decay_all:
        # TensorFlow searches the whole path of a variable, JAX and PyTorch the last part alone.
        built.exclude_from_weight_decay(var_names=[r"(^|/)(gamma|beta|bias)(:\d+)?$"])
    return built
