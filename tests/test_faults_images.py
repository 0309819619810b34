"""Two hundred bad images: none crashes or fills the memory, each is named, good ones are read."""

import os

import numpy as np
import pytest
from bad_images import CLASSES, COUNT, bad_images
from fault_images import all_images
from fault_tries import counted, losses
from PIL import Image

from shiftvit_utils import load_dataset
from shiftvit_utils.demo.answers import answer
from shiftvit_utils.folder_layout import read_layout
from shiftvit_utils.image_decoding import UnreadableImageError, decode_image
from shiftvit_utils.image_inputs import named_images
from shiftvit_utils.npz_file import load_npz

pytestmark = pytest.mark.backend_free


def test_two_hundred_bad_images(tmp_path):
    tries = list(all_images(tmp_path))
    assert losses(tries) == []
    readers = ("decode_image", "load_dataset", "Classifier", "the demo")
    counts = {kind: count["tries"] for kind, count in counted(tries).items()}
    assert counts == {f"bad images, {reader}": COUNT for reader in readers} | {
        "bad images, memory": 1
    }


def test_the_bad_images_are_the_same_for_the_same_seed_and_of_many_kinds():
    first, second = bad_images(7), bad_images(7)
    assert [(image.kind, image.name) for image in first] == [
        (image.kind, image.name) for image in second
    ]
    assert len(first) == COUNT
    assert len({image.kind for image in first}) > 15


@pytest.fixture
def folder(tmp_path):
    for name in CLASSES:
        (tmp_path / "in" / "train" / name).mkdir(parents=True)
        for number in range(5):
            image = Image.new("RGB", (8, 8), (number, 0, 0))
            image.save(tmp_path / "in" / "train" / name / f"{number}.png")
    return tmp_path / "in"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_a_class_folder_is_not_waited_for(folder, capsys):
    os.mkfifo(folder / "train" / "ant" / "pipe.png")
    data = load_dataset(folder, validation_size=2, test_size=2)
    assert "  train/ant/pipe.png: not a file\n" in capsys.readouterr().out
    assert len(data.x_train) == 6


def test_a_link_in_a_circle_is_named(folder, capsys):
    (folder / "train" / "ant" / "circle.png").symlink_to("circle.png")
    (folder / "circle").symlink_to("circle")
    load_dataset(folder, validation_size=2, test_size=2)
    assert "  train/ant/circle.png: Too many levels" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["two\nlines", os.fsdecode(b"caf\xe9"), "bell\x07"])
def test_a_class_needs_a_name_that_can_be_written(folder, name):
    (folder / "train" / "ant").rename(folder / "train" / name)
    with pytest.raises(ValueError, match=r"class folder '.*\\.*' of 'in'.*Rename it") as error:
        load_dataset(folder)
    str(error.value).encode()


@pytest.mark.parametrize("name", ["caf\u00e9", "großer Vogel", "\U0001f41d\u200d\U0001f41c"])
def test_a_class_may_have_any_text_as_its_name(folder, name):
    (folder / "train" / "ant").rename(folder / "train" / name)
    assert name in read_layout(folder).class_names


def test_a_folder_of_any_name_is_printed(folder, capsys):
    odd = folder.rename(folder.with_name(os.fsdecode(b"odd\xff\n")))
    (odd / os.fsdecode(b"beside\xff")).mkdir()
    data = load_dataset(odd, validation_size=2, test_size=2)
    told = capsys.readouterr().out + data.source
    told.encode()  # what is no Unicode cannot be printed
    assert told.count("odd\\udcff\\n") == 3
    assert "beside\\udcff" in told


def test_a_name_that_is_too_long_is_one_bad_file_and_not_the_end(folder):
    long = "x" * 300 + ".png"
    found, _ = named_images([folder / "train" / "ant" / "1.png", long])
    first, second = found
    assert first.pixels((8, 8)).shape == (8, 8, 3)
    with pytest.raises(UnreadableImageError, match="File name too long"):
        second.pixels((8, 8))
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        named_images(long)


def test_memory_that_does_not_suffice_is_a_reason(folder, monkeypatch):
    def too_much(image):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", too_much)
    with pytest.raises(UnreadableImageError, match="more memory than there is"):
        decode_image(folder / "train" / "ant" / "1.png")


def test_sixteen_bits_are_rounded_exactly(tmp_path):
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "all.png")
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(tmp_path / "all.png")[..., 1], expected)


def test_an_upload_that_is_gone(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        answer(None, tmp_path / "gone.png")


def test_class_names_of_an_npz_in_another_encoding(tmp_path):
    names = np.array(["Vögel".encode("latin-1"), b"cat"])
    np.savez(tmp_path / "a.npz", x_train=np.full((2, 8, 8), 9), y_train=[0, 1], class_names=names)
    with pytest.raises(ValueError, match="class_names has bytes that are no ASCII"):
        load_npz(tmp_path / "a.npz")
