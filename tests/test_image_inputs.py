"""Whatever people hand over becomes the same named images, or an error with a way out."""

import os

import numpy as np
import pytest
from PIL import Image

from shiftvit_utils.image_decoding import UnreadableImageError
from shiftvit_utils.image_inputs import named_images
from shiftvit_utils.pixel_arrays import as_pixels

pytestmark = pytest.mark.backend_free

SIZE = (8, 8)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def names_and_pixels(images):
    found, _ = named_images(images)
    found = list(found)
    return [image.name for image in found], np.array([image.pixels(SIZE) for image in found])


@pytest.fixture
def folder(tmp_path):
    """Images in the order 10, 2, b/1, c; hidden and other files among them."""
    for position, name in enumerate(("c.JPG", "10.png", "2.png", "b/1.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (position, position, position)).save(path)
    for name in (".hidden.png", "README.txt", "Thumbs.db", ".cache/1.png", "__MACOSX/1.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return tmp_path / "in"


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "float16"])
def test_one_image_or_a_batch_of_any_numbers(dtype):
    batch = noise(3, 8, 8, 3)
    names, pixels = names_and_pixels(batch.astype(dtype))
    assert names == ["image 0", "image 1", "image 2"]
    np.testing.assert_array_equal(pixels, batch)
    assert pixels.dtype == np.uint8
    names, pixels = names_and_pixels(batch[1].astype(dtype))
    assert names == ["image 0"]
    np.testing.assert_array_equal(pixels, batch[1:2])


def test_grey_becomes_three_equal_channels():
    grey = noise(8, 8)
    _, pixels = names_and_pixels(grey)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[0, ..., channel], grey)


def test_floats_are_rounded_not_cut_off():
    assert as_pixels(np.full((1, 1, 3), 99.7), "images").tolist() == [[[100] * 3]]


def test_other_sizes_are_cropped_around_the_centre():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = noise(8, 8, 3)
    _, pixels = names_and_pixels(wide)
    np.testing.assert_array_equal(pixels[0], wide[:, 8:16])


@pytest.mark.parametrize("values", [np.zeros((8, 8, 3)), np.ones((8, 8, 3), np.uint8)])
def test_what_is_black_in_any_scale_is_an_image(values):
    assert len(names_and_pixels(values)[0]) == 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.full((8, 8, 3), 0.5), ValueError, r"up to 0\.5.*0\.\.1.*255 \* images"),
        (np.ones((2, 8, 8, 3), "float32"), ValueError, r"255 \* images"),
        (np.full((8, 8, 3), -0.5), ValueError, "scales pixels itself"),
        (np.full((8, 8, 3), 40_000, "uint16"), ValueError, "16-bit values by 257"),
        (np.full((8, 8, 3), np.nan), ValueError, "NaN"),
        (np.full((8, 8, 3), np.inf), ValueError, "NaN or infinite"),
        (noise(8, 8, 1), ValueError, "np.repeat"),
        (noise(2, 8, 8, 1), ValueError, "np.repeat"),
        (noise(8, 8, 4), ValueError, "Image.fromarray"),
        (noise(3, 8, 8), ValueError, r"np\.moveaxis\(images, -3, -1\)"),
        (noise(5, 3, 8, 8), ValueError, r"np\.moveaxis\(images, -3, -1\)"),
        (noise(5, 8, 8), ValueError, r"images\[\.\.\., None\]"),
        (noise(8), ValueError, r"shape \(8,\)"),
        (np.uint8(3), ValueError, r"shape \(\)"),
        (noise(1, 1, 8, 8, 3), ValueError, "red, green, blue"),
        (noise(0, 8, 8, 3), ValueError, "none of them 0"),
        (noise(0, 8), ValueError, "none of them 0"),
        (np.zeros((8, 8, 3), bool), TypeError, "bool"),
        (np.zeros((8, 8, 3), complex), TypeError, "complex"),
        (np.array(["a.png"]), TypeError, "images.tolist"),
    ],
)
def test_arrays_that_are_no_images(values, error, message):
    with pytest.raises(error, match=message):
        named_images(values)
    with pytest.raises(error, match=r"images\[1\]"):
        list(named_images([noise(8, 8, 3), values])[0])


# ---------------------------------------------------------------- files and folders


def test_one_file(folder):
    for path in (folder / "2.png", str(folder / "2.png")):
        names, pixels = names_and_pixels(path)
        assert names == [str(folder / "2.png")]
        assert (pixels == 2).all()


def test_a_folder_is_read_with_its_sub_folders_in_order(folder):
    for path in (folder, str(folder)):
        names, pixels = names_and_pixels(path)
        assert names == ["10.png", "2.png", "b/1.png", "c.JPG"]
        assert pixels[:, 0, 0, 0].tolist() == [1, 2, 3, 0]
    assert named_images(folder)[1] == (
        "Ignored 1 file(s) that are not JPEG, PNG, BMP, GIF or WebP."
    )
    (folder / "README.txt").unlink()
    assert named_images(folder)[1] == ""


def test_nothing_is_decoded_before_its_turn(folder):
    found, _ = named_images(folder)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"gone")
    with pytest.raises(UnreadableImageError):
        next(iter(found)).pixels(SIZE)


def test_a_link_in_a_circle_ends(folder):
    (folder / "b" / "again").symlink_to(folder, target_is_directory=True)
    assert len(names_and_pixels(folder)[0]) == 4


def test_a_mix_keeps_its_order(folder):
    mix = [folder / "c.JPG", noise(8, 8, 3), Image.new("L", SIZE, 7), str(folder / "2.png")]
    for images in (mix, tuple(mix), iter(mix)):
        names, pixels = names_and_pixels(images)
        assert names == [str(mix[0]), "image 1", "image 2", mix[3]]
        assert pixels[:, 0, 0, 0].tolist() == [0, mix[1][0, 0, 0], 7, 2]


def test_a_pattern_of_files(folder):
    names, pixels = names_and_pixels(folder.glob("[0-9c]*"))
    greys = dict(zip(names, pixels[:, 0, 0, 0].tolist(), strict=True))
    expected = {"10.png": 1, "2.png": 2, "c.JPG": 0}
    assert greys == {str(folder / name): grey for name, grey in expected.items()}


def test_pillow_images_are_shown_as_a_viewer_would():
    turned = Image.fromarray(noise(8, 8, 3))
    turned.getexif()[0x0112] = 6
    _, pixels = names_and_pixels(turned)
    np.testing.assert_array_equal(pixels[0], np.rot90(noise(8, 8, 3), -1))
    _, pixels = names_and_pixels(Image.new("RGBA", SIZE, (9, 9, 9, 0)))
    assert (pixels == 255).all()


def test_a_truncated_pillow_image_is_unreadable(folder):
    Image.fromarray(noise(64, 64, 3)).save(folder / "big.png")
    content = (folder / "big.png").read_bytes()
    (folder / "big.png").write_bytes(content[: len(content) // 2])
    (found,) = named_images(Image.open(folder / "big.png"))[0]
    with pytest.raises(UnreadableImageError, match="truncated"):
        found.pixels(SIZE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_named_like_an_image_is_not_waited_for(folder):
    os.mkfifo(folder / "3.png")
    found = {image.name: image for image in named_images(folder)[0]}
    with pytest.raises(UnreadableImageError, match="not a file"):
        found["3.png"].pixels(SIZE)


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match=r"in/b"):
        named_images(folder)


def test_missing_paths(tmp_path):
    for path in (tmp_path / "no.png", str(tmp_path / "no"), "", "a\0b"):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            named_images(path)
    (found,) = named_images([tmp_path / "no.png"])[0]
    with pytest.raises(UnreadableImageError, match="No such file"):
        found.pixels(SIZE)


def test_folders_without_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"1 other file.*\.png"):
        named_images(tmp_path)
    with pytest.raises(ValueError, match=r"images\[0\] is the folder"):
        list(named_images([tmp_path])[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "images is None"),
        (7, "images is int"),
        ({"a": 1}, "images is dict"),
        ({"a.png"}, "images is set"),
        (b"\x89PNG", r"Image\.open\(io\.BytesIO"),
    ],
)
def test_what_is_no_image(value, message):
    with pytest.raises(TypeError, match=message):
        named_images(value)
    with pytest.raises(TypeError, match=message.replace("images", r"images\[0\]")):
        list(named_images([value])[0])


def test_a_batch_within_a_list_and_an_image_without_pixels():
    with pytest.raises(ValueError, match=r"np\.concatenate"):
        list(named_images([noise(2, 8, 8, 3)])[0])
    with pytest.raises(ValueError, match="no pixels"):
        named_images(Image.new("RGB", (0, 4)))


def test_pillow_images_of_32_bits_say_which_range_they_mean():
    bright = Image.fromarray(np.full((8, 8), 200, "int32"))
    assert bright.mode == "I"
    _, (_,) = names_and_pixels([Image.fromarray(np.full((8, 8), 51_400, "int32"))])
    with pytest.raises(ValueError, match=r"32-bit pixels up to 200, which may mean 8 or 16 bits"):
        names_and_pixels([bright])
