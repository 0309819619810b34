"""After a scene has played, its mobjects hold what plain NumPy says; and every scene renders.

Each main scene is rendered once, and the same scene is looked at; a variant plays without drawing
frames. What they hold does not depend on the backend.
"""

import functools
import importlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from keras import ops
from numpy_oracles import gelu, mlp, normalized, patches, shifted
from PIL import Image

from shiftvit_utils import shift

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).resolve().parents[1]
ANIMATIONS, MEDIA = ROOT / "animations", ROOT / "notebooks" / "media"
# A scene that was not rendered with the code as it is names this.
REFRESH = "run `make animations`"
EPSILON = 1e-5


def module(name):
    if str(ANIMATIONS) not in sys.path:
        sys.path.insert(0, str(ANIMATIONS))
    if name != "render":
        pytest.importorskip("manim", reason="manim is not installed", exc_type=ImportError)
    return importlib.import_module(name)


MAIN_SCENES = module("render").main_scenes()


@functools.cache
def rendered(name):
    """A main scene after it was rendered, and the bytes of its video."""
    module("theme")  # skips without manim
    render, scenes = module("render"), []
    play = render.play

    def keep(*arguments):
        scenes.append(play(*arguments))
        return scenes[-1]

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "play", keep)
        video = render.render_video(name, MAIN_SCENES[name], "l", folder).read_bytes()
    return scenes[0], video


@functools.cache
def played(file, name):
    """A scene after `construct`; its movements are skipped, not its steps."""
    scene_class = getattr(module(file), name)
    from manim import tempconfig

    options = {"dry_run": True, "verbosity": "ERROR", "progress_bar": "none"}
    with tempfile.TemporaryDirectory() as folder, tempconfig(options | {"media_dir": folder}):
        scene = scene_class(skip_animations=True)
        scene.render()
    return scene


def drawn_kernels(seed, *shapes):
    """What `draw_weights` puts into matrices of these shapes, one after the other."""
    generator = np.random.default_rng(seed)
    limits = [np.sqrt(6 / sum(shape)) for shape in shapes]
    return [
        generator.uniform(-limit, limit, shape) for limit, shape in zip(limits, shapes, strict=True)
    ]


def embedded(pixels, patch_size, channels, seed):
    """Patch embedding of one image in NumPy: standardise, cut, multiply, normalise."""
    x = np.asarray(pixels, "float64")[np.newaxis]
    x = (x - x.mean()) / x.std()
    (kernel,) = drawn_kernels(seed, (3 * patch_size**2, channels))
    return normalized(patches(x, patch_size) @ kernel, "layer", 1.0, 0.0, EPSILON)


def place_in(mobject, frame, cell):
    """Row and column of a mobject's middle in a grid that fills `frame`."""
    from manim import LEFT, UP

    right, up = (mobject.get_center() - frame.get_corner(UP + LEFT))[:2] / cell
    return -up - 0.5, right - 0.5


class Story:
    """What holds for every main scene; a subclass names one and adds what it shows.

    All that needs the scene stands in its class, so that one worker of xdist renders it for all.
    """

    file = name = None

    @property
    def scene(self):
        return rendered(self.name)[0]

    def test_renders_and_loops(self):
        import av

        with av.open(io.BytesIO(rendered(self.name)[1])) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.average_rate) == (854, 480, 15)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert len(frames) > 8 * 15
        first, middle, last = (frames[k].astype(float) for k in (0, len(frames) // 2, -1))
        assert np.abs(first - last).mean() < 1.0, "the last frame is not the first"
        assert np.abs(first - middle).mean() > 2.0, "nothing happens"
        assert first.std() > 5, "the first frame is blank"

    def test_has_captions_holds_and_an_end(self):
        course_scene = module("course_scene")
        scene = self.scene
        assert scene.seconds <= course_scene.MAX_SECONDS
        assert len(scene.captions) >= 4
        assert all(hold >= course_scene.MIN_HOLD for _, _, hold in scene.captions)
        assert 0 < scene.poster_time < scene.seconds


class TestShiftOperation(Story):
    file, name = "shift_operation", "ShiftOperation"
    pixels = 1

    def test_map_is_the_patch_embedding_of_the_photograph(self):
        scene = self.scene
        oracle = embedded(scene.pixels, scene.patch_size, scene.channels, scene.seed)
        np.testing.assert_allclose(scene.before, oracle[0], atol=2e-4)

    def test_maps_show_the_shift(self):
        scene = self.scene
        oracle = shifted(scene.before[np.newaxis], scene.num_div, self.pixels)[0]
        np.testing.assert_array_equal(scene.after, oracle)
        for name, channels in scene.channel_range.items():
            np.testing.assert_array_equal(scene.shown[name], oracle[..., channels])

    def test_zeros_are_hatched_and_all_other_cells_have_their_colour(self):
        scene = self.scene
        oracle = shifted(scene.before[np.newaxis], scene.num_div, self.pixels)[0]
        for channel, name in enumerate(("left", "right", "up", "down")):
            before = scene.before[..., channel]
            low, high = before.min(), before.max()
            values = np.where(oracle[..., channel] == 0, low, oracle[..., channel])
            index = np.rint(255 * (values - low) / (high - low)).astype(int)
            shades = module("mobjects").shades(scene.theme.direction[name])
            same = (scene.colors[name] == shades[index]).all(axis=-1)
            np.testing.assert_array_equal(same | (oracle[..., channel] == 0), True)
            assert not same[oracle[..., channel] == 0].any()

    def test_difference_and_summary(self):
        scene = self.scene
        oracle = shifted(scene.before[np.newaxis], scene.num_div, self.pixels)[0]
        shown = np.concatenate([stack.values for stack in scene.stacks.values()], axis=-1)
        np.testing.assert_allclose(shown, np.abs(oracle - scene.before), atol=1e-6)
        assert not shown[..., 4:].any()
        plain = scene.captions[-1][0].replace("<b>", "").replace("</b>", "")
        assert plain == "4/12 of the channels moved, 0 parameters, 0 multiplications."


class TestShiftOperationTwoCells(TestShiftOperation):
    """A variant, which has no GIF: it has to show the right thing, not to be drawn."""

    name, pixels = "ShiftOperationTwoCells", 2
    test_renders_and_loops = None

    @property
    def scene(self):
        return played(self.file, self.name)


class TestCropPadConcat(Story):
    file, name = "crop_pad_concat", "CropPadConcat"

    def test_numbers_stand_where_the_shift_puts_them(self):
        numbers = np.arange(1, 17).reshape(1, 4, 4, 1).repeat(5, axis=-1)
        oracle = shifted(numbers, 5)[0]
        for channel, name in enumerate(("left", "right", "up", "down", "unmoved")):
            grid = self.scene.grids[name]
            found = np.full((4, 4), -1)
            for cell in grid.cells:
                row, column = place_in(cell, grid.outline, grid.cell)
                assert row == pytest.approx(round(row), abs=1e-6)
                found[round(row), round(column)] = cell.number
            np.testing.assert_array_equal(found, oracle[..., channel])
        np.testing.assert_array_equal(self.scene.y[0], oracle)
        assert self.scene.is_the_shift

    def test_each_line_of_code_does_its_step(self):
        scene = self.scene
        numbers = np.arange(1, 17).reshape(4, 4)
        np.testing.assert_array_equal(scene.steps["crop"]["left"][0, ..., 0], numbers[:, 1:])
        np.testing.assert_array_equal(scene.steps["crop"]["down"][0, ..., 0], numbers[:3])
        assert scene.steps["pad"]["up"][0, ..., 0].tolist()[-1] == [0, 0, 0, 0]
        lines = module("crop_pad_concat")  # those that `compute` has run
        run = [lines.SPLIT, lines.CROP["left"], lines.PAD["left"], lines.CONCATENATE]
        assert [line.code for line in scene.code] == run

    def test_the_same_end_moves_nothing(self):
        numbers = np.arange(1, 17).reshape(4, 4)
        numbers[:, -1] = 0
        np.testing.assert_array_equal(self.scene.same_end, numbers)
        assert set(self.scene.comparison) == {0, 12}
        np.testing.assert_array_equal(self.scene.read(self.scene.comparison[0]), numbers)


class TestThreeWaysOneMap(Story):
    file, name = "three_ways_one_map", "ThreeWaysOneMap"

    def test_three_results_are_the_shift(self):
        scene = self.scene
        oracle = shifted(scene.x[np.newaxis], 5)[0]
        assert len(scene.results) == 3
        for way, result in scene.results.items():
            np.testing.assert_array_equal(result, oracle)
            for channel, one in enumerate(scene.maps[way]):
                np.testing.assert_array_equal(one.values, oracle[..., channel])
        assert scene.largest == 0
        assert "max |Δ| = <b>0</b>" in scene.captions[-1][0]

    def test_shown_lines_give_the_shift(self):
        """The whole of the second and third line; of the first way, the line for its channel."""
        scene = self.scene
        x, kernel = scene.x[np.newaxis], scene.kernel[..., np.newaxis]
        oracle = shifted(x, 5)
        for line, channels in zip(scene.codes, ([0], range(5), range(5)), strict=True):
            names = {"ops": ops, "shift": shift, "x": x, "kernel": kernel, "y": np.zeros_like(x)}
            names |= {} if line == scene.codes[0] else {"x": ops.convert_to_tensor(x)}
            exec(line, names)
            result = ops.convert_to_numpy(names["y"])
            np.testing.assert_array_equal(result[..., channels], oracle[..., channels])

    def test_results_lie_on_one_another(self):
        rows = [[one.get_center() for one in self.scene.maps[way]] for way in self.scene.results]
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
        np.testing.assert_allclose(rows[0], rows[2], atol=1e-6)

    def test_kernels_hold_a_single_one_each(self):
        assert self.scene.kernel.sum(axis=(0, 1)).tolist() == [1] * 5
        # A left shift takes the value of the right neighbour.
        assert self.scene.kernel[1, 2, 0] == 1


class TestShiftBlock(Story):
    file, name = "shift_block", "ShiftBlock"

    def test_parts_of_the_block(self):
        scene = self.scene
        x = np.concatenate(
            [
                embedded(pixels, scene.patch_size, scene.channels, scene.seed)
                for pixels in scene.pixels
            ]
        )
        np.testing.assert_allclose(scene.x, x, atol=5e-4)
        s = shifted(np.asarray(scene.x, "float64"))
        np.testing.assert_array_equal(scene.s, s.astype("float32"))
        channels = scene.channels
        kernels = drawn_kernels(scene.seed + 1, (channels, 4 * channels), (4 * channels, channels))
        branch = mlp(
            normalized(s, "layer", 1.0, 0.0, EPSILON), kernels[0], 0.0, kernels[1], 0.0, gelu
        )
        np.testing.assert_allclose(scene.b, branch, atol=1e-4)
        np.testing.assert_allclose(scene.at_inference, s + branch, atol=1e-4)

    def test_drop_path_takes_whole_samples(self):
        for dropped, kept in zip(self.scene.dropped, self.scene.kept, strict=True):
            assert 0 < kept.sum() < len(kept)
            oracle = 2 * self.scene.b * kept[:, np.newaxis, np.newaxis, np.newaxis]
            np.testing.assert_allclose(dropped, oracle, atol=1e-6)

    def test_no_value_lies_outside_of_its_colours(self):
        scene = self.scene
        kept = scene.s + 2 * scene.b
        for maps, values in (
            (scene.y_maps, (scene.s, kept, scene.at_inference)),
            (scene.d_maps, (0 * scene.b, 2 * scene.b, scene.b)),
        ):
            low, high = maps[0].limits
            for one in values:
                assert low <= one[..., 0].min() <= one[..., 0].max() <= high

    def test_at_the_end_the_maps_show_inference(self):
        scene = self.scene
        for sample, (d, y) in enumerate(zip(scene.d_maps, scene.y_maps, strict=True)):
            np.testing.assert_array_equal(d.values, scene.b[sample, ..., 0])
            np.testing.assert_allclose(
                y.values, scene.s[sample, ..., 0] + scene.b[sample, ..., 0], atol=1e-5
            )
            assert not d.hatched.any()

    def test_bars_are_as_high_as_the_channels_of_the_cell(self):
        row, column = self.scene.cell
        for bars, values in zip(self.scene.bars_shown, (self.scene.s, self.scene.b), strict=True):
            signed = [bar.height * np.sign(bar.get_y() - bars[0].get_y()) for bar in bars[1:]]
            channels = values[0, row, column]
            np.testing.assert_allclose(
                np.array(signed) / np.abs(signed).max(),
                channels / np.abs(channels).max(),
                atol=0.011,
            )


class TestReceptiveField(Story):
    file, name = "receptive_field", "ReceptiveField"

    def test_diamond_of_cells(self):
        scene = self.scene
        assert scene.counts == [2 * L * L + 2 * L + 1 for L in range(scene.blocks + 1)]
        assert scene.counts == [1, 5, 13, 25, 41]
        middle = scene.size // 2
        places = [
            (row, column, abs(row - middle) + abs(column - middle))
            for row, column in np.ndindex(scene.size, scene.size)
        ]
        oracle = {(row, column): away for row, column, away in places if away <= scene.blocks}
        reached = scene.shift_grid.reached
        assert {place: one.block for place, one in reached.items()} == oracle

    def test_cells_are_drawn_where_they_are(self):
        scene = self.scene
        for grid in (scene.shift_grid, scene.attention_grid):
            first = grid.cells[0, 0].get_center()
            for (row, column), one in grid.reached.items():
                offset = (one.get_center() - first) / scene.cell
                np.testing.assert_allclose(offset, (column, -row, 0), atol=1e-6)

    def test_attention_reaches_every_cell_in_one_block(self):
        reached = self.scene.attention_grid.reached
        assert len(reached) == 121
        assert sorted({one.block for one in reached.values()}) == [0, 1]


class TestPyramid(Story):
    file, name = "pyramid", "Pyramid"

    def test_areas_and_depths_are_in_proportion(self):
        shapes = [values.shape for values in self.scene.maps]
        assert shapes == [(16, 16, 96), (8, 8, 192), (4, 4, 384), (2, 2, 768)]
        first = self.scene.boxes[0]
        for box, (height, width, channels) in zip(self.scene.boxes, shapes, strict=True):
            area = (box.front.image.width / first.front.image.width) ** 2
            assert area == pytest.approx(height * width / 256)
            depth = box.depth_edge.get_length() / first.depth_edge.get_length()
            assert depth == pytest.approx(channels / 96)

    def test_merging_is_a_dense_layer_on_four_tokens(self):
        scene = self.scene
        x = embedded(scene.pixels, scene.patch_size, scene.channels, scene.seed)
        for k in range(scene.merges):
            np.testing.assert_allclose(scene.maps[k], x[0], atol=2e-3)
            channels = x.shape[-1]
            (kernel,) = drawn_kernels(scene.seed + 1 + k, (4 * channels, 2 * channels))
            x = patches(normalized(x, "layer", 1.0, 0.0, EPSILON), 2) @ kernel
        # The patch alone gives the token that it gives in its map.
        assert scene.largest < 1e-4

    def test_outlines_stand_around_the_tracked_token(self):
        place = self.scene.tracked
        for k, (box, token) in enumerate(zip(self.scene.boxes, self.scene.tokens, strict=True)):
            cell = box.front.image.width / box.values.shape[1]
            assert place_in(token, box.front.image, cell) == pytest.approx(place, abs=1e-6)
            if k < self.scene.merges:
                row, column = (2 * (index // 2) + 0.5 for index in place)
                four = self.scene.fours[k]
                found = place_in(four, box.front.image, cell)
                assert found == pytest.approx((row, column), abs=1e-6)
                assert four.width == pytest.approx(2 * cell)
            place = (place[0] // 2, place[1] // 2)

    def test_outlines_lie_in_front_of_the_boxes(self):
        behind = max(part.z_index for box in self.scene.boxes for part in box.get_family())
        for outline in (*self.scene.tokens, *self.scene.fours):
            assert all(part.z_index > behind for part in outline.get_family())


class TestTrainingRecipe(Story):
    file, name = "training_recipe", "TrainingRecipe"

    def test_captions_say_what_the_weight_does(self):
        scene = self.scene
        climbing = scene.scheduled[: scene.warmup_steps + 1]
        assert climbing.max() < scene.best  # small steps first
        half = (scene.steps + scene.warmup_steps) // 2
        assert scene.scheduled[:half].max() > 1.1 * scene.best  # overshoots
        assert scene.scheduled.max() < scene.constant.max()  # but less than without a warm-up
        assert 10 * scene.rest(scene.scheduled) < scene.rest(scene.constant)

    def rates(self):
        scene = self.scene
        step = np.arange(scene.steps + 1)
        after = (step - scene.warmup_steps) / (scene.steps - scene.warmup_steps)
        cosine = 0.5 * scene.lr_max * (1 + np.cos(np.pi * after))
        return np.where(after < 0, scene.lr_max * step / scene.warmup_steps, cosine)

    def test_rate_climbs_and_follows_the_cosine(self):
        np.testing.assert_allclose(self.scene.rates, self.rates(), atol=1e-6)

    @pytest.mark.parametrize("constant", [False, True])
    def test_weight_is_what_adam_makes_of_it(self, constant):
        scene = self.scene
        rates = np.full(scene.steps, scene.lr_max) if constant else self.rates()[: scene.steps]
        weight = first = second = 0.0
        path = [weight]
        for step, (rate, chosen) in enumerate(zip(rates, scene.batches, strict=True), start=1):
            x, y = scene.inputs[chosen], scene.targets[chosen]
            gradient = np.mean(2 * (weight * x - y) * x)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
            weight -= rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
            path.append(weight)
        shown = scene.constant if constant else scene.scheduled
        np.testing.assert_allclose(shown, path, atol=2e-3)

    def test_curves_and_dots_stand_at_the_numbers(self):
        scene = self.scene
        plot = scene.lr_plot
        origin = plot.x_axis.get_start()
        corners = scene.curves["rates"].get_anchors()[::2]
        up = (np.array(corners) - origin)[:, 1] / plot.height_of_plot * plot.y_range[1]
        np.testing.assert_allclose(up, scene.rates[:-1], atol=1e-6)
        np.testing.assert_allclose(
            scene.dots["weight"].get_center(),
            scene.weight_plot.point(scene.steps, scene.scheduled[-1]),
            atol=1e-6,
        )

    def test_text_that_does_not_fit_is_an_error(self, tmp_path):
        from manim import tempconfig

        scene = self.scene
        with (
            tempconfig({"media_dir": str(tmp_path)}),
            pytest.raises(ValueError, match="does not fit"),
        ):
            scene.caption("a long line " * 12)


def test_every_main_scene_has_its_story():
    assert {story.name for story in Story.__subclasses__()} == set(MAIN_SCENES)


@pytest.mark.parametrize("folder", [ROOT, ANIMATIONS], ids=["root", "animations"])
def test_a_scene_works_by_itself(folder, tmp_path):
    module("theme")
    path = (ANIMATIONS / "shift_operation.py").relative_to(folder)
    command = [sys.executable, "-m", "manim", "-ql", "-s", "--media_dir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(path), "ShiftOperation"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.rglob("ShiftOperation*.png"))


@pytest.mark.parametrize(
    ("file", "name", "change", "words"),
    [
        ("receptive_field", "ReceptiveField", {"blocks": 6}, "Use size >= 13"),
        ("shift_operation", "ShiftOperation", {"num_div": 4}, "Use num_div > 4"),
    ],
)
def test_a_variant_that_would_show_something_false_is_an_error(file, name, change, words):
    variant = type("Variant", (getattr(module(file), name),), change)
    with pytest.raises(ValueError, match=words):
        variant.compute(object.__new__(variant))


def gif_seconds(image):
    milliseconds = 0
    for k in range(image.n_frames):
        image.seek(k)
        milliseconds += image.info["duration"]
    return milliseconds / 1000


@pytest.mark.parametrize("name", MAIN_SCENES)
def test_committed_gif_is_small_and_newer_than_its_scene(name):
    render = module("render")
    entry = json.loads((MEDIA / "manifest.json").read_text(encoding="utf-8"))[name]
    gif, poster = MEDIA / entry["gif"], MEDIA / entry["poster"]
    assert gif.stat().st_size <= render.MAX_GIF_BYTES == 500_000
    with Image.open(gif) as image:
        assert image.size == Image.open(poster).size == (640, 360)
        # ffmpeg joins frames that are equal, so the length is told by their durations.
        assert gif_seconds(image) == pytest.approx(entry["seconds"], abs=0.5)
        assert image.info["loop"] == 0  # for ever
    assert len(entry["alt"]) > 30
    path = MAIN_SCENES[name]
    assert entry["sources_sha256"] == render.source_hash(path), (
        f"{gif.name} is older than {path.name} or the files that all scenes share: {REFRESH}"
    )


def test_every_scene_file_has_its_gif():
    manifest = json.loads((MEDIA / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest) == list(MAIN_SCENES)
    files = {path.stem for path in MAIN_SCENES.values()}
    shared = {Path(name).stem for name in module("render").SHARED}
    assert {path.stem for path in ANIMATIONS.glob("*.py")} == files | shared | {"render"}


def test_hash_covers_the_scene_and_what_it_shares(tmp_path, monkeypatch):
    render = module("render")
    for name in (*render.SHARED, "pyramid.py"):
        (tmp_path / name).write_bytes((ANIMATIONS / name).read_bytes())
    scene = tmp_path / "pyramid.py"
    monkeypatch.setattr(render, "HERE", tmp_path)
    before = render.source_hash(scene)
    assert before == render.source_hash(ANIMATIONS / "pyramid.py")
    for name in (*render.SHARED, "pyramid.py"):
        source = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(source.replace(b"\n", b"\r\n"))
        assert render.source_hash(scene) == before
        (tmp_path / name).write_bytes(source + b"# changed\n")
        assert render.source_hash(scene) != before
        (tmp_path / name).write_bytes(source)
