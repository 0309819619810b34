"""`train(config)`: one call that trains, resumes, evaluates and writes a run folder."""

import contextlib
import dataclasses
import importlib.util
import math
import time
from typing import Any

import keras

from shiftvit_utils.callbacks import EpochEnd, EpochStart, TensorBoardScalars, TrainingBatches
from shiftvit_utils.classifier import build_classifier
from shiftvit_utils.config import TrainConfig
from shiftvit_utils.data import NAMED_SOURCES, load_dataset
from shiftvit_utils.evaluation import classification_metrics, predict_logits
from shiftvit_utils.machine import describe_device, versions
from shiftvit_utils.optimization import build_optimizer, warmup_cosine
from shiftvit_utils.presets import preset_config
from shiftvit_utils.pretrained import network_changes, trained_with
from shiftvit_utils.run_folder import DATA_IDS, RunFolder, same_data
from shiftvit_utils.saving import load_model

# Weights, two Adam moments and an average, in float32, saved beside the file that they replace, and
# the best model.
BYTES_PER_PARAMETER = 4 * 4 * 3
# What a run may set otherwise in the network than its preset.
NETWORK_SETTINGS = (
    "mlp_dropout_rate",
    "stochastic_depth_rate",
    "drop_path_ramp",
    "shift_variant",
    "group_channels",
)


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What `train` returns.

    Args:
        run: the `RunFolder`.
        model: `keras.Model`, as in `model.keras`: the best by validation, or the last if
            `keep_weights="last"`.
        dataset: the `Dataset` it was trained on.
        metrics: dict, the content of `metrics.json`.
        history: list of dicts, the rows of `history.csv`.
    """

    run: RunFolder
    model: keras.Model
    dataset: Any
    metrics: dict
    history: list


def train(config):
    """Trains a classifier as `config` says, and evaluates it once on the test set.

    For example, `train(TrainConfig(dataset="digits", epochs=20))`.

    Args:
        config: `TrainConfig`.

    Returns:
        `TrainResult`. The files of the run folder are described in `run_folder.py`.

    Raises:
        TypeError, ValueError: for a configuration that cannot run; before any training.
        FileExistsError: if the run folder holds a run and `config.resume` is False.
        BlockingIOError: if another process is training in the run folder.
        OSError: if the run folder cannot be written, or the disk fills up; what was saved before
            stays intact.
        FloatingPointError: if the loss becomes infinite or NaN.
    """
    if not isinstance(config, TrainConfig):
        raise TypeError(f"train takes a TrainConfig, got {config!r}.")
    start = time.perf_counter()
    # Then everything is in the run folder, and the weights it began with may be gone.
    goes_on = config.resume and RunFolder.for_config(config).state_path.is_file()
    ancestors = [] if goes_on else _ancestors(config)
    dataset = _load(config)
    if not _fits_the_network(dataset.image_shape, config):
        size = preset_config(config.preset)["image_shape"][:2]
        print(
            f"Cropped around the middle and resized to {size[0]}x{size[1]}, as {config.preset} "
            "takes them; another image_size gives the network another size.",
            flush=True,
        )
        config = dataclasses.replace(config, image_size=list(size))
        dataset = _load(config)
    print(dataset, flush=True)
    _check_held_out(config, ancestors, dataset)
    config = config.resolved(num_train=len(dataset.x_train))
    if config.initial_weights is not None:
        changes = network_changes(config.initial_weights)
        if changes:  # so that who starts from this run learns of them
            config = dataclasses.replace(config, network={**changes, **(config.network or {})})
    batches = TrainingBatches(
        dataset.x_train,
        dataset.y_train,
        dataset.num_classes,
        config.batch_size,
        config.seed,
        config.mixup_alpha or 0.0,
        config.cutmix_alpha or 0.0,
    )
    run = RunFolder.for_config(config)
    with _devices(config) as num_devices:
        if config.batch_size % num_devices:
            raise ValueError(
                f"batch_size={config.batch_size} is not divisible by the {num_devices} devices."
            )
        start_from = None if goes_on else config.initial_weights
        model = _compiled_classifier(config, dataset, batches.steps_per_epoch, start_from)
        bytes_needed = BYTES_PER_PARAMETER * model.count_params()
        provenance = {**_identity(dataset), "ancestors": ancestors}
        if config.dataset not in NAMED_SOURCES:
            provenance["dataset_path"] = run.path_to(config.dataset)
        with run.prepared(config, bytes_needed, provenance):
            print(_headline(config, model, run, num_devices), flush=True)
            print(f"data and model ready after {time.perf_counter() - start:.1f} s", flush=True)
            if run.is_complete:
                print(
                    "This run is complete already. For another, give another run_dir or seed.",
                    flush=True,
                )
            else:
                _fit(config, model, run, dataset, batches)
                _evaluate(config, model, run, dataset, num_devices)
        kept_model, _ = load_model(run.model_path)
    return TrainResult(run, kept_model, dataset, run.read_metrics(), run.read_history())


def _load(config):
    return load_dataset(
        config.dataset,
        validation_size=config.validation_size,
        seed=config.seed,
        image_size=config.image_size,
        limit_train=config.limit_train,
    )


def _fits_the_network(image_shape, config):
    """Whether the network may enlarge the images itself.

    It would stretch images of another shape, and of larger ones it would skip pixels.
    """
    if config.image_size is not None:
        return True
    height, width = preset_config(config.preset)["image_shape"][:2]
    rows, columns = image_shape[:2]
    return rows <= height and columns <= width and rows * width == columns * height


def _ancestors(config):
    """The runs that the weights to start from have been through, the last one first.

    Of each, what decided which images it was trained on, as far as that is known.
    """
    if config.initial_weights is None:
        return []
    before = trained_with(config.initial_weights)
    if "dataset" not in before:  # nothing is known of it
        return []
    names = ("dataset", "seed", "validation_size", "image_size", *DATA_IDS)
    return [{name: before.get(name) for name in names}, *before.get("ancestors", [])]


def _identity(dataset):
    return {name: getattr(dataset, name) for name in DATA_IDS}


def _check_held_out(config, ancestors, dataset):
    """Refuses to measure on images that the weights to start from were trained on."""
    identities = {_size_of(config.image_size): _identity(dataset)}
    for before in ancestors:
        known = {name: before[name] for name in DATA_IDS if before.get(name) is not None}
        size = _size_of(before.get("image_size") if known else config.image_size)
        if size not in identities:
            identities[size] = _identity_in_size(before.get("image_size"), config)
        identity = identities[size]
        same_images = "data_id" in known and known["data_id"] == identity.get("data_id")
        if not same_images and not same_data(before["dataset"], config.dataset):
            continue
        split = {name: before[name] for name in ("seed", "validation_size")}
        held_back = {name: known[name] for name in ("validation_id", "test_id") if name in known}
        # Runs of older versions did not note which images they held back.
        same = held_back.items() <= identity.items()
        if len(held_back) < 2:
            same = same and _asks_for(config, split)
        if same:
            continue
        start = f"initial_weights={config.initial_weights!r} were trained on {before['dataset']!r}"
        if not _asks_for(config, split):
            raise ValueError(
                f"{start} with seed={split['seed']!r} and "
                f"validation_size={split['validation_size']!r}. Give these two here as well: "
                "otherwise images to validate or to test on would be among those trained on."
            )
        raise ValueError(
            f"{start}, on another copy or before it changed, which held back other images: "
            f"images to validate or to test on in this copy ({dataset.source}) would be among "
            "those trained on. Use that copy, or leave initial_weights out. If these are other "
            "data of the same name, give their absolute path."
        )


def _size_of(image_size):
    """As a key of a dictionary: a list is none."""
    return None if image_size is None else tuple(image_size)


def _identity_in_size(image_size, config):
    """The identity of the data in another image size, or {} if they cannot be had in that one.

    Then they cannot be what anything was trained on in that size.
    """
    print("Compared with what the weights were trained on, in their image size:", flush=True)
    try:
        dataset = load_dataset(
            config.dataset,
            validation_size=config.validation_size,
            seed=config.seed,
            image_size=image_size,
        )
    except ValueError:
        print("These images cannot be loaded in that size, so they are others.", flush=True)
        return {}
    return _identity(dataset)


def _asks_for(config, split):
    return all(getattr(config, name) == value for name, value in split.items())


def _compiled_classifier(config, dataset, steps_per_epoch, start_from):
    overrides = dict(config.network or {})
    overrides |= {
        name: getattr(config, name)
        for name in NETWORK_SETTINGS
        if getattr(config, name) is not None
    }
    if config.group_channels == 0:
        overrides["group_channels"] = None  # C // num_div, whatever the recipe has
    if config.max_translation is not None:
        overrides["max_translation"] = config.max_translation
    if start_from is not None:
        overrides["weights"] = start_from
    model = build_classifier(
        config.preset,
        num_classes=dataset.num_classes,
        image_shape=dataset.image_shape,
        augmentation=config.augmentation,
        horizontal_flip=config.horizontal_flip,
        seed=config.seed,
        dtype=config.precision,
        image_size=config.image_size,
        **overrides,
    )
    total_steps = config.epochs * steps_per_epoch
    schedule = warmup_cosine(
        config.lr_start,
        config.lr_max,
        math.floor(config.warmup_fraction * total_steps),
        total_steps,
    )
    optimizer = build_optimizer(
        schedule,
        config.weight_decay,
        config.weight_decay_mode,
        decay_all=bool(config.decay_all),
        ema_momentum=config.ema_momentum,
        global_clipnorm=config.global_clipnorm,
        optimizer=config.optimizer,
    )
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        ),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="top1"),
            keras.metrics.TopKCategoricalAccuracy(k=min(5, dataset.num_classes), name="top5"),
        ],
        jit_compile=resolve_jit(config.jit, config.data_parallel),
        steps_per_execution=config.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def resolve_jit(jit, data_parallel=False):
    """Whether to compile with XLA: `jit` itself, or for "auto" what is faster on this backend.

    Keras's own "auto" leaves XLA off for TensorFlow on a CPU, which makes a step of `nano` 2 to 4
    times slower. PyTorch stays eager: there, compiling costs minutes and gains little on these
    networks.

    Args:
        jit: "auto", True or False.
        data_parallel: bool, train on several devices.

    Returns:
        bool.

    Raises:
        ValueError: for what does not go together on this backend.

    >>> resolve_jit(False)
    False
    """
    if keras.backend.backend() == "tensorflow" and data_parallel:
        # Keras compiles the step of all devices as one, in which XLA allows variables of one only.
        if jit is True:
            raise ValueError("jit=True does not work with data_parallel on TensorFlow: use 'auto'.")
        return False
    return keras.backend.backend() in ("tensorflow", "jax") if jit == "auto" else jit


@contextlib.contextmanager
def _devices(config):
    """The scope in which a model is built and trained; yields its number of devices."""
    if not config.data_parallel:
        yield 1
    elif keras.backend.backend() == "jax":
        distribution = keras.distribution.DataParallel()
        with distribution.scope():
            yield len(keras.distribution.list_devices())
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        with strategy.scope():
            yield strategy.num_replicas_in_sync
    else:
        raise ValueError(
            "data_parallel needs the TensorFlow or JAX backend; set KERAS_BACKEND to one of them."
        )


def _headline(config, model, run, num_devices):
    backend = keras.backend.backend()
    compiled = (
        "compiled by XLA (the first step takes a while)" if model.jit_compile else "not compiled"
    )
    return (
        f"{config.preset}: {model.count_params():,} parameters, {config.precision}, Keras "
        f"{keras.__version__} on "
        f"{backend}, {describe_device(num_devices)}, {num_devices} device(s), {compiled}"
        f"\nrun folder: {run}"
    )


def _fit(config, model, run, dataset, batches):
    epoch, step = run.load_state(model, batches.steps_per_epoch)
    if epoch or step:
        print(f"Resuming after {epoch} epochs and {step} steps.", flush=True)
    history = run.read_history()
    if len(history) < epoch:
        raise ValueError(
            f"{run.history_path} has {len(history)} rows, but {epoch} epochs are done. Put back a "
            "good copy, or give another run_dir."
        )
    epoch_end = EpochEnd(
        run,
        dataset,
        batches,
        config.epochs,
        config.early_stopping_patience or None,
        config.save_every_steps,
        config.save_every_epochs,
        keep_last=config.keep_weights == "last",
    )
    # A row more is that of an epoch whose state was not saved.
    epoch_end.history = history[:epoch]
    callbacks = [EpochStart(batches), epoch_end]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(TensorBoardScalars(run.path / "tensorboard", epoch_end))
    # The batches come shuffled; Keras would shuffle their order once more, each time anew.
    fit_options = {"callbacks": callbacks, "shuffle": False, "verbose": 0}
    if step:
        # The interrupted epoch has fewer steps than the others, and Keras fixes their number for
        # each fit().
        batches.start_epoch(epoch, step)
        model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, **fit_options)
        batches.start_epoch(epoch + 1)
        # At its end fit() has put the averages in place of the weights, if there are any: take the
        # weights back.
        epoch, _ = run.load_state(model, batches.steps_per_epoch)
    if epoch < config.epochs and not epoch_end.should_stop:
        model.fit(batches, initial_epoch=epoch, epochs=config.epochs, **fit_options)


def _evaluate(config, model, run, dataset, num_devices):
    """Scores of the weights that were kept, with the one look at the test set, if there is one."""
    history = run.read_history()
    best_epoch = max(history, key=lambda row: row["val_top1"])["epoch"]
    kept_epoch = history[-1]["epoch"] if config.keep_weights == "last" else best_epoch
    kept_model, _ = load_model(run.model_path)
    model.set_weights(kept_model.get_weights())  # `model` has its compiled function already
    start = time.perf_counter()
    scores: dict[str, float] = {}
    for split in ("test", "val") if config.use_test_set else ("val",):
        images, labels = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        measured = classification_metrics(predict_logits(model, images, config.batch_size), labels)
        scores |= {f"{split}_{name}": value for name, value in measured.items()}
    evaluation_seconds = time.perf_counter() - start
    # The first epoch of a process holds the compilation.
    steady = sorted(row["images_per_second"] for row in history[1:] or history)
    run.write_json(
        run.metrics_path,
        {
            **scores,
            "epochs": len(history),
            "best_epoch": best_epoch,
            "kept_epoch": kept_epoch,
            "train_seconds": sum(row["seconds"] for row in history),
            "evaluation_seconds": evaluation_seconds,
            "images_per_second": steady[len(steady) // 2],
            "parameters": model.count_params(),
            "backend": keras.backend.backend(),
            "device": describe_device(num_devices),
            "versions": versions(),
            "data_source": dataset.source,
            "seed": config.seed,
        },
    )
    split, name = ("test", "test") if config.use_test_set else ("val", "validation")
    print(
        f"{name} top-1 {scores[f'{split}_top1']:.2%}, top-5 {scores[f'{split}_top5']:.2%}, loss "
        f"{scores[f'{split}_loss']:.3f} ({len(getattr(dataset, f'x_{split}')):,} images)\n"
        f"model: {run}/{run.model_path.name}",
        flush=True,
    )
