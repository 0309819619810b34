"""`load_dataset`, its splits, `.npz` files, and what a `Dataset` refuses to hold."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from shiftvit_utils.data import load_dataset
from shiftvit_utils.dataset import Dataset
from shiftvit_utils.npz_file import load_npz
from shiftvit_utils.splits import (
    check_seed,
    held_out_count,
    stratified_split,
    stratified_subset,
)

pytestmark = pytest.mark.backend_free

NAMES = ("cat", "dog")


def images_numbered(count, size=(4, 4)):
    """Image k holds k everywhere, so that every pixel tells which image it is."""
    numbers = np.arange(count, dtype=np.uint8)
    return np.broadcast_to(numbers[:, None, None, None], (count, *size, 3)).copy()


def save(tmp_path, name="mine.npz", **arrays):
    path = tmp_path / name
    np.savez(path, **arrays)
    return path


@pytest.fixture
def arrays():
    """Forty images of two classes, label = parity of the image's number, and four to test."""
    return {
        "x_train": images_numbered(40),
        "y_train": np.arange(40) % 2,
        "x_test": images_numbered(4),
        "y_test": np.arange(4) % 2,
    }


# ---------------------------------------------------------------- the digits


def test_digits_are_the_real_ones_repeated(capsys):
    data = load_dataset("digits")
    assert capsys.readouterr().out.splitlines() == [f"Data: {data.source}"]
    original = load_digits()
    everything = np.concatenate([data.x_train, data.x_val, data.x_test])
    labels = np.concatenate([data.y_train, data.y_val, data.y_test])
    assert everything.shape == (1797, 32, 32, 3)
    assert (everything.min(), everything.max()) == (0, 255)
    # Undo it: one pixel of each 4x4 block, back to 0..16; then compare as multisets of rows.
    small = np.rint(everything[:, 2::4, 1::4, 1] / 255 * 16).reshape(1797, 64)
    found = np.c_[small, labels].astype(int)
    expected = np.c_[original.data, original.target].astype(int)
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    blocks = everything.reshape(1797, 8, 4, 8, 4, 3)
    assert (blocks == blocks[:, :, :1, :, :1, :1]).all()


def test_validation_id_says_which_images_are_held_back():
    first = load_dataset("digits", validation_size=100)
    assert len(first.validation_id) == 16
    assert first.validation_id == load_dataset("digits", validation_size=100).validation_id
    # Fewer images to train on leave those to validate on as they are.
    fewer = load_dataset("digits", validation_size=100, limit_train=200)
    assert fewer.validation_id == first.validation_id
    others = [
        load_dataset("digits", validation_size=100, seed=1),
        load_dataset("digits", validation_size=101),
        Dataset(**{**vars(first), "y_val": first.y_val[::-1].copy()}),
        Dataset(**{**vars(first), "x_val": first.x_val[:, ::-1]}),  # not contiguous
    ]
    assert len({first.validation_id, *(other.validation_id for other in others)}) == 5


def test_data_id_knows_the_images_and_not_their_order():
    first, another = load_dataset("digits"), load_dataset("digits", seed=1)
    assert len(first.data_id) == 16
    assert first.data_id == another.data_id
    assert first.test_id != another.test_id
    changed = first.x_train.copy()
    changed[0, 0, 0, 0] ^= 1
    others = [
        Dataset(**{**vars(first), "x_train": changed}),
        Dataset(**{**vars(first), "y_train": first.y_train[::-1].copy()}),
    ]
    assert len({first.data_id, *(other.data_id for other in others)}) == 3
    assert {first.test_id} == {other.test_id for other in others}
    fewer = load_dataset("digits", limit_train=200)
    assert len(fewer.x_train) == 200
    assert fewer.data_id == first.data_id, "all that a test could hold back, not what is trained on"


def test_digits_sizes_and_proportions():
    data = load_dataset()
    assert [len(data.y_train), len(data.y_val), len(data.y_test)] == [1149, 288, 360]
    share = np.bincount(load_digits().target) / 1797
    for labels in (data.y_train, data.y_val, data.y_test):
        assert np.abs(np.bincount(labels) - share * len(labels)).max() < 1.5
    assert data.class_names == tuple("0123456789")
    assert data.num_classes == 10
    assert data.image_shape == (32, 32, 3)
    assert "1,149 training, 288 validation, 360 test images of 32x32x3, 10 classes" in str(data)
    assert repr(data) == str(data)


def test_the_seed_decides_the_split_and_nothing_else_does():
    first, same, other = (load_dataset("digits", seed=seed) for seed in (3, 3, 4))
    for name in ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(first, name), getattr(same, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_sizes_as_counts_and_as_fractions():
    data = load_dataset("digits", validation_size=0.5, test_size=797)
    assert [len(data.y_train), len(data.y_val), len(data.y_test)] == [500, 500, 797]


def test_limit_train_touches_only_the_training_images():
    whole, limited = load_dataset("digits"), load_dataset("digits", limit_train=100)
    np.testing.assert_array_equal(limited.x_val, whole.x_val)
    np.testing.assert_array_equal(limited.x_test, whole.x_test)
    assert np.bincount(limited.y_train, minlength=10).min() >= 9
    assert len(limited.x_train) == 100
    rows = {row.tobytes() for row in whole.x_train}
    assert all(row.tobytes() in rows for row in limited.x_train)
    for everything in (None, 0, 1149):
        data = load_dataset("digits", limit_train=everything)
        np.testing.assert_array_equal(data.x_train, whole.x_train)


def test_image_size_resizes_arrays_too():
    assert load_dataset("digits", image_size=(48, 40)).image_shape == (48, 40, 3)
    assert load_dataset("digits", image_size=16).image_shape == (16, 16, 3)


# ---------------------------------------------------------------- splits


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(4, 30), min_size=2, max_size=5),
    fraction=st.floats(0.3, 0.6),
    seed=st.integers(0, 2**31 - 3),
)
def test_splits_are_disjoint_complete_and_proportional(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"class {label}" for label in range(len(counts))]
    count = held_out_count("validation_size", fraction, len(labels), len(counts))
    assert count - 1 < fraction * len(labels) <= count
    kept, held = stratified_split(labels, count, seed, names, "validation_size")
    assert len(held) == count
    assert sorted([*kept, *held]) == list(range(len(labels)))
    share = np.array(counts) * count / len(labels)
    assert np.abs(np.bincount(labels[held], minlength=len(counts)) - share).max() <= 1

    subset = stratified_subset(labels, count, seed, names)
    assert len(set(subset)) == count
    assert np.abs(np.bincount(labels[subset], minlength=len(counts)) - share).max() <= 1


def test_a_subset_may_leave_out_a_single_image():
    labels = np.repeat([0, 1, 2], 5)
    assert len(set(stratified_subset(labels, 14, 0, "abc"))) == 14


def test_the_default_fraction_grows_to_one_image_a_class():
    assert held_out_count("test_size", None, available=9, num_classes=3) == 3
    assert held_out_count("test_size", None, available=100, num_classes=3) == 20


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "validation_size=0 must be at least 1"),
        (-5, "validation_size=-5 must be at least 1"),
        (0.0, r"validation_size=0\.0 is a float, so it must lie between 0 and 1"),
        (1.0, r"validation_size=1\.0 is a float"),
        (-0.5, r"validation_size=-0\.5 is a float"),
        (float("nan"), "validation_size=nan is a float"),
        (float("inf"), "validation_size=inf is a float"),
        (9, r"asks for 9 of 100 .* each of the 10 classes. Choose validation_size from 10 to 90"),
        (91, "asks for 91 of 100"),
        (1000, "asks for 1000 of 100"),
        (0.999, "asks for 100 of 100"),
        (0.001, "asks for 1 of 100"),
    ],
)
def test_validation_sizes_that_make_no_sense(size, message):
    with pytest.raises(ValueError, match=message):
        held_out_count("validation_size", size, available=100, num_classes=10)


@pytest.mark.parametrize("size", ["10", True, [10], 1j])
def test_validation_sizes_of_a_wrong_type(size):
    with pytest.raises(TypeError, match="validation_size="):
        load_dataset("digits", validation_size=size)


def test_too_few_images_to_split():
    with pytest.raises(ValueError, match="too few to split: bring at least 6"):
        held_out_count("test_size", None, available=5, num_classes=3)


def test_classes_with_too_few_images_are_named():
    with pytest.raises(ValueError, match=r"class 'dog' has 1 image\(s\).* at least 2"):
        stratified_split(np.array([0] * 9 + [1]), 3, 0, NAMES, "test_size")
    with pytest.raises(ValueError, match=r"class 'dog' has 0 image\(s\)"):
        stratified_split(np.zeros(9, int), 3, 0, NAMES, "test_size")
    rare = np.array([0] * 98 + [1] * 2)
    with pytest.raises(ValueError, match=r"class 'dog' has no image in the .*test_size=10"):
        stratified_split(rare, 10, 0, NAMES, "test_size")
    with pytest.raises(ValueError, match=r"class 'dog' has no image in the .*limit_train=10"):
        stratified_subset(rare, 10, 0, NAMES)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (9, "limit_train=9 must be from 10 .* to 1149"),
        (-1, "limit_train=-1 must be"),
        (1150, "to 1149, the training images available"),
    ],
)
def test_limits_that_make_no_sense(limit, message):
    with pytest.raises(ValueError, match=message):
        load_dataset("digits", limit_train=limit)


@pytest.mark.parametrize("limit", [0.5, "all", True])
def test_limits_of_a_wrong_type(limit):
    with pytest.raises(TypeError, match="limit_train="):
        load_dataset("digits", limit_train=limit)


def test_seeds():
    assert check_seed(np.int32(7)) == 7
    assert check_seed(2**31 - 3) == 2**31 - 3
    for seed in (-1, 2**31 - 2):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            load_dataset("digits", seed=seed)
    for seed in (None, 1.0, "1", True):
        with pytest.raises(TypeError, match="seed="):
            load_dataset("digits", seed=seed)


# ---------------------------------------------------------------- .npz files


def test_npz_is_read_as_it_is(tmp_path, arrays, capsys):
    path = save(tmp_path, **arrays, class_names=np.array(NAMES))
    data = load_dataset(path, validation_size=10)
    assert data.class_names == NAMES
    assert data.source == "npz file mine.npz"
    assert capsys.readouterr().out == "Data: npz file mine.npz\n"
    np.testing.assert_array_equal(data.x_test, arrays["x_test"])
    # Labels went with their images, and no image is in two splits.
    for images, labels in ((data.x_train, data.y_train), (data.x_val, data.y_val)):
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
    numbers = np.concatenate([data.x_train, data.x_val])[:, 0, 0, 0]
    assert sorted(numbers) == list(range(40))
    assert np.bincount(data.y_val).tolist() == [5, 5]


def test_npz_without_test_images_is_split_and_says_so(tmp_path, arrays, capsys):
    path = save(tmp_path, x_train=arrays["x_train"], y_train=arrays["y_train"])
    data = load_dataset(str(path), seed=6)
    assert [len(data.y_train), len(data.y_val), len(data.y_test)] == [25, 7, 8]
    assert "No test images of its own: 8 of 40 held out, seed 6." in capsys.readouterr().out
    numbers = np.concatenate([data.x_train, data.x_val, data.x_test])[:, 0, 0, 0]
    assert sorted(numbers) == list(range(40))
    assert len(load_dataset(path, test_size=0.5).x_test) == 20


def test_npz_with_validation_images_keeps_them(tmp_path, arrays):
    arrays |= {"x_val": arrays["x_test"] + 100, "y_val": arrays["y_test"]}
    path = save(tmp_path, **arrays)
    data = load_dataset(path)
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.x_val, arrays["x_val"])
    with pytest.raises(ValueError, match="validation_size=2 was given, but this source brings"):
        load_dataset(path, validation_size=2)
    with pytest.raises(ValueError, match="test_size=2 was given, but this source brings"):
        load_dataset(path, test_size=2)


def test_npz_without_an_image_of_a_class_to_train_on(tmp_path, arrays):
    arrays |= {"x_val": arrays["x_test"], "y_val": arrays["y_test"]}
    arrays["class_names"] = np.array([f"class {k}" for k in range(arrays["y_train"].max() + 2)])
    with pytest.raises(ValueError, match=r"class 'class \d+' has no image in the training split"):
        load_dataset(save(tmp_path, **arrays))


@pytest.mark.parametrize("shape", [(40, 4, 5), (40, 4, 5, 1)])
@pytest.mark.parametrize("label_shape", [(40,), (40, 1)])
def test_npz_with_grey_images_and_column_labels(tmp_path, shape, label_shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels = (np.arange(40) % 2).reshape(label_shape).astype(np.uint8)
    loaded, class_names = load_npz(save(tmp_path, x_train=grey, y_train=labels))
    assert loaded["x_train"].shape == (40, 4, 5, 3)
    for channel in range(3):
        np.testing.assert_array_equal(loaded["x_train"][..., channel], grey.reshape(40, 4, 5))
    assert loaded["y_train"].dtype == np.int64
    assert loaded["y_train"].tolist() == [0, 1] * 20
    assert class_names == ("0", "1")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_npz_with_other_numbers_is_rounded_to_uint8(tmp_path, arrays, dtype):
    arrays["x_train"] = arrays["x_train"].astype(dtype)
    arrays["x_train"][0] = 255
    if np.issubdtype(dtype, np.floating):
        arrays["x_train"][1] = 99.75
    loaded, _ = load_npz(save(tmp_path, **arrays))
    assert loaded["x_train"].dtype == np.uint8
    assert loaded["x_train"][:3, 0, 0, 0].tolist()[::2] == [255, 2]
    if np.issubdtype(dtype, np.floating):
        assert loaded["x_train"][1, 0, 0, 0] == 100


def broken_float(value):
    def change(arrays):
        arrays["x_train"] = arrays["x_train"].astype(np.float32)
        arrays["x_train"][[3, 3, 8], 0, [1, 2, 1], 0] = value

    return change


def setting(key, value):
    def change(arrays):
        arrays[key] = value

    return change


def scaled(arrays):
    arrays["x_train"] = arrays["x_train"] / 255


def one_label(key, index, value):
    def change(arrays):
        arrays[key] = arrays[key].copy()
        arrays[key][index] = value

    return change


ZEROS = np.zeros((40, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken_float(np.nan), r"x_train has 2 image\(s\) with NaN or infinite"),
        (broken_float(np.inf), r"x_train has 2 image\(s\) with NaN or infinite"),
        (broken_float(-3), r"x_train goes from -3\.0 to 39\.0; expected values from 0 to 255"),
        (broken_float(300), r"x_train goes from 0\.0 to 300\.0"),
        (scaled, r"x_train is float and goes from 0\.0 to 0\.15.*multiply by 255"),
        (setting("x_test", np.full((4, 4, 4, 3), 256)), "x_test goes from 256 to 256"),
        (setting("x_train", np.zeros((40, 3, 8, 8), np.uint8)), r"save x_train.transpose\(0, 2"),
        (setting("x_train", np.zeros((40, 4, 4, 4), np.uint8)), r"shape \(40, 4, 4, 4\)"),
        (setting("x_train", np.zeros((40, 16), np.uint8)), r"shape \(40, 16\)"),
        (setting("x_test", np.zeros((0, 4, 4, 3), np.uint8)), r"x_test has shape \(0, 4, 4, 3\)"),
        (setting("x_train", ZEROS.astype(bool)), "x_train has type bool"),
        (setting("x_train", ZEROS.astype(complex)), "x_train has type complex128"),
        (one_label("y_test", 2, 2), r"y_test\[2\] is 2, and 1 label\(s\).*last of the 2"),
        (one_label("y_train", 7, -1), r"y_train\[7\] is -1, but labels count"),
        (one_label("y_train", slice(None), 0), "y_train holds no label but 0"),
        (setting("y_train", np.arange(40) % 2 + 1), "goes up to 2 but has no label 0"),
        (setting("y_train", np.arange(40) % 2 * 2), "goes up to 2 but has no label 1"),
        (setting("y_train", (np.arange(40) % 2).astype(float)), "y_train has .* type float64"),
        (setting("y_train", np.eye(2, dtype=int)[np.arange(40) % 2]), r"shape \(40, 2\)"),
        (setting("y_train", np.arange(39) % 2), r"y_train has shape \(39,\).*the 40 images"),
        (setting("class_names", np.array([1, 2])), "class_names has shape"),
        (setting("class_names", np.array("cat")), "class_names has shape"),
        (setting("class_names", np.array(["cat", "cat"])), "all different"),
        (setting("class_names", np.array(["cat"])), r"y_train\[1\] is 1"),
        (setting("x_test", np.zeros((4, 5, 5, 3), np.uint8)), r"x_test has images of \(5, 5, 3\)"),
        (lambda arrays: arrays.pop("y_test"), "needs x_test and y_test together"),
        (
            lambda arrays: arrays.update(train=arrays.pop("x_train"), labels=arrays.pop("y_train")),
            "needs x_train and y_train .* the keys .*train, labels",
        ),
        (
            lambda arrays: arrays.update(y_train=np.eye(3, dtype=int)[arrays["y_train"]]),
            r"one-hot, save y_train\.argmax\(axis=1\)",
        ),
        (
            lambda arrays: arrays.update(y_train=arrays["y_train"].astype(float)),
            r"whole numbers, save y_train\.astype\(int\)",
        ),
        (
            lambda arrays: arrays.update(y_train=arrays["y_train"].astype(str)),
            r"class_names, y_train = np\.unique\(y_train, return_inverse=True\)",
        ),
        (lambda arrays: arrays.pop("x_train"), "needs x_train and y_train together"),
        (lambda arrays: arrays.clear(), "has the keys none"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, arrays, change, message):
    change(arrays)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_dataset(save(tmp_path, **arrays))


def test_npz_splits_of_different_sizes_can_be_resized(tmp_path, arrays):
    arrays["x_test"] = images_numbered(4, size=(5, 7))
    assert load_dataset(save(tmp_path, **arrays), image_size=6).x_test.shape == (4, 6, 6, 3)


def test_npz_of_gigabytes(tmp_path, arrays, monkeypatch):
    """From 2 GiB on a zip file ends in another record; here it does so from 500 bytes on."""
    monkeypatch.setattr("zipfile.ZIP64_LIMIT", 500)
    path = save(tmp_path, **arrays)
    monkeypatch.undo()
    assert b"PK\x06\x06" in path.read_bytes()
    loaded, _ = load_npz(path)
    np.testing.assert_array_equal(loaded["x_train"], arrays["x_train"])


def test_npz_keys_that_are_not_read_are_named(tmp_path, arrays, capsys):
    load_npz(save(tmp_path, **arrays, x_valid=np.zeros(3)))
    assert capsys.readouterr().out == "Not read from mine.npz: x_valid.\n"


class Attack:
    def __reduce__(self):
        return print, ("ran",)


def test_files_that_are_no_npz(tmp_path, arrays, capsys):
    path = save(tmp_path, **arrays)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 255
    buffer = io.BytesIO()
    np.save(buffer, arrays["x_train"])
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("x_train.npy", b"not an array")
    for content in (
        b"",
        b"text",
        whole[:-50],
        bytes(flipped),
        buffer.getvalue(),
        pickle.dumps(Attack()),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"'mine\.npz' is not a readable \.npz"):
            load_dataset(path)
    path.write_bytes(zipped.getvalue())
    with pytest.raises(ValueError, match="mine"):
        load_dataset(path)
    np.savez(path, x_train=np.array([Attack()], dtype=object), y_train=np.zeros(1, int))
    with pytest.raises(ValueError, match="holds Python objects"):
        load_dataset(path)
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------- folders and names


def test_a_folder_without_test_images_is_split_and_says_so(tmp_path, capsys, monkeypatch):
    for shade, name in enumerate(NAMES):
        (tmp_path / "pets" / "train" / name).mkdir(parents=True)
        for number in range(10):
            grey = 2 * number + shade
            image = Image.new("L", (8, 8), grey)
            image.save(tmp_path / "pets" / "train" / name / f"{number}.png")
    data = load_dataset(tmp_path / "pets")
    assert data.class_names == NAMES
    assert data.source == "image folder pets"
    assert [len(data.y_train), len(data.y_val), len(data.y_test)] == [12, 4, 4]
    out = capsys.readouterr().out
    assert "No test images of its own: 4 of 20 held out, seed 0." in out
    assert str(tmp_path) not in out
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
    # Once more from the cache, by a relative path: the same arrays.
    monkeypatch.chdir(tmp_path)
    again = load_dataset("pets")
    np.testing.assert_array_equal(again.x_train, data.x_train)
    assert load_dataset("pets", image_size=(12, 10)).image_shape == (12, 10, 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar11", "source='cifar11' is unknown; .*'digits'.* Did you mean 'cifar10'"),
        ("CIFAR-10", "Did you mean 'cifar10'"),
        ("digit", "Did you mean 'digits'"),
        ("imagenet", r"expected 'cifar10', 'digits', .*folder of images\.$"),
        ("", "source='' is unknown"),
    ],
)
def test_unknown_names(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_dataset(source)


def test_paths_that_lead_nowhere(tmp_path):
    for path in (tmp_path / "flowers", str(tmp_path / "flowers"), tmp_path / "mine.npz"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            load_dataset(path)
    (tmp_path / "flowers.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"is a file, but not an \.npz"):
        load_dataset(tmp_path / "flowers.zip")


@pytest.mark.parametrize("source", [None, 10, b"digits", ["digits"]])
def test_sources_of_a_wrong_type(source):
    with pytest.raises(TypeError, match="source="):
        load_dataset(source)


# ---------------------------------------------------------------- the Dataset itself


def parts(**changes):
    images, labels = images_numbered(4), np.array([0, 1, 0, 1])
    whole = {
        f"{kind}_{split}": value
        for split in ("train", "val", "test")
        for kind, value in (("x", images), ("y", labels))
    }
    return whole | {"class_names": NAMES, "source": "by hand"} | changes


def test_a_dataset_cannot_be_changed():
    data = Dataset(**parts())
    with pytest.raises(AttributeError):
        data.source = "another"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x_val": images_numbered(4).astype(np.float32)}, TypeError, "x_val is float32"),
        ({"x_test": [1, 2, 3, 4]}, TypeError, "x_test is list"),
        ({"x_val": images_numbered(4)[..., :1]}, ValueError, r"x_val has shape \(4, 4, 4, 1\)"),
        ({"x_val": images_numbered(0)}, ValueError, r"x_val has shape \(0, 4, 4, 3\)"),
        ({"x_train": images_numbered(4)[0]}, ValueError, r"x_train has shape \(4, 4, 3\)"),
        ({"x_test": images_numbered(4, (5, 4))}, ValueError, r"x_test has images of \(5, 4, 3\)"),
        ({"y_val": np.zeros(4, np.int32)}, TypeError, "y_val is int32"),
        ({"y_val": [0, 1, 0, 1]}, TypeError, "y_val is list"),
        ({"y_test": np.zeros((4, 1), np.int64)}, ValueError, r"y_test has shape \(4, 1\)"),
        ({"y_test": np.zeros(3, np.int64)}, ValueError, r"expected \(4,\)"),
        ({"y_train": np.array([0, 1, 2, 0])}, ValueError, r"y_train\[2\] is 2; .* 0 to 1"),
        ({"y_train": np.array([0, -1, 1, 0])}, ValueError, r"y_train\[1\] is -1"),
        ({"class_names": ["cat", "dog"]}, TypeError, "must be a tuple of str"),
        ({"class_names": (0, 1)}, TypeError, "must be a tuple of str"),
        ({"class_names": ("cat",)}, ValueError, "at least two names"),
        ({"class_names": ("cat", "cat")}, ValueError, "all different"),
        ({"source": None}, TypeError, "source=None must be a str"),
    ],
)
def test_a_dataset_refuses_what_does_not_fit(changes, error, message):
    with pytest.raises(error, match=message):
        Dataset(**parts(**changes))
