"""The sweep: what it runs, what it does not run again, and that no failure is lost."""

import _thread
import concurrent.futures
import contextlib
import io
import json
import math
import signal
import threading
import types
from pathlib import Path

import pytest
import yaml

from shiftvit_utils import ShiftViT
from shiftvit_utils.ablation import (
    ABLATIONS,
    COLUMNS,
    Point,
    collect,
    points_of,
    read_csv,
    run_path,
    run_sweep,
    verdict,
    write_csv,
)
from shiftvit_utils.config import RECIPES, TrainConfig
from shiftvit_utils.layer_costs import layer_costs
from shiftvit_utils.run_folder import RunFolder
from shiftvit_utils.saving import load_model

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "05_train.ipynb"
POINTS = [Point("a", "base"), Point("a", "wide", {"network": {"num_div": 6}}), Point("b", "base")]
COMMON = {"dataset": "digits", "preset": "micro", "epochs": 1, "network": {"projected_dim": 12}}


class FakePapermill:
    """Leaves the files of a finished run behind; fails, or dies, where it is told to."""

    def __init__(self, fails=(), deaths=0):
        self.fails = fails
        self.deaths = deaths
        self.asked = []
        self.lock = threading.Lock()

    def __call__(self, command, env, **_):
        self.threads = env.get("OMP_NUM_THREADS")
        settings = yaml.safe_load(command[command.index("-y") + 1])
        path = Path(settings["run_dir"])
        with self.lock:
            self.asked.append(settings)
            if self.deaths:
                self.deaths -= 1
                message = "RuntimeError: Kernel died before replying to kernel_info"
                return types.SimpleNamespace(returncode=1, stderr=message)
        path.mkdir(parents=True, exist_ok=True)
        if path.name in self.fails:
            return types.SimpleNamespace(returncode=1, stderr="line\n" * 50 + f"broke {path.name}")
        metrics = dict.fromkeys(COLUMNS, 1) | {"val_top1": 0.5, "backend": "b", "device": "d"}
        recipe = settings.get("recipe", "light")
        network = {**RECIPES[recipe].get("network", {}), **(settings["network"] or {})}
        config = {**settings, "recipe": recipe, "network": network}
        (path / "config.json").write_text(json.dumps(config))
        (path / "metrics.json").write_text(json.dumps(metrics | {"test_top1": 0.1}))
        return types.SimpleNamespace(returncode=0, stderr="")


@pytest.fixture(params=[1, 3])
def sweep(request, tmp_path):
    def run(fake, points=POINTS, seeds=(0, 1), common=COMMON):
        folder = tmp_path / "sweep"
        run_sweep(points, list(seeds), folder, NOTEBOOK, common, request.param, run=fake)
        return folder

    return run


@pytest.mark.backend_free
def test_every_point_runs_once_a_seed_and_the_baseline_once_for_all_groups(sweep):
    fake = FakePapermill()
    sweep(fake)
    found = sorted((s["seed"], s["network"].get("num_div", 12)) for s in fake.asked)
    assert found == [(0, 6), (0, 12), (1, 6), (1, 12)]
    for settings in fake.asked:
        assert settings["network"]["projected_dim"] == 12  # of all runs, beside the point's own
        assert (settings["dataset"], settings["epochs"]) == ("digits", 1)
        assert settings["resume"] is False


@pytest.mark.backend_free
def test_what_is_finished_is_not_run_again_and_what_was_interrupted_goes_on(sweep):
    folder = sweep(FakePapermill())
    (run_path(folder, POINTS[1], 1) / "metrics.json").unlink()
    again = FakePapermill()
    sweep(again)
    assert [(s["seed"], s["network"]["num_div"], s["resume"]) for s in again.asked] == [
        (1, 6, True)
    ]


@pytest.mark.backend_free
def test_a_failure_is_named_and_the_others_are_kept(sweep, capsys):
    with pytest.raises(RuntimeError, match=r"(?s)1 of 4 runs failed.*a: wide, seed 0\n.*broke"):
        sweep(FakePapermill(fails=["a-wide-0"]))
    assert "a: wide, seed 0: FAILED" in capsys.readouterr().out
    again = FakePapermill()
    sweep(again)
    assert len(again.asked) == 1


@pytest.mark.backend_free
def test_a_kernel_that_died_before_its_first_cell_is_started_again(sweep):
    fake = FakePapermill(deaths=2)
    sweep(fake)
    assert len(fake.asked) == 4 + 2


@pytest.mark.backend_free
def test_kernels_that_never_start_are_a_failure_and_not_tried_for_ever(sweep):
    fake = FakePapermill(deaths=100)
    with pytest.raises(RuntimeError, match=r"(?s)4 of 4 runs failed.*died before replying"):
        sweep(fake)
    assert len(fake.asked) == 4 * 3


@pytest.mark.backend_free
def test_papermill_says_so_in_these_words(tmp_path, monkeypatch):
    pytest.importorskip("papermill")
    starts = tmp_path / "starts"
    spec = {"display_name": "dies", "language": "python"}
    spec["argv"] = ["sh", "-c", f"echo start >> '{starts}'; exit 1", "{connection_file}"]
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setattr("shiftvit_utils.ablation._KERNEL_STARTS", 2)  # each takes seconds
    with pytest.raises(RuntimeError, match="1 of 1 runs failed"):
        run_sweep([Point("a", "base")], [0], tmp_path / "sweep", NOTEBOOK, COMMON)
    assert starts.read_text().split() == ["start"] * 2


class Saying(io.StringIO):
    """What is printed, and whether that was the word that nothing more begins."""

    def __init__(self):
        super().__init__()
        self.said_so = threading.Event()

    def write(self, text):
        if "Interrupted: nothing more begins" in text:
            self.said_so.set()
        return super().write(text)


def send_ctrl_c():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


# The second does not wake a thread that waits: so it is with a signal that comes just before.
@pytest.mark.backend_free
@pytest.mark.parametrize("interrupt", [send_ctrl_c, _thread.interrupt_main])
def test_after_an_interrupt_nothing_more_begins(interrupt, tmp_path):
    saying = Saying()

    class Interrupting(FakePapermill):
        def __call__(self, command, env, **options):
            outcome = super().__call__(command, env, **options)
            if len(self.asked) == 2:
                interrupt()
                saying.said_so.wait(60)  # the run is still going on, as a real one would be
            return outcome

    fake = Interrupting()
    # A process in the background may ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), contextlib.redirect_stdout(saying):
            run_sweep(POINTS, list(range(10)), tmp_path / "sweep", NOTEBOOK, COMMON, 1, run=fake)
    finally:
        signal.signal(signal.SIGINT, before)
    assert saying.said_so.is_set()
    assert len(fake.asked) == 2  # of twenty


@pytest.mark.backend_free
def test_an_interrupt_while_the_runs_are_lined_up_ends_them_too(tmp_path, monkeypatch):
    saying, has_begun, lined_up = Saying(), threading.Event(), []
    submit = concurrent.futures.ThreadPoolExecutor.submit

    class Long(FakePapermill):
        def __call__(self, command, env, **options):
            has_begun.set()
            saying.said_so.wait(60)
            return super().__call__(command, env, **options)

    def interrupted(pool, *arguments):
        if len(lined_up) == 5:
            has_begun.wait(60)
            raise KeyboardInterrupt
        lined_up.append(submit(pool, *arguments))
        return lined_up[-1]

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", interrupted)
    fake = Long()
    with pytest.raises(KeyboardInterrupt), contextlib.redirect_stdout(saying):
        run_sweep(POINTS, list(range(10)), tmp_path / "sweep", NOTEBOOK, COMMON, 1, run=fake)
    assert saying.said_so.is_set()
    assert len(fake.asked) == 1


@pytest.mark.backend_free
def test_a_folder_of_other_runs_is_refused(sweep):
    sweep(FakePapermill())
    with pytest.raises(RuntimeError, match=r"epochs is 1 in the folder, 2 now.*another folder"):
        sweep(FakePapermill(), common=COMMON | {"epochs": 2})


@pytest.mark.backend_free
def test_runs_on_part_of_the_images_are_not_taken_for_runs_on_all(sweep):
    sweep(FakePapermill(), common=COMMON | {"limit_train": 200})
    with pytest.raises(RuntimeError, match="limit_train is 200 in the folder, None now"):
        sweep(FakePapermill(), common=COMMON | {"limit_train": None})


@pytest.mark.backend_free
def test_settings_without_a_parameter_of_their_own_are_compared_too(sweep):
    sweep(FakePapermill(), common=COMMON | {"mixup_alpha": 0.0})
    with pytest.raises(RuntimeError, match=r"mixup_alpha is 0\.0 in the folder, 0\.2 now"):
        sweep(FakePapermill(), common=COMMON | {"other_settings": {"mixup_alpha": 0.2}})


@pytest.mark.backend_free
def test_what_a_recipe_adds_to_the_network_is_no_difference(sweep):
    common = COMMON | {"recipe": "fast"}
    sweep(FakePapermill(), common=common)
    again = FakePapermill()
    sweep(again, common=common)
    assert not again.asked
    with pytest.raises(RuntimeError, match=r"network is .*batch.* in the folder"):
        sweep(FakePapermill(), common=common | {"network": {"normalization": "layer"}})


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 64},
        {"image_size": (48, 64)},
        {"other_settings": {"image_size": 64}},
        {"preset": "nano", "network": None, "other_settings": {"initial_weights": "cifar10"}},
    ],
)
def test_a_sweep_knows_its_own_runs_again(sweep, settings):
    """Whatever spelling a run keeps in its `config.json`."""

    class AsTrainingKeepsThem(FakePapermill):
        def __call__(self, command, env, **options):
            outcome = super().__call__(command, env, **options)
            asked = yaml.safe_load(command[command.index("-y") + 1])
            path = RunFolder(asked["run_dir"])
            config = path.read_config() | asked.get("other_settings", {})
            config = {"initial_weights": None, "image_size": None, **config}
            if isinstance(config["image_size"], int):
                config["image_size"] = 2 * [config["image_size"]]
            if config["initial_weights"]:
                config["network"] = {"normalization": "batch", **(config["network"] or {})}
            path.write_json(path.config_path, config)
            return outcome

    common = {**COMMON, **settings}
    folder = sweep(AsTrainingKeepsThem(), common=common)
    again = AsTrainingKeepsThem()
    sweep(again, common=common)
    assert not again.asked
    rows = collect(POINTS, [0], folder)
    plain = layer_costs(ShiftViT.from_preset(common["preset"], **common["network"] or {}))
    is_larger = rows[0]["multiply_adds"] > sum(layer.multiply_adds for layer in plain)
    assert is_larger == ("64" in str(settings))
    with pytest.raises(RuntimeError, match="in the folder"):
        sweep(AsTrainingKeepsThem(), common=COMMON | {"preset": common["preset"]})


@pytest.mark.backend_free
def test_bad_input_is_named(sweep, tmp_path):
    with pytest.raises(ValueError, match=r"Unknown group 'colour'.*token mixer, share of"):
        points_of(["pixels", "colour"])
    with pytest.raises(ValueError, match="3 points, 0 seeds"):
        sweep(FakePapermill(), seeds=())
    clash = [Point("a", "1/2", {"seed": 1}), Point("a", "1of2", {"seed": 2})]
    with pytest.raises(ValueError, match="would share the folder a-1of2-0"):
        sweep(FakePapermill(), points=clash)
    with pytest.raises(FileNotFoundError, match=r"baseline-7.*run_sweep makes it"):
        collect(POINTS, [7], tmp_path)


@pytest.mark.backend_free
def test_the_table_survives_its_file_and_says_nothing_of_the_test_set(sweep, tmp_path):
    rows = collect(POINTS, [0, 1], sweep(FakePapermill()))
    assert [(row["group"], row["point"], row["seed"]) for row in rows] == [
        *(("a", "base", 0), ("a", "base", 1), ("a", "wide", 0), ("a", "wide", 1)),
        *(("b", "base", 0), ("b", "base", 1)),
    ]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert not any("test" in name for name in COLUMNS)
    network = ShiftViT.from_preset("micro", projected_dim=12)
    assert rows[0]["multiply_adds"] == sum(cost.multiply_adds for cost in layer_costs(network))
    write_csv(rows, tmp_path / "rows.csv")
    expected = [row | {"data_source": "1"} for row in rows]
    assert read_csv(tmp_path / "rows.csv") == expected


@pytest.mark.backend_free
def test_every_group_has_one_baseline_and_every_point_makes_a_run():
    groups = {point.group for point in ABLATIONS}
    for group in groups:
        assert [point.changes for point in points_of([group])].count({}) == 1
    assert len({(point.group, point.name) for point in ABLATIONS}) == len(ABLATIONS)
    paths = {run_path("sweep", point, 0).name for point in ABLATIONS}
    assert len(paths) == len(ABLATIONS) - len(groups) + 1
    for point in ABLATIONS:
        TrainConfig(dataset="digits", preset="micro", **point.changes)
        ShiftViT.from_preset("micro", **point.changes.get("network", {}))


@pytest.mark.backend_free
def test_the_recipes_baseline_is_named_as_what_it_is():
    optimizer, activation, norm = points_of(["recipe"])[0].name.split(", ")
    assert optimizer.lower() == RECIPES["light"]["optimizer"]
    network = ShiftViT.from_preset("micro", **RECIPES["light"].get("network", {})).get_config()
    assert activation.lower() == network["activation"]
    assert norm == f"{network['normalization']} norm"


@pytest.mark.backend_free
def test_blocks_are_traded_against_mlps_at_about_the_same_cost():
    costs = [
        sum(
            cost.multiply_adds
            for cost in layer_costs(
                ShiftViT.from_preset("micro", **point.changes.get("network", {}))
            )
        )
        for point in points_of(["blocks and MLP"])
    ]
    assert max(costs) < 1.05 * min(costs)


@pytest.mark.training
@pytest.mark.backend_free
def test_a_real_run_is_of_the_network_that_its_point_asks_for(tmp_path):
    pytest.importorskip("papermill")
    common = {"dataset": "digits", "preset": "micro", "epochs": 1, "limit_train": 200, "jit": False}
    (point,) = points_of(["pixels"])[1:2]  # which shows in no number of the table
    run_sweep([point], [0], tmp_path / "sweep", NOTEBOOK, common)
    (row,) = collect([point], [0], tmp_path / "sweep")
    assert row["point"] == "2"
    assert 0.0 < row["val_top1"] <= 1.0
    assert row["parameters"] == 124_018
    assert "digits" in row["data_source"]
    run = RunFolder(run_path(tmp_path / "sweep", point, 0))
    assert run.read_config()["network"] == {"shift_pixel": 2}
    model, _ = load_model(run.model_path)
    assert model.get_layer("shiftvit").get_layer("stage_0").blocks[0].shift.shift_pixel == 2


@pytest.mark.backend_free
def test_runs_side_by_side_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    for workers, threads in ((1, None), (2, "4"), (16, "1")):
        fake = FakePapermill()
        run_sweep(POINTS, [0], tmp_path / str(workers), NOTEBOOK, COMMON, workers, run=fake)
        assert fake.threads == threads
    with pytest.raises(ValueError, match="workers=0"):
        run_sweep(POINTS, [0], tmp_path, NOTEBOOK, COMMON, 0, run=fake)


@pytest.mark.backend_free
def test_two_workers_have_two_runs_under_way(tmp_path):
    class WaitsForTheOther(FakePapermill):
        both_have_begun = threading.Barrier(2)

        def __call__(self, command, env, **options):
            self.both_have_begun.wait(30)  # seconds; where one runs alone, it raises
            return super().__call__(command, env, **options)

    fake = WaitsForTheOther()
    run_sweep(POINTS, [0], tmp_path / "sweep", NOTEBOOK, COMMON, 2, run=fake)
    assert len(fake.asked) == 2  # the points of one seed that differ


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("difference", "error", "text"),
    [
        (0.0, 0.0, "wide: 50.0 %, the baseline"),
        (-0.05, 0.0, "wide: 50.0 %, 5.0 points below the baseline (± 0.0)"),  # seeds that agree
        (0.03, 0.01, "wide: 50.0 %, 3.0 points above the baseline (± 1.0)"),
        (-0.01, 0.01, "wide: 50.0 %, 1.0 points below the baseline (± 1.0): may be chance"),
        (0.01, math.nan, "wide: 50.0 %, 1.0 points above the baseline, one seed: nobody knows how"),
    ],
)
def test_a_verdict_says_when_chance_may_explain_it(difference, error, text):
    point = {"point": "wide", "is_baseline": text.endswith("the baseline"), "seeds": 3, "mean": 0.5}
    assert verdict(point | {"difference": difference, "standard_error": error}).startswith(text)


@pytest.mark.backend_free
@pytest.mark.parametrize(("size", "is_the_same"), [(32, True), (64, False)])
def test_a_sweep_knows_what_training_made_of_large_images(sweep, size, is_the_same):
    """`train` gives them the preset's size, and a sweep that asked for none finds it there."""

    class OfLargeImages(FakePapermill):
        def __call__(self, command, env, **options):
            outcome = super().__call__(command, env, **options)
            run = RunFolder(yaml.safe_load(command[command.index("-y") + 1])["run_dir"])
            run.write_json(run.config_path, {**run.read_config(), "image_size": [size, size]})
            return outcome

    sweep(OfLargeImages())
    again = FakePapermill()
    if is_the_same:
        sweep(again)
        assert not again.asked
    else:
        with pytest.raises(RuntimeError, match=r"image_size is \[64, 64\] in the folder, None now"):
            sweep(again)


@pytest.mark.backend_free
def test_points_are_chosen_by_name_and_keep_their_baseline():
    assert [point.name for point in points_of(["pixels"], [1, "3"])] == ["1", "3"]  # as YAML has it
    with pytest.raises(ValueError, match=r"No point '4' in pixels. Choose from: '1', '2', '3'"):
        points_of(["pixels"], ["1", "4"])
    with pytest.raises(ValueError, match="Points of pixels are compared with '1': add it"):
        points_of(["pixels"], ["2"])
