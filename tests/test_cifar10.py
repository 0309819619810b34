"""CIFAR-10: where it is looked for, and the official files, faked small in their own format."""

import codecs
import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest
from cifar_pickles import python2_pickle
from PIL import Image

from shiftvit_utils import cifar10, cifar_batches
from shiftvit_utils.cifar10 import CLASS_NAMES, load_cifar10
from shiftvit_utils.cifar_batches import read_batch_archive, read_batch_folder
from shiftvit_utils.data import load_dataset

pytestmark = pytest.mark.backend_free

BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
PER_BATCH = 20


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No copy anywhere and no network, whatever this machine has."""
    monkeypatch.delenv("SHIFTVIT_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()

    def no_network():
        raise Exception("URL fetch failure: no route to host")  # what Keras raises

    import keras

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", no_network)


def rows_and_labels(seed):
    rows = np.random.default_rng(seed).integers(0, 256, (PER_BATCH, 3072), np.uint8)
    return rows, [row % 10 for row in range(PER_BATCH)]


def write_batches(folder, first_seed=0):
    folder.mkdir(parents=True)
    for seed, name in enumerate(BATCHES, first_seed):
        rows, labels = rows_and_labels(seed)
        batch = {b"data": rows, b"labels": labels, b"batch_label": b"a batch", b"filenames": []}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def write_archive(path, monkeypatch, names=BATCHES, first_seed=0, extra=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        members = [(f"cifar-10-batches-py/{name}", name) for name in names]
        for seed, (member, _) in enumerate(members, first_seed):
            content = python2_pickle(*rows_and_labels(seed))
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info, content in extra:
            archive.addfile(info, io.BytesIO(content))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar_batches, "ARCHIVE_MD5", digest)
    return path


def write_images(folder, per_class=3, classes=CLASS_NAMES):
    for split in ("train", "test"):
        for label, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for number in range(per_class):
                grey = 10 * label + number
                image = Image.new("L", (32, 32), grey)
                image.save(folder / split / name / f"{number:04}.png")
    return folder


def check_official(arrays, first_seed=0):
    """Pixel by pixel from the published layout: row r is 1024 red, 1024 green, 1024 blue."""
    assert arrays["x_train"].shape == (5 * PER_BATCH, 32, 32, 3)
    assert arrays["x_test"].shape == (PER_BATCH, 32, 32, 3)
    assert arrays["x_train"].dtype == np.uint8
    assert arrays["y_train"].dtype == np.int64
    assert arrays["y_train"].tolist() == [row % 10 for row in range(PER_BATCH)] * 5
    for batch, (image, y, x, channel) in enumerate(
        [(0, 0, 0, 0), (3, 0, 31, 1), (19, 31, 0, 2), (7, 5, 9, 0), (11, 30, 2, 1)]
    ):
        rows, _ = rows_and_labels(first_seed + batch)
        found = arrays["x_train"][batch * PER_BATCH + image, y, x, channel]
        assert found == rows[image, channel * 1024 + y * 32 + x]
    rows, labels = rows_and_labels(first_seed + 5)
    assert arrays["x_test"][4, 1, 2, 2] == rows[4, 2 * 1024 + 32 + 2]
    assert arrays["y_test"].tolist() == labels


# ---------------------------------------------------------------- the official files


def test_batches_in_a_folder(tmp_path):
    check_official(read_batch_folder(write_batches(tmp_path / "cifar-10-batches-py")))


def test_batches_in_an_inner_folder(tmp_path):
    write_batches(tmp_path / "target" / "cifar-10-batches-py")
    check_official(read_batch_folder(tmp_path / "target"))


def test_archive_as_python_2_wrote_it(tmp_path, monkeypatch):
    before = write_archive(tmp_path / "cifar-10-python.tar.gz", monkeypatch)
    check_official(read_batch_archive(before))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [before.name]


def test_truncated_archive_is_named_and_not_read(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "cifar-10-python.tar.gz", monkeypatch)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz.* is truncated or altered"):
        read_batch_archive(path)


def test_the_published_checksum_is_the_default():
    assert cifar_batches.ARCHIVE_MD5 == "c58f30108f718f92721af3b95e74349a"


def test_archive_that_is_none(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"<html>moved</html>")
    monkeypatch.setattr(
        cifar_batches, "ARCHIVE_MD5", hashlib.md5(b"<html>moved</html>").hexdigest()
    )
    with pytest.raises(ValueError, match="cannot be unpacked"):
        read_batch_archive(path)


def test_archive_without_a_batch(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "a.tar.gz", monkeypatch, names=BATCHES[:-1])
    with pytest.raises(ValueError, match="lacks test_batch"):
        read_batch_archive(path)


def test_archive_names_never_become_paths(tmp_path, monkeypatch):
    outside = tarfile.TarInfo("../../escaped")
    outside.size = 4
    absolute = tarfile.TarInfo(str(tmp_path / "absolute"))
    absolute.size = 4
    secret = tmp_path / "secret"
    secret.write_bytes(python2_pickle(*rows_and_labels(5)))
    link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
    link.type, link.linkname = tarfile.SYMTYPE, str(secret)
    home = tmp_path / "deep" / "deeper"
    path = write_archive(
        home / "a.tar.gz",
        monkeypatch,
        names=BATCHES[:-1],
        extra=[(outside, b"evil"), (absolute, b"evil"), (link, b"")],
    )
    with pytest.raises(ValueError, match="lacks test_batch"):  # the link is not followed
        read_batch_archive(path)
    files = {found.name for found in tmp_path.rglob("*") if found.is_file()}
    assert files == {"a.tar.gz", "secret"}


def test_missing_and_truncated_batches_are_named(tmp_path):
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    batch = folder / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"data_batch_3' cannot be read, it is truncated"):
        read_batch_folder(folder)
    batch.unlink()
    (folder / "test_batch").unlink()
    with pytest.raises(ValueError, match="lacks data_batch_3, test_batch"):
        read_batch_folder(folder)


class RunsCode:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_does_not_run(tmp_path, protocol):
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    marker = tmp_path / "pwned"
    attack = {b"data": RunsCode(os.mkdir, str(marker)), b"labels": [0]}
    content = pickle.dumps(attack, protocol=protocol)
    (folder / "data_batch_2").write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_2.*mkdir is not allowed"):
        read_batch_folder(folder)
    assert not marker.exists()
    pickle.loads(content)  # the attack is a real one
    assert marker.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (RunsCode(eval, "1 + 1"), "eval is not allowed"),
        (RunsCode(getattr, "", "join"), "getattr is not allowed"),
        (RunsCode(codecs.encode, "bomb", "zlib"), "the codec 'zlib' is not allowed"),
        (np.array([{}, {}], dtype=object), "arrays of object are not allowed"),
        (np.zeros(2, dtype=[("a", "u1")]), r"arrays of \|V1 are not allowed"),
    ],
)
def test_pickles_of_anything_but_numbers_are_refused(tmp_path, data, message):
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    (folder / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [0]}, protocol=2))
    with pytest.raises(ValueError, match=message):
        read_batch_folder(folder)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"data": np.zeros((4, 3072), np.uint8)}, "KeyError: 'labels'"),
        ([1, 2, 3], "cannot be read"),
        ({"data": np.zeros((4, 3071), np.uint8), "labels": [0] * 4}, r"shape \(4, 3071\)"),
        ({"data": np.zeros((4, 3072), np.float32), "labels": [0] * 4}, "type float32"),
        ({"data": np.zeros(3072, np.uint8), "labels": [0]}, r"shape \(3072,\)"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0] * 3}, r"4 images but labels"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 10]}, "from 0 to 10"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, -1]}, "from -1 to 2"),
    ],
)
def test_batches_of_another_data_set_are_refused(tmp_path, batch, message):
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ValueError, match=message):
        read_batch_folder(folder)


def test_a_batch_of_the_official_size_is_the_official_one(tmp_path, monkeypatch):
    """One pixel of 10,000 images is another, and nothing else tells."""
    assert sorted(cifar_batches.BATCH_MD5) == sorted(BATCHES)
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    batch = {"data": np.zeros((10_000, 3072), np.uint8), "labels": list(range(10)) * 1000}
    content = pickle.dumps(batch, protocol=2)
    batch["data"][5000, 3] = 1
    (folder / "data_batch_4").write_bytes(pickle.dumps(batch, protocol=2))
    digest = hashlib.md5(content).hexdigest()
    monkeypatch.setitem(cifar_batches.BATCH_MD5, "data_batch_4", digest)
    with pytest.raises(ValueError, match=rf"data_batch_4' is altered: its MD5 is .*{digest}"):
        read_batch_folder(folder)
    (folder / "data_batch_4").write_bytes(content)
    assert len(read_batch_folder(folder)["x_train"]) == 10_000 + 4 * PER_BATCH


def test_a_batch_that_cannot_be_one_is_not_read_into_memory(tmp_path):
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    with open(folder / "data_batch_2", "wb") as file:
        file.truncate(2**40)  # a terabyte of nothing, which takes no room on the disk
    with pytest.raises(ValueError, match=r"data_batch_2' has 1,099,511,627,776 bytes"):
        read_batch_folder(folder)


def test_a_large_index_does_not_take_large_memory(tmp_path):
    """Five bytes, for which the unpickler in C would allocate 32 GB."""
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_2").write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"data_batch_2' cannot be read.*TypeError"):
        read_batch_folder(folder)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


# ---------------------------------------------------------------- where it is looked for


def test_places_are_tried_in_order(tmp_path, monkeypatch):
    """All are there at first; the one in use is taken away, and the next one answers."""
    home, keras_home = tmp_path / "data", tmp_path / "keras" / "datasets"
    monkeypatch.setenv("SHIFTVIT_DATA", str(home))
    write_images(home / "cifar10")
    write_batches(home / "cifar-10-batches-py", first_seed=100)
    archive = write_archive(home / "cifar-10-python.tar.gz", monkeypatch, first_seed=200)
    write_batches(keras_home / "cifar-10-batches-py-target" / "cifar-10-batches-py", 300)
    write_batches(keras_home / "cifar-10-batches-py", first_seed=400)
    (keras_home / "cifar-10-batches-py-target_archive").write_bytes(archive.read_bytes())
    (keras_home / "cifar-10-batches-py.tar.gz").write_bytes(archive.read_bytes())

    found = load_cifar10()
    assert found.description == "CIFAR-10 from $SHIFTVIT_DATA/cifar10 (image folder)"
    assert not found.official_order
    assert found.arrays["x_train"][:, 0, 0, 0].tolist()[:5] == [0, 1, 2, 10, 11]
    (home / "cifar10").rename(tmp_path / "away0")

    for step, (place, kind, seed) in enumerate(
        [
            ("$SHIFTVIT_DATA/cifar-10-batches-py", "official batches", 100),
            ("$SHIFTVIT_DATA/cifar-10-python.tar.gz", "official archive", 200),
            ("$KERAS_HOME/datasets/cifar-10-batches-py-target", "official batches", 300),
            ("$KERAS_HOME/datasets/cifar-10-batches-py", "official batches", 400),
            ("$KERAS_HOME/datasets/cifar-10-batches-py-target_archive", "official archive", 200),
            ("$KERAS_HOME/datasets/cifar-10-batches-py.tar.gz", "official archive", 200),
        ],
        start=1,
    ):
        found = load_cifar10()
        assert found.description == f"CIFAR-10 from {place} ({kind})"
        assert found.official_order
        check_official(found.arrays, seed)
        path = place.replace("$SHIFTVIT_DATA", str(home))
        os.rename(path.replace("$KERAS_HOME", str(tmp_path / "keras")), tmp_path / f"away{step}")
    with pytest.raises(FileNotFoundError):
        load_cifar10()


def test_the_default_keras_home(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_batches(tmp_path / ".keras" / "datasets" / "cifar-10-batches-py")
    found = load_cifar10()
    expected = "CIFAR-10 from ~/.keras/datasets/cifar-10-batches-py (official batches)"
    assert found.description == expected


def test_where_keras_goes_when_its_home_is_read_only(tmp_path, monkeypatch):
    write_batches(tmp_path / ".keras" / "datasets" / "cifar-10-batches-py")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        load_cifar10()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert load_cifar10().description.endswith(
        "/.keras/datasets/cifar-10-batches-py (official batches)"
    )


def test_names_in_keras_cache_are_those_of_the_installed_keras():
    import inspect

    from keras.src.datasets import cifar10 as keras_cifar10

    source = inspect.getsource(keras_cifar10.load_data)
    assert any(f'"{name}"' in source for name in cifar10._KERAS_FOLDERS)


def test_nowhere_names_every_place_and_the_alternative(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError) as caught:
        load_cifar10()
    message = str(caught.value)
    for expected in (
        "$SHIFTVIT_DATA/cifar10/{train,test}/<class>/*",
        "SHIFTVIT_DATA is not set",
        "$SHIFTVIT_DATA/cifar-10-batches-py",
        "$SHIFTVIT_DATA/cifar-10-python.tar.gz",
        "$KERAS_HOME/datasets/cifar-10-batches-py-target",
        "no route to host",
        "'digits'",
    ):
        assert expected in message
    assert "Keras downloads it now" in capsys.readouterr().out
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match="typo', which is not a folder"):
        load_cifar10()


def test_what_a_failed_download_leaves_is_named(tmp_path, monkeypatch):
    import keras

    left = tmp_path / "keras" / "datasets" / "cifar-10-batches-py-target_archive"

    def half_a_download():
        left.parent.mkdir()
        left.write_bytes(b"half")
        raise ValueError("Incomplete or corrupted file detected.")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", half_a_download)
    with pytest.raises(FileNotFoundError, match=r"target_archive', which is incomplete: delete"):
        load_cifar10()
    with pytest.raises(ValueError, match=r"target_archive' \(4 bytes\) is truncated or altered"):
        load_cifar10()


@pytest.mark.parametrize("channels_first", [False, True])
def test_keras_download(monkeypatch, channels_first):
    import keras

    rows, labels = rows_and_labels(0)
    planes = rows.reshape(-1, 3, 32, 32)
    images = planes if channels_first else planes.transpose(0, 2, 3, 1)
    split = images, np.array(labels, np.uint8)[:, None]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (split, split))
    found = load_cifar10()
    assert found.official_order
    assert found.arrays["x_test"].shape == (PER_BATCH, 32, 32, 3)
    assert found.arrays["x_train"][5, 6, 7, 2] == rows[5, 2 * 1024 + 6 * 32 + 7]
    assert found.arrays["y_train"].tolist() == labels


def test_a_damaged_place_is_never_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_batches(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar10" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"\$SHIFTVIT_DATA/cifar10 .* has no test/"):
        load_cifar10()


def test_a_folder_with_other_classes_is_no_cifar10(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_images(tmp_path / "cifar10", classes=("airplane", "zebra"))
    with pytest.raises(ValueError, match=r"10 expected. Missing: automobile.*Unknown: zebra"):
        load_cifar10()


# ---------------------------------------------------------------- as a data set


def test_official_files_are_validated_on_the_last_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_batches(tmp_path / "cifar-10-batches-py")
    data = load_dataset("cifar10", validation_size=30, seed=5)
    whole = read_batch_folder(tmp_path / "cifar-10-batches-py")
    np.testing.assert_array_equal(data.x_train, whole["x_train"][:70])
    np.testing.assert_array_equal(data.x_val, whole["x_train"][70:])
    np.testing.assert_array_equal(data.y_val, whole["y_train"][70:])
    np.testing.assert_array_equal(data.x_test, whole["x_test"])
    assert data.class_names == CLASS_NAMES
    line = "CIFAR-10 from $SHIFTVIT_DATA/cifar-10-batches-py (official batches)"
    assert data.source == line
    assert capsys.readouterr().out == f"Data: {line}\n"


def test_image_folder_is_validated_on_a_stratified_part(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_images(tmp_path / "cifar10")
    data = load_dataset("cifar10", validation_size=10)
    assert np.bincount(data.y_val).tolist() == [1] * 10
    assert np.bincount(data.y_train).tolist() == [2] * 10
    np.testing.assert_array_equal(data.x_val[:, 0, 0, 0] // 10, data.y_val)


def test_the_default_holds_out_ten_thousand(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_batches(tmp_path / "cifar-10-batches-py")
    with pytest.raises(ValueError, match=r"validation_size=None .* asks for 10000 of 100 images"):
        load_dataset("cifar10")
    monkeypatch.setattr("shiftvit_utils.data.DEFAULT_VALIDATION", 40)
    assert len(load_dataset("cifar10").x_val) == 40


def test_the_last_images_must_hold_every_class(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    folder = write_batches(tmp_path / "cifar-10-batches-py")
    rows, _ = rows_and_labels(4)
    batch = {"data": rows, "labels": [min(row, 8) for row in range(PER_BATCH)]}
    (folder / "data_batch_5").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ValueError, match="class 'truck' has no image in the validation split"):
        load_dataset("cifar10", validation_size=20)


def test_cifar10_brings_its_own_test_images(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTVIT_DATA", str(tmp_path))
    write_batches(tmp_path / "cifar-10-batches-py")
    with pytest.raises(ValueError, match=r"test_size=0\.5 was given, but this source brings"):
        load_dataset("cifar10", validation_size=20, test_size=0.5)
