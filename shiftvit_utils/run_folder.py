"""A run folder: where one training run keeps its model, its history and the state to resume from.

model.keras        the model to use: the weights of the best validation accuracy,
                   or the last, as `keep_weights` says
last.weights.h5    the last state, with that of the optimizer: what a killed run resumes from
history.csv        one row an epoch
config.json        the configuration of the run, which images it knew and held back, and where
                   they are, as seen from this folder
metrics.json       written last, so its presence means that the run is complete
"""

import contextlib
import csv
import dataclasses
import errno
import io
import itertools
import json
import os
import re
import shutil
from pathlib import Path

import h5py

from shiftvit_utils.data import NAMED_SOURCES, source_text
from shiftvit_utils.saving import written_beside

# What may differ between a run and its resumption: where and how it runs, not what it computes.
MAY_DIFFER = {
    "run_dir",
    "resume",
    "save_every_steps",
    "save_every_epochs",
    "jit",
    "steps_per_execution",
    "data_parallel",
}
# What `Dataset` says about which images there are, and which are held back.
DATA_IDS = ("data_id", "validation_id", "test_id")


def runs_root():
    """The parent of all run folders: `$SHIFTVIT_RUNS`, else `runs/` of the clone, else `./runs`."""
    if os.environ.get("SHIFTVIT_RUNS"):
        return Path(os.environ["SHIFTVIT_RUNS"]).expanduser()
    clone = Path(__file__).resolve().parents[1]
    return clone / "runs" if (clone / "pyproject.toml").is_file() else Path("runs")


def newest_run(dataset=None):
    """The run folder whose model was written last.

    Args:
        dataset: None, or only runs on this one, as `TrainConfig.dataset` names it.

    Returns:
        `RunFolder` with a `model.keras`.

    Raises:
        FileNotFoundError: there is none; says where it looked and how to train one.
    """
    runs = [RunFolder(path.parent) for path in runs_root().glob("*/model.keras")]
    if dataset is not None:
        runs = [run for run in runs if same_data(run.dataset, source_text(dataset))]
    if not runs:
        wanted = f" on {dataset}" if dataset is not None else ""
        raise FileNotFoundError(
            f"No trained model{wanted} in {runs_root()}. Train one: `make train"
            f"{'' if dataset in (None, 'digits') else f' DATASET={dataset}'}`, or run "
            "notebook 05_train. $SHIFTVIT_RUNS names another place for runs."
        )
    return max(runs, key=lambda run: run.model_path.stat().st_mtime)


def same_data(one, other):
    """Whether two values of `TrainConfig.dataset` mean the same, however they are spelled.

    >>> same_data("runs/../mine.npz", "mine.npz")
    True
    """
    if one is None or other is None:
        return False
    if one in NAMED_SOURCES or other in NAMED_SOURCES:  # a folder of that name is "./digits"
        return one == other
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


class RunFolder:
    """Reads and writes one run folder. Each file is written whole or not at all.

    Args:
        path: str or Path of the folder; it need not exist.

    >>> RunFolder("runs/not-there-yet").is_complete
    False
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        self.model_path = self.path / "model.keras"
        self.state_path = self.path / "last.weights.h5"
        self.history_path = self.path / "history.csv"
        self.config_path = self.path / "config.json"
        self.metrics_path = self.path / "metrics.json"

    @classmethod
    def for_config(cls, config):
        """The folder that a configuration means: its `run_dir`, or one under `runs_root()`.

        Without a `run_dir`, a new run takes the first free name (`digits-micro`, `digits-micro-2`,
        ...), and a resumed one the newest that is not complete.
        """
        if config.run_dir is not None:
            return cls(config.run_dir)
        stem = f"{Path(config.dataset).stem}-{config.preset}"
        pattern = re.compile(rf"{re.escape(stem)}(?:-(\d+))?")
        matches = [pattern.fullmatch(path.name) for path in runs_root().glob("*")]
        taken = {int(match[1] or 1): cls(runs_root() / match[0]) for match in matches if match}
        if config.resume and taken:
            incomplete = [number for number in taken if not taken[number].is_complete]
            return taken[max(incomplete or taken)]
        free = next(number for number in itertools.count(1) if number not in taken)
        return cls(runs_root() / (stem if free == 1 else f"{stem}-{free}"))

    def path_to(self, path):
        """A path as seen from this folder, which stays true wherever a later process starts.

        Absolute where there is none: on another drive of Windows.
        """
        path = Path(path).expanduser().resolve()
        try:
            return os.path.relpath(path, self.path.resolve())
        except ValueError:
            return str(path)

    def __str__(self):
        """The path from where you are; absolute if it is far off."""
        try:
            relative = os.path.relpath(self.path)
        except ValueError:  # on another drive, where Windows has some
            return str(self.path)
        return str(self.path) if relative.startswith(os.path.join("..", "..")) else relative

    @property
    def is_complete(self):
        """Whether the run has ended."""
        return self.metrics_path.is_file()

    @contextlib.contextmanager
    def prepared(self, config, bytes_needed, provenance=None):
        """Makes the folder ready for a run, and keeps it from other processes while that lasts.

        Args:
            config: the resolved `TrainConfig`.
            bytes_needed: int, about how much the run will write.
            provenance: None, or a dict of what `config.json` shall hold beside the configuration.
                A run resumes only with the same `DATA_IDS` as are in there.

        Raises:
            FileExistsError: if there is a run and `resume` is False.
            BlockingIOError: if another process is training in the folder.
            ValueError: if the run in the folder has another configuration, or a damaged one.
            OSError: if the folder cannot be written or the disk is too full.
        """
        settings = dataclasses.asdict(config)
        provenance = provenance or {}
        found = [path.name for path in self._own_files() if path.exists()]
        if found and not config.resume:
            advice = "Resume it with resume=True (papermill: -p resume True), or give"
            if not self.config_path.is_file():
                advice = "Give"
            raise FileExistsError(
                f"{self.path} already holds a run ({', '.join(found)}). {advice} another run_dir."
            )
        if found and not self.config_path.is_file():
            raise ValueError(
                f"Cannot resume {self.path}: it holds {', '.join(found)}, but no config.json that "
                "says which run that was. Put it back, or give another run_dir."
            )
        if found:
            before = self.read_config()
            differing = [
                f"{name}: {before.get(name)!r} in the folder, {value!r} now"
                for name, value in settings.items()
                if name not in MAY_DIFFER and before.get(name) != value
            ]
            if differing:
                raise ValueError(
                    f"Cannot resume {self.path} with another configuration "
                    f"({'; '.join(differing)}). Use the same "
                    "arguments, or give another run_dir."
                )
            if any(
                before.get(name, provenance[name]) != provenance[name]
                for name in DATA_IDS
                if name in provenance
            ):
                raise ValueError(
                    f"Cannot resume {self.path}: {config.dataset!r} holds other images now, or "
                    "holds back others for validation and test, which would be among those "
                    "trained on. Use the data that the run began with, or give another run_dir."
                )
            # What an older version did not write down, nobody knows now.
            provenance = {name: before[name] for name in provenance if name in before}
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_locked(self.path))
                for left_behind in self._left_behind():
                    left_behind.unlink()
                free = shutil.disk_usage(self.path).free
                if free >= bytes_needed and not self.is_complete:
                    self.write_json(self.config_path, settings | provenance)
            except BlockingIOError:
                raise
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"The run folder cannot be written ({error.strerror}); give another run_dir",
                    str(self.path),
                ) from error
            if free < bytes_needed and not self.is_complete:
                raise OSError(
                    f"{self.path}: the disk has {free / 2**20:.0f} MiB free, a run of this model "
                    "needs about "
                    f"{bytes_needed / 2**20:.0f} MiB. Free some space or give another run_dir."
                )
            yield

    def _own_files(self):
        return (
            *(self.config_path, self.state_path, self.history_path),
            *(self.model_path, self.metrics_path),
        )

    def _left_behind(self):
        """Half-written files of a run that was killed. Others may write here, too: an export."""
        names = "|".join(re.escape(path.name) for path in self._own_files())
        pattern = re.compile(rf"\.partial-\d+-({names})")
        return [path for path in self.path.iterdir() if pattern.fullmatch(path.name)]

    def write_json(self, path, content):
        """Writes a JSON file whole or not at all."""
        with written_beside(path) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")

    def save_state(self, model, epoch, step, steps_per_epoch):
        """Saves weights, optimizer and position, whole or not at all.

        Args:
            model: the compiled `keras.Model`.
            epoch: int, number of complete epochs.
            step: int, steps done in the epoch after those.
            steps_per_epoch: int.
        """
        # In memory first: HDF5 on a disk that fills up leaves Python with a segmentation fault.
        content = _FileInMemory(self.state_path.name)
        model.save_weights(content)
        # The position is part of the same file, so it can never disagree with the weights.
        with h5py.File(content, "a") as file:
            file.attrs.update(epoch=epoch, step=step, steps_per_epoch=steps_per_epoch)
        with written_beside(self.state_path) as partial:
            # Not `getbuffer`: a view that outlives a failed write crashes Python 3.12 later.
            partial.write_bytes(content.getvalue())

    def load_state(self, model, steps_per_epoch):
        """Restores what `save_state` saved, if there is anything.

        Returns:
            `(epoch, step)`: complete epochs, and steps in the one after; `(0, 0)` if there is no
            state yet.

        Raises:
            ValueError: if the state belongs to another amount of training data or cannot be read.
        """
        if not self.state_path.is_file():
            return 0, 0
        try:
            with h5py.File(self.state_path) as file:
                epoch, step, saved_steps = (
                    int(file.attrs[name]) for name in ("epoch", "step", "steps_per_epoch")
                )
        except (OSError, KeyError) as error:
            raise ValueError(
                f"{self.state_path} is no training state of this project, or it is damaged "
                f"({error}). Remove it to "
                "train from the start."
            ) from error
        if saved_steps != steps_per_epoch:
            raise ValueError(
                f"{self.state_path} was saved with {saved_steps} steps an epoch, now there are "
                f"{steps_per_epoch}: the "
                "training data has changed. Give another run_dir."
            )
        try:
            model.load_weights(self.state_path)
        except Exception as error:  # Keras and HDF5 raise many types; all mean that it does not fit
            raise ValueError(
                f"{self.state_path} is no state of this network, or it is damaged ({error}). "
                "Remove it to train from the start."
            ) from error
        return epoch, step

    def read_history(self):
        """The rows of `history.csv` as dictionaries of numbers, oldest first.

        Raises:
            ValueError: if it is damaged.
        """
        if not self.history_path.is_file():
            return []
        try:
            with open(self.history_path, newline="") as file:
                rows = [
                    {name: float(value) for name, value in row.items()}
                    for row in csv.DictReader(file)
                ]
            return [{**row, "epoch": int(row["epoch"])} for row in rows]
        except (ValueError, TypeError, KeyError, csv.Error) as error:
            raise ValueError(
                f"{self.history_path} is damaged ({type(error).__name__}: {error}). Put back a "
                "good copy, or give another run_dir."
            ) from error

    def write_history(self, rows):
        """Writes `history.csv` whole or not at all.

        Args:
            rows: list of dictionaries with the same keys.
        """
        with written_beside(self.history_path) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0] if rows else ["epoch"])
            writer.writeheader()
            writer.writerows(rows)

    def read_config(self):
        """The content of `config.json`.

        Raises:
            FileNotFoundError: if there is none: no run has begun here.
            ValueError: if the file is damaged.
        """
        if not self.config_path.is_file():
            raise FileNotFoundError(f"{self.config_path} does not exist: that is no run folder.")
        config = _read_json(self.config_path)
        if "optimizer" in config:
            # Older versions wrote None for the only one that recipes had.
            config["optimizer"] = config["optimizer"] or "adamw"
        return config

    @property
    def dataset(self):
        """The data of the run, as `load_dataset` takes it; None if it does not say."""
        try:
            config = self.read_config()
        except (OSError, ValueError):
            return None
        if config.get("dataset_path"):
            return str(self.path / config["dataset_path"])
        return config.get("dataset")

    def read_metrics(self):
        """The content of `metrics.json`.

        Raises:
            FileNotFoundError: if the run has not ended.
            ValueError: if the file is damaged.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"There is no run folder {str(self.path)!r}: check the path.")
        if not self.is_complete:
            raise FileNotFoundError(
                f"{self.metrics_path} does not exist: that run has not ended. Resume it first."
            )
        return _read_json(self.metrics_path)


@contextlib.contextmanager
def _locked(folder):
    """Holds a folder for this process. The system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows cannot lock a folder
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                errno.EWOULDBLOCK,
                "Another process is training in this run folder. Let it end, or give another "
                "run_dir",
                str(folder),
            ) from error
        except OSError:  # a file system without locks, as some that are mounted over the network
            pass
        yield
    finally:
        os.close(handle)


class _FileInMemory(io.BytesIO):
    """What Keras writes weights to as if it were a file of this name."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def __str__(self):
        return self.name


def _read_json(path):
    """The dict in a JSON file of a run."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Put back a good copy, or give another run_dir."
        ) from error
    return content
