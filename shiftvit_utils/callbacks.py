"""Around each epoch of a run: fresh random numbers, validation, one log line, a saved state."""

import time

import keras
import numpy as np

from shiftvit_utils.evaluation import classification_metrics, predict_logits
from shiftvit_utils.saving import save_model


def mix_images(images, labels, mixup_alpha, cutmix_alpha, rng):
    """MixUp or CutMix: each image of a batch is mixed with another one, and so are their labels.

    MixUp adds them, pixel by pixel, with weights `share` and `1 - share`. CutMix puts a rectangle
    of the other one in, that covers `1 - share` of the image. A batch has one share, drawn from
    Beta(alpha, alpha). Keras has both as layers, but their random state would not come back
    when a run is resumed within an epoch.

    Args:
        images: uint8 array `(N, H, W, C)`.
        labels: float array `(N, num_classes)`, one-hot.
        mixup_alpha: float >= 0, 0 for no MixUp.
        cutmix_alpha: float >= 0, 0 for no CutMix. If neither is 0, each batch takes one of the two.
        rng: NumPy random generator.

    Returns:
        `(images, labels)` of the same shapes; images are float32 after MixUp.

    Reference:
        Zhang et al., "mixup", arXiv 1710.09412; Yun et al., "CutMix", arXiv 1905.04899.
    """
    if mixup_alpha == 0 and cutmix_alpha == 0:
        return images, labels
    cut = mixup_alpha == 0 or (cutmix_alpha > 0 and rng.random() < 0.5)
    alpha = cutmix_alpha if cut else mixup_alpha
    share = rng.beta(alpha, alpha)
    other = rng.permutation(len(images))
    if cut:
        height, width = images.shape[1:3]
        side = np.sqrt(1.0 - share)
        # The rectangle's middle may lie anywhere, so it may stick out: what counts is what is seen.
        middle = rng.random(2) * (height, width)
        half = 0.5 * side * np.array((height, width))
        top, left = np.clip(np.round(middle - half), 0, (height, width)).astype(int)
        bottom, right = np.clip(np.round(middle + half), 0, (height, width)).astype(int)
        mixed = images.copy()
        mixed[:, top:bottom, left:right] = images[other, top:bottom, left:right]
        share = 1.0 - (bottom - top) * (right - left) / (height * width)
    else:
        weight = np.float32(share)  # a Python float would make float64 of every pixel on the way
        mixed = weight * images + (1 - weight) * images[other]
    return mixed, (share * labels + (1.0 - share) * labels[other]).astype("float32")


class TrainingBatches(keras.utils.PyDataset):
    """Shuffled batches of one size, as a function of seed and epoch alone.

    So a resumed run sees the images in the order in which it would have seen them.

    Args:
        images: uint8 array `(N, H, W, 3)`.
        labels: int array `(N,)`.
        num_classes: int.
        batch_size: int. The `N % batch_size` images left over are others in every epoch.
        seed: int.
        mixup_alpha, cutmix_alpha: floats >= 0, as in `mix_images`.

    Items: `(images, labels)`: `(batch_size, H, W, 3)` uint8 (float32 with MixUp) and one-hot
        `(batch_size, num_classes)` float32.
    """

    def __init__(
        self, images, labels, num_classes, batch_size, seed, mixup_alpha=0.0, cutmix_alpha=0.0
    ):
        super().__init__()
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha
        self.images = images
        # One-hot, because Keras smooths no integer labels, and its sparse top-5 metric fails on
        # several JAX devices.
        self.labels = keras.utils.to_categorical(labels, num_classes).astype("float32")
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = len(images) // batch_size
        self.start_epoch(0)

    def start_epoch(self, epoch, step=0):
        """Shuffles for an epoch, and leaves out the batches before `step`."""
        self.epoch, self.first_step = epoch, step
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))

    def __len__(self):
        return self.steps_per_epoch - self.first_step

    def __getitem__(self, index):
        step = self.first_step + index
        chosen = self.order[step * self.batch_size : (step + 1) * self.batch_size]
        images, labels = mix_images(
            self.images[chosen],
            self.labels[chosen],
            self.mixup_alpha,
            self.cutmix_alpha,
            np.random.default_rng([self.seed, self.epoch, step]),
        )
        # One type in the whole run: another one would make TensorFlow trace the network again.
        return images.astype("float32") if self.mixup_alpha else images, labels


class EpochStart(keras.callbacks.Callback):
    """Sets the order of the data and all random states of the model from seed, epoch and step.

    So epoch 7 draws the same numbers in a run that was resumed after epoch 6 as in one that never
    stopped.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        step = self.batches.first_step if epoch == self.batches.epoch else 0
        self.batches.start_epoch(epoch, step)
        rng = np.random.default_rng([self.batches.seed, epoch, step])
        for variable in self.model.non_trainable_variables:
            if variable.name == "seed_generator_state":
                set_random_state(variable, rng)
        if keras.backend.backend() == "torch":
            import torch

            # Keras drops out by PyTorch's own random numbers where a layer has no seed.
            torch.manual_seed(int(rng.integers(0, 2**31 - 1)))


def set_random_state(variable, rng):
    """Gives the state of a `SeedGenerator` new numbers, to each device others.

    Args:
        variable: the state.
        rng: NumPy random generator.
    """
    variable.assign(rng.integers(0, 2**31 - 1, variable.shape))
    if keras.backend.backend() == "tensorflow":
        # Training on several devices, TensorFlow keeps a copy on each. From equal ones, all would
        # crop and drop alike: image k of each device as image k of the others.
        for copy in getattr(variable.value, "values", ())[1:]:
            copy.assign(rng.integers(0, 2**31 - 1, variable.shape))


class EpochEnd(keras.callbacks.Callback):
    """Ends an epoch: validates, keeps the model, adds to the history, saves the state, logs.

    Args:
        run: `RunFolder`.
        dataset: `Dataset`.
        batches: `TrainingBatches`.
        epochs: int, of the whole run.
        patience: None or int, epochs without a better validation accuracy after which training
            stops.
        save_every_steps: int, 0 for at the end of epochs only.
        save_every_epochs: int, at the end of which epochs: every so many, and the last.
        keep_last: bool, keep the model of every epoch, so that the last one stays, whatever it is
            worth; else only one that is better than all before.
    """

    def __init__(
        self,
        run,
        dataset,
        batches,
        epochs,
        patience=None,
        save_every_steps=0,
        save_every_epochs=1,
        keep_last=False,
    ):
        super().__init__()
        self.run = run
        self.dataset = dataset
        self.batches = batches
        self.epochs = epochs
        self.patience = patience
        self.save_every_steps = save_every_steps
        self.save_every_epochs = save_every_epochs
        self.keep_last = keep_last
        self.history = []

    @property
    def should_stop(self):
        """Whether the validation accuracy has not risen for `patience` epochs."""
        if self.patience is None or not self.history:
            return False
        accuracies = [row["val_top1"] for row in self.history]
        return len(accuracies) - 1 - int(np.argmax(accuracies)) >= self.patience

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.start_time = time.perf_counter()
        self.first_step = self.last_saved_step = self.batches.first_step

    def on_train_begin(self, logs=None):
        self.train_begin_time = time.perf_counter()
        self.waits_for_first_step = True

    def on_train_batch_begin(self, batch, logs=None):
        # What is done between two steps is done here, before the second one: for a callback at
        # the end of a step, Keras waits until a GPU has finished it, and meanwhile prepares
        # nothing.
        if batch == 0:
            return
        self._report_first_step()
        step = self.first_step + batch
        # The last step's state is saved at the end of the epoch, together with its results.
        if self.save_every_steps and step - self.last_saved_step >= self.save_every_steps:
            self._save_state(self.epoch, step)
            self.last_saved_step = step

    def _report_first_step(self):
        if self.waits_for_first_step:
            seconds = time.perf_counter() - self.train_begin_time
            print(f"first step after {seconds:.1f} s (tracing and compiling)", flush=True)
            print(LOG_HEADER, flush=True)
            self.waits_for_first_step = False

    def on_epoch_end(self, epoch, logs=None):
        train_seconds = time.perf_counter() - self.start_time
        self._report_first_step()  # of a run with one step an epoch
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._check_finite("training loss", logs["loss"])
        images_seen = (self.batches.steps_per_epoch - self.first_step) * self.batches.batch_size
        validation, is_best = self._validate_and_keep()
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "top1": logs["top1"],
            "top5": logs["top5"],
            **{f"val_{name}": value for name, value in validation.items()},
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "images_per_second": images_seen / train_seconds,
            "seconds": time.perf_counter() - self.start_time,
        }
        self.history.append(row)
        self.run.write_history(self.history)
        # After the history: a kill between the two repeats this epoch, and its row is cut off
        # before.
        is_last = epoch + 1 == self.epochs or self.should_stop
        # An epoch that was resumed within it: `train` goes on from the state at its end.
        in_parts = self.first_step > 0
        # The best model must not be of an epoch that a resumed run would do anew.
        is_due = is_best or (epoch + 1) % self.save_every_epochs == 0
        if is_last or in_parts or is_due:
            self._save_state(epoch + 1, 0)
        print(epoch_line(self.history, self.epochs), flush=True)
        if self.should_stop:
            print(
                f"No better validation accuracy for {self.patience} epochs: stopping early.",
                flush=True,
            )
            self.model.stop_training = True

    def _check_finite(self, what, values):
        if not np.isfinite(values).all():
            found = values if np.ndim(values) == 0 else "NaN or infinite"
            raise FloatingPointError(
                f"The {what} became {found} in epoch {self.epoch + 1}. Lower lr_max, "
                "warm up for longer, or "
                "set global_clipnorm; with mixed_float16, try mixed_bfloat16 or float32. The last "
                "state before that is kept."
            )

    def _validate_and_keep(self):
        """The scores, and whether `model.keras` is this epoch's because it is the best so far."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # inside the loss scaling
        trained = self.model.get_weights() if optimizer.use_ema else None
        if trained is not None:
            # Puts the averages in place of the weights.
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
            # Copies of them: on JAX, predict() gives the arrays of the weights away.
            self.model.set_weights(self.model.get_weights())
        logits = predict_logits(self.model, self.dataset.x_val, self.batches.batch_size)
        # The loss of the last step was measured before its update.
        self._check_finite("network's answers", logits)
        validation = classification_metrics(logits, self.dataset.y_val)
        best = max((row["val_top1"] for row in self.history), default=-1.0)
        is_best = validation["top1"] > best and not self.keep_last
        if is_best or self.keep_last:
            save_model(self.model, self.run.model_path, self.dataset.class_names)
        if trained is not None:
            self.model.set_weights(trained)
        return validation, is_best

    def _save_state(self, epoch, step):
        if step:  # in the middle of an epoch
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()  # JAX holds the newest weights elsewhere
            self._check_finite("training loss", float(self.model.get_metrics_result()["loss"]))
            # That loss is from before the last update.
            few = keras.ops.convert_to_tensor(self.dataset.x_val[:8])
            logits = self.model(few, training=False)
            self._check_finite("network's answers", keras.ops.convert_to_numpy(logits))
        self.run.save_state(self.model, epoch, step, self.batches.steps_per_epoch)


LOG_HEADER = (
    "  epoch | train:  loss  top-1  top-5 | val:  loss  top-1  top-5 "
    "|      lr | images/s | time left"
)


def epoch_line(history, epochs):
    """The log line of the newest epoch, in the columns of `LOG_HEADER`.

    Args:
        history: rows of the epochs so far, as in `history.csv`.
        epochs: int, of the whole run.

    Returns:
        str. Accuracies are in %, losses in nats, the time left is in minutes and seconds.
    """
    row = history[-1]
    # The first epoch holds the compilation, so it says little of the others.
    typical = np.median([r["seconds"] for r in history[1:]] or [row["seconds"]])
    minutes, seconds = divmod(round(typical * (epochs - row["epoch"])), 60)
    return (
        f"{row['epoch']:3d}/{epochs:<3d} |       {row['loss']:6.3f} {row['top1']:6.1%} "
        f"{row['top5']:6.1%} |     {row['val_loss']:6.3f} {row['val_top1']:6.1%} "
        f"{row['val_top5']:6.1%} | {row['learning_rate']:.1e} |{row['images_per_second']:9,.0f} "
        f"| {minutes:3d}:{seconds:02d} min"
    )


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes the numbers of each epoch for TensorBoard.

    Keras's own callback needs TensorFlow, this one works on any backend.

    Args:
        folder: Path of the event files.
        epoch_end: the `EpochEnd` that makes the numbers.
    """

    def __init__(self, folder, epoch_end):
        super().__init__()
        from tensorboard.summary import Writer

        self.writer = Writer(str(folder))
        self.epoch_end = epoch_end

    def on_epoch_end(self, epoch, logs=None):
        for name, value in self.epoch_end.history[-1].items():
            self.writer.add_scalar(name, value, step=epoch + 1)
        self.writer.flush()
