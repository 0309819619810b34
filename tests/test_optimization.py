"""The schedule, and both meanings of weight decay, against their formulas in NumPy."""

import math

import keras
import numpy as np
import pytest
from numpy_oracles import as_numpy

from shiftvit_utils import ShiftViT, build_optimizer, warmup_cosine
from shiftvit_utils.optimization import AdamConstantDecay

MODES = ["times_lr", "constant"]


def rates_of(schedule, steps):
    if keras.config.backend() == "jax":
        import jax

        # As in training. Called eagerly, the schedule's condition is compiled anew at each step.
        schedule = jax.jit(schedule)
    return [float(schedule(step)) for step in steps]


def cosine_with_warmup(step, lr_start, lr_max, warmup_steps, total_steps):
    if step < warmup_steps:
        return lr_start + (lr_max - lr_start) * step / warmup_steps
    if step >= total_steps:
        return 0.0
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return lr_max * 0.5 * (1.0 + math.cos(math.pi * progress))


@pytest.mark.parametrize(
    "numbers",
    [
        (1e-5, 1e-3, 6, 40),
        (0, 1, 3, 7),  # whole numbers too
        (1e-3, 1e-3, 5, 20),
        (0.0, 1e-3, 0, 20),  # no warm-up
        (0.0, 1e-3, 19, 20),
        (0.0, 1e-3, 0, 1),
        (0.0, 0.0, 0, 5),
    ],
    ids=str,
)
def test_schedule_equals_its_formula_at_every_step(numbers):
    schedule = warmup_cosine(*numbers)
    steps = range(numbers[-1] + 5)
    rates = rates_of(schedule, steps)
    expected = [cosine_with_warmup(step, *numbers) for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-7 * max(numbers[1], 1e-3))


def test_schedule_that_only_warms_up_reaches_the_peak():
    schedule = warmup_cosine(0.0, 1.0, 10, 10)
    assert rates_of(schedule, (0, 5, 9)) == pytest.approx([0.0, 0.5, 0.9])


def test_schedule_survives_its_config():
    schedule = warmup_cosine(1e-5, 1e-3, 5, 20)
    twin = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert rates_of(twin, range(22)) == rates_of(schedule, range(22))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1e-5, 1e-3, 1, 10), "lr_start must be a finite number >= 0, got -1e-05"),
        ((0.0, -1.0, 1, 10), "lr_max must be a finite number >= 0"),
        ((math.nan, 1e-3, 1, 10), "lr_start must be a finite number >= 0, got nan"),
        ((0.0, math.nan, 1, 10), "lr_max must be a finite number >= 0, got nan"),
        ((0.0, math.inf, 1, 10), "lr_max must be a finite number >= 0, got inf"),
        ((1e-2, 1e-3, 1, 10), "lr_max=0.001 is below lr_start=0.01"),
        ((0.0, 1e-3, 11, 10), "warmup_steps=11, total_steps=10"),
        ((0.0, 1e-3, -1, 10), "warmup_steps=-1"),
        ((0.0, 1e-3, 0, 0), "total_steps >= 1"),
    ],
)
def test_schedule_refuses(numbers, message):
    with pytest.raises(ValueError, match=message):
        warmup_cosine(*numbers)


def adam_oracle(weights, gradients, rates, decay_share, clip=math.inf):
    """Adam after the decay `w -= decay_share(lr) * w`, with epsilon beside the raw root.

    That is the order of TensorFlow Addons ("decoupled weight decay") and of Keras.
    """
    w = [weight.astype("float64") for weight in weights]
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    for step, (lr, step_gradients) in enumerate(zip(rates, gradients, strict=True), start=1):
        norm = math.sqrt(sum((g.astype("float64") ** 2).sum() for g in step_gradients))
        alpha = lr * math.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
        for k, g in enumerate(step_gradients):
            g = g * min(1.0, clip / norm)
            w[k] -= decay_share(lr, w[k].ndim) * w[k]
            m[k] += 0.1 * (g - m[k])
            v[k] += 0.001 * (g * g - v[k])
            w[k] -= alpha * m[k] / (np.sqrt(v[k]) + 1e-7)
    return w


def apply(optimizer, variables, gradients):
    """Takes one step for each entry of `gradients`, in the way that training does."""
    steps = [[keras.ops.convert_to_tensor(g) for g in step] for step in gradients]
    if keras.config.backend() != "jax":
        for step in steps:
            optimizer.apply(step, variables)
        return
    # JAX's training is stateless and compiled; loss scaling works in no other way there.
    import jax

    optimizer.build(variables)
    step_fn = jax.jit(optimizer.stateless_apply)
    values, state = ([v.value for v in group] for group in (variables, optimizer.variables))
    for step in steps:
        values, state = step_fn(state, step, values)
    for variable, value in zip([*variables, *optimizer.variables], [*values, *state], strict=True):
        variable.assign(value)


def run(optimizer, weights, gradients):
    """The weights, a kernel and a bias, after all steps."""
    variables = [
        keras.Variable(weight, name=name)
        for weight, name in zip(weights, ("kernel", "bias"), strict=True)
    ]
    apply(optimizer, variables, gradients)
    return [as_numpy(variable) for variable in variables]


def problem(steps=50):
    """A kernel and a bias, and gradients of very different sizes."""
    rng = np.random.default_rng(3)
    shapes = [(3, 4), (4,)]
    weights = [rng.uniform(-0.5, 0.5, shape).astype("float32") for shape in shapes]
    sizes = 10.0 ** rng.uniform(-3, 1, steps)
    gradients = [
        [(size * rng.normal(size=shape)).astype("float32") for shape in shapes] for size in sizes
    ]
    return weights, gradients


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_fifty_steps_equal_numpy(mode, decay_all):
    weights, gradients = problem()
    numbers = (1e-5, 1e-3, 8, 50)
    decay = {"times_lr": 5.0, "constant": 1e-2}[mode]
    optimizer = build_optimizer(warmup_cosine(*numbers), decay, mode, decay_all=decay_all)

    def share(lr, axes):
        factor = lr if mode == "times_lr" else 1.0
        return decay * factor if axes > 1 or decay_all else 0.0

    rates = [cosine_with_warmup(step, *numbers) for step in range(50)]
    expected = adam_oracle(weights, gradients, rates, share)
    without = adam_oracle(weights, gradients, rates, lambda lr, axes: 0.0)
    assert np.abs(expected[0] - without[0]).max() > 1e-2, "decay must matter here"
    assert_close(run(optimizer, weights, gradients), expected)


def test_constant_decay_does_not_depend_on_the_learning_rate():
    weights, gradients = problem(steps=10)
    optimizer = build_optimizer(0.0, 0.1, "constant")
    kernel, bias = run(optimizer, weights, gradients)
    np.testing.assert_allclose(kernel, weights[0] * 0.9**10, rtol=1e-5)
    np.testing.assert_array_equal(bias, weights[1])


def test_global_clipnorm_scales_all_gradients_together():
    weights, gradients = problem()
    rates = [1e-3] * 50
    clipped = adam_oracle(weights, gradients, rates, lambda lr, axes: 0.0, clip=0.1)
    unclipped = adam_oracle(weights, gradients, rates, lambda lr, axes: 0.0)
    assert np.abs(clipped[0] - unclipped[0]).max() > 1e-4
    assert_close(run(build_optimizer(1e-3, 0.0), weights, gradients), unclipped)
    assert_close(run(build_optimizer(1e-3, 0.0, global_clipnorm=0.1), weights, gradients), clipped)


@pytest.mark.parametrize("mode", MODES)
def test_ema_averages_the_weights(mode):
    weights, gradients = problem(steps=5)
    trajectory = [
        run(build_optimizer(1e-2, 0.01, mode), weights, gradients[:k])[0] for k in range(1, 6)
    ]
    average = trajectory[0]
    for kernel in trajectory[1:]:
        average = 0.8 * average + 0.2 * kernel
    optimizer = build_optimizer(1e-2, 0.01, mode, ema_momentum=0.8)
    variable = keras.Variable(weights[0], name="kernel")
    bias = keras.Variable(weights[1], name="bias")
    apply(optimizer, [variable, bias], gradients)
    np.testing.assert_allclose(as_numpy(variable), trajectory[-1], atol=1e-6)
    optimizer.finalize_variable_values([variable, bias])
    np.testing.assert_allclose(as_numpy(variable), average, atol=1e-6)


def micro():
    model = ShiftViT.from_preset("micro", normalization="batch")
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    return model


KERNELS = {
    "patch_embedding/projection/kernel",
    *(
        f"stage_{stage}/block_{block}/mlp/{dense}/kernel"
        for stage in range(3)
        for block in range(2)
        for dense in ("expand", "project")
    ),
    "stage_0/merging/reduction/kernel",
    "stage_1/merging/reduction/kernel",
    "head/kernel",
}


# Keras's AdamW, so "times_lr", does not keep what it leaves undecayed in its configuration.
@pytest.mark.parametrize(
    ("mode", "rebuilt"),
    [("times_lr", False), ("constant", False), ("constant", True)],
)
@pytest.mark.parametrize("decay_all", [False, True])
def test_with_zero_gradients_exactly_the_kernels_shrink(mode, decay_all, rebuilt):
    model = micro()
    optimizer = build_optimizer(0.5, 0.1, mode, decay_all=decay_all)
    if rebuilt:
        optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    variables = model.trainable_variables
    apply(optimizer, variables, [[np.zeros(variable.shape, "float32") for variable in variables]])
    kept = {"times_lr": 1.0 - 0.5 * 0.1, "constant": 1.0 - 0.1}[mode]
    shrunk = set()
    for variable in variables:
        value = as_numpy(variable)
        if (value != 1.0).any():
            np.testing.assert_allclose(value, kept, rtol=1e-6)
            shrunk.add(variable.path)
    assert shrunk == ({variable.path for variable in variables} if decay_all else KERNELS)


@pytest.mark.parametrize("mode", MODES)
def test_decay_is_decided_by_the_weight_and_not_by_the_name_of_its_model(mode):
    # Weights of a layer that is called so must decay all the same.
    kernel = keras.layers.Dense(2, name="debiased_beta")
    kernel.build((None, 3))
    before = as_numpy(kernel.kernel)
    optimizer = build_optimizer(0.5, 0.1, mode)
    zeros = [np.zeros((3, 2), "float32"), np.zeros(2, "float32")]
    apply(optimizer, kernel.trainable_variables, [zeros])
    assert (as_numpy(kernel.kernel) != before).all()


@pytest.mark.parametrize("mode", MODES)
def test_config_round_trip(mode):
    optimizer = build_optimizer(
        warmup_cosine(0.0, 1e-3, 2, 10), 0.3, mode, True, ema_momentum=0.9, global_clipnorm=2.0
    )
    twin = type(optimizer).from_config(optimizer.get_config())
    assert twin.get_config() == optimizer.get_config()
    weights, gradients = problem(steps=10)
    for ours, theirs in zip(
        run(optimizer, weights, gradients), run(twin, weights, gradients), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", MODES)
def test_loss_scaling_changes_neither_step_nor_decay(mode):
    weights, gradients = problem(steps=10)
    expected = run(build_optimizer(1e-3, 0.01, mode), weights, gradients)
    scaled = keras.optimizers.LossScaleOptimizer(
        build_optimizer(1e-3, 0.01, mode), initial_scale=1024.0
    )
    times_scale = [[1024.0 * g for g in step_gradients] for step_gradients in gradients]
    assert_close(run(scaled, weights, times_scale), expected)


@pytest.mark.parametrize("mode", MODES)
def test_a_step_that_overflows_under_loss_scaling_decays_nothing(mode):
    weights, gradients = problem(steps=1)
    overflown = [[np.full_like(g, np.inf) for g in gradients[0]]]
    scaled = keras.optimizers.LossScaleOptimizer(build_optimizer(1e-3, 0.5, mode))
    for ours, before in zip(run(scaled, weights, overflown), weights, strict=True):
        np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("mode", MODES)
def test_trains_a_network_in_mixed_float16(mode):
    inputs = keras.Input((8, 8, 3))
    network = ShiftViT((8, 8, 3), 3, 4, 12, (1,), mlp_expand_ratio=1, dtype="mixed_float16")
    model = keras.Model(inputs, network(inputs))
    scaled = keras.optimizers.LossScaleOptimizer(build_optimizer(1e-2, 1e-3, mode))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(scaled, loss=loss)
    images = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype("float32")
    labels = np.arange(12) % 3
    losses = [float(model.train_on_batch(images, labels)) for _ in range(15)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_decay": -0.1}, "weight_decay must be a finite number >= 0, got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must be a finite number >= 0, got nan"),
        ({"weight_decay_mode": "l2"}, r"weight_decay_mode must be one of .*times_lr.*constant"),
        ({"ema_momentum": 1.0}, r"ema_momentum must be None or in \(0, 1\), got 1\.0"),
        ({"ema_momentum": 0.0}, r"ema_momentum must be None or in \(0, 1\), got 0\.0"),
        ({"ema_momentum": math.nan}, "ema_momentum must be"),
        ({"global_clipnorm": 0.0}, "global_clipnorm must be None or a finite number > 0"),
        ({"global_clipnorm": -1.0}, "global_clipnorm must be"),
        ({"global_clipnorm": math.nan}, "global_clipnorm must be .*nan"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(1e-3, **arguments)


@pytest.mark.parametrize("decay", [-0.1, math.nan])
def test_the_optimizer_itself_refuses_a_negative_decay(decay):
    with pytest.raises(ValueError, match="constant_decay"):
        AdamConstantDecay(1e-3, constant_decay=decay)


def test_sgd_takes_nesterov_steps_and_decays_kernels_alone():
    weights, gradients = problem(steps=20)
    lr, decay, momentum = 0.01, 0.5, 0.9
    optimizer = build_optimizer(lr, decay, optimizer="sgd")
    expected = []
    for weight, is_kernel, steps in zip(
        weights, (True, False), zip(*gradients, strict=True), strict=True
    ):
        w, velocity = weight.astype("float64"), 0.0
        for g in steps:
            w = w - lr * decay * w if is_kernel else w
            velocity = momentum * velocity - lr * g
            w = w + momentum * velocity - lr * g
        expected.append(w)
    for ours, theirs in zip(run(optimizer, weights, gradients), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_muon_steps_along_an_orthogonal_matrix_and_takes_adam_for_the_bias():
    weights, gradients = problem(steps=20)
    lr, decay, momentum = 0.01, 0.5, 0.95
    kernel, bias = run(build_optimizer(lr, decay, optimizer="muon"), weights, gradients)
    w, velocity = weights[0].astype("float64"), 0.0
    for g, _ in gradients:
        w = w - lr * decay * w
        velocity = momentum * velocity + g
        x = g + momentum * velocity
        x = x / np.linalg.norm(x)
        for _ in range(5):  # Newton-Schulz, which drives all singular values towards 1
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        # As long as a step of AdamW whose entries are 0.2 * lr each, root mean square.
        w = w - lr * 0.2 * math.sqrt(max(w.shape)) * x
    np.testing.assert_allclose(kernel, w, rtol=1e-3, atol=1e-4)
    rates = [lr] * len(gradients)
    only_bias = [[g] for _, g in gradients]
    (expected,) = adam_oracle(weights[1:], only_bias, rates, lambda lr, ndim: 0.0)
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(24, 48), (48, 24)])
def test_a_step_of_muon_stretches_no_direction_more_than_another(shape):
    """What orthogonal means: all singular values of a step are about the same."""
    rng = np.random.default_rng(0)
    # One direction is by far the longest.
    gradient = (rng.normal(size=shape) + 5.0).astype("float32")
    long, *others = np.linalg.svd(gradient, compute_uv=False)
    assert long > 10 * max(others)
    assert long > 50 * min(others)
    variable = keras.Variable(np.zeros(shape, "float32"), name="kernel")
    apply(build_optimizer(1.0, 0.0, optimizer="muon"), [variable], [[gradient]])
    step = as_numpy(variable) / (0.2 * math.sqrt(max(shape)))
    values = np.linalg.svd(step, compute_uv=False)
    # Five iterations do not end at 1, but between these two.
    assert values.min() > 0.65
    assert values.max() < 1.25
    np.testing.assert_array_less(np.sum(step * gradient), 0.0)  # down the slope


def test_muon_takes_every_kernel_but_those_at_the_two_ends():
    variables = ShiftViT.from_preset("micro").trainable_variables
    optimizer = build_optimizer(1e-3, optimizer="muon")
    optimizer.build(variables)
    velocities = zip(variables, optimizer.adam_velocities, strict=True)
    inner = {variable.path for variable, velocity in velocities if velocity is None}
    kernels = {variable.path for variable in variables if len(variable.shape) == 2}
    assert kernels - inner == {"head/kernel", "patch_embedding/projection/kernel"}
    assert inner < kernels
    assert len(inner) == 2 * 6 + 2  # two a block, one a merging


def test_an_optimizer_that_there_is_not_and_a_decay_that_only_adamw_has():
    with pytest.raises(ValueError, match=r"optimizer must be one of .*'sgd', 'muon'.*'adam'"):
        build_optimizer(0.1, 0.1, optimizer="adam")
    for optimizer in ("sgd", "muon"):
        message = f"'constant' is AdamW's; use 'times_lr' with '{optimizer}'"
        with pytest.raises(ValueError, match=message):
            build_optimizer(0.1, 0.1, "constant", optimizer=optimizer)
