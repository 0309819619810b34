"""Image files and folders, against pixels that are worked out here by hand or in NumPy."""

import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from shiftvit_utils import image_cache
from shiftvit_utils.image_decoding import (
    UnreadableImageError,
    check_image_size,
    decode_image,
    fit_image,
)
from shiftvit_utils.image_folder import load_image_folder

pytestmark = pytest.mark.backend_free

RED, BLUE = (255, 0, 0), (0, 0, 255)


def solid(path, colour=(10, 20, 30), size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def flowers(tmp_path):
    """Two classes, three training and two test images each; image k of a class is grey 10 k + c."""
    folder = tmp_path / "flowers"
    for split, count in (("train", 3), ("test", 2)):
        for shade, name in enumerate(("daisy", "tulip")):
            for number in range(count):
                grey = 10 * number + shade
                solid(folder / split / name / f"{number}.png", (grey, grey, grey))
    return folder


# ---------------------------------------------------------------- one file


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, bit_depth, colour_type, rows, extra=b""):
    """A PNG written by hand, so that what is read back does not depend on Pillow's writer."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    scanlines = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(scanlines))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    values = [0, 257, 128 * 257, 65535]
    path = tmp_path / "scan.png"
    path.write_bytes(png_bytes(4, 1, 16, 0, [struct.pack(">4H", *values)]))
    assert decode_image(path)[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_one_bit_and_grey_become_three_equal_channels(tmp_path):
    path = tmp_path / "fax.png"
    path.write_bytes(png_bytes(8, 1, 1, 0, [bytes([0b10100000])]))
    assert decode_image(path)[0, :, 1].tolist() == [255, 0, 255, 0, 0, 0, 0, 0]
    path.write_bytes(png_bytes(3, 1, 8, 0, [bytes([0, 7, 255])]))
    assert decode_image(path)[0].tolist() == [[0] * 3, [7] * 3, [255] * 3]


def test_transparency_is_laid_on_white_in_every_mode_that_has_it(tmp_path):
    path = tmp_path / "icon.png"
    # RGBA: opaque red, invisible black, half-visible black.
    rgba = bytes([*RED, 255, 0, 0, 0, 0, 0, 0, 0, 128])
    path.write_bytes(png_bytes(3, 1, 8, 6, [rgba]))
    opaque, invisible, half = decode_image(path)[0].tolist()
    assert opaque == list(RED)
    assert invisible == [255, 255, 255]
    assert half == [127, 127, 127]  # 255 * (1 - 128 / 255)

    path.write_bytes(png_bytes(2, 1, 8, 4, [bytes([40, 255, 40, 0])]))  # grey + alpha
    assert decode_image(path)[0].tolist() == [[40] * 3, [255] * 3]

    palette = chunk(b"PLTE", bytes([*RED, *BLUE])) + chunk(b"tRNS", bytes([255, 0]))
    path.write_bytes(png_bytes(2, 1, 8, 3, [bytes([0, 1])], palette))
    assert decode_image(path)[0].tolist() == [list(RED), [255] * 3]

    colour_key = chunk(b"tRNS", struct.pack(">3H", *BLUE))  # this very colour is transparent
    path.write_bytes(png_bytes(2, 1, 8, 2, [bytes([*RED, *BLUE])], colour_key))
    assert decode_image(path)[0].tolist() == [list(RED), [255] * 3]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, np.rot90),
    ],
)
def test_exif_orientation(tmp_path, orientation, turn):
    stored = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(decode_image(tmp_path / "phone.png"), turn(stored))


def test_only_exif_turns_an_image(tmp_path):
    """Not what other notes say, by which no viewer goes either."""
    stored = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    lines = "\n".join(content.hex()[k : k + 72] for k in range(0, 2 * len(content), 72))
    raw_profile, xmp = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    raw_profile.add_text("Raw profile type exif", f"\nexif\n{len(content):8}\n{lines}\n")
    xmp.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    for name, notes in (("profile.png", raw_profile), ("xmp.png", xmp)):
        Image.fromarray(stored).save(tmp_path / name, pnginfo=notes)
        with Image.open(tmp_path / name) as image:
            assert image.getexif()[0x0112] == 6  # as Pillow reads it
        np.testing.assert_array_equal(decode_image(tmp_path / name), stored)


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    pixels = decode_image(tmp_path / "print.jpg").astype(int)
    np.testing.assert_allclose(pixels, np.broadcast_to(RED, (16, 16, 3)), atol=6)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)]
    for name in ("moving.gif", "moving.webp"):
        frames[0].save(
            tmp_path / name,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if name.endswith("webp") else {}),
        )
        np.testing.assert_array_equal(
            decode_image(tmp_path / name), np.broadcast_to(RED, (4, 4, 3))
        )


def test_bmp_is_exact(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "old.bmp")
    np.testing.assert_array_equal(decode_image(tmp_path / "old.bmp"), pixels)


def test_resizing_crops_the_longer_side_around_the_centre():
    # Left and right quarter red, middle half blue: a square crop sees the middle alone.
    image = np.empty((20, 40, 3), np.uint8)
    image[:] = RED
    image[:, 10:30] = BLUE
    middle = fit_image(image, (8, 8))
    np.testing.assert_array_equal(middle[:, 1:-1], np.broadcast_to(BLUE, (8, 6, 3)))
    # The same turned by 90 degrees, and to a size that is not square: height first.
    assert fit_image(image.swapaxes(0, 1), (10, 4)).shape == (10, 4, 3)
    assert fit_image(image, (20, 40)) is image
    assert fit_image(np.zeros((1, 500, 3), np.uint8), (32, 32)).shape == (32, 32, 3)


def jpeg_bytes(size=(64, 64)):
    noise = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def noisy_png(side=64):
    """Random rows, which do not compress: a cut within them leaves most of the pixels."""
    rows = np.random.default_rng(3).integers(0, 256, (side, side), np.uint8)
    return png_bytes(side, side, 8, 0, [row.tobytes() for row in rows])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a JPEG"),
        (b"<html>404</html>", "not a JPEG"),
        (jpeg_bytes()[:-400], "truncated"),
        (noisy_png()[:-400], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not a JPEG"),
    ],
)
def test_damaged_files_are_refused_with_a_reason(tmp_path, content, reason):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        decode_image(path)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("limit", [50, 30])  # 64 pixels: above the limit, and above twice it
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, limit):
    path = solid(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        decode_image(path)


def test_image_size_is_height_and_width():
    assert check_image_size(32) == (32, 32)
    assert check_image_size((24, 48)) == (24, 48)
    assert check_image_size([np.int64(24), 48]) == (24, 48)
    assert check_image_size(None) is None


@pytest.mark.parametrize("size", ["32", 3.5, True, (32.0, 32), (True, 32), {32, 48}])
def test_image_size_of_a_wrong_type(size):
    with pytest.raises(TypeError, match="image_size="):
        check_image_size(size)


@pytest.mark.parametrize("size", [0, -1, (0, 32), (32,), (32, 32, 3), ()])
def test_image_size_of_a_wrong_value(size):
    with pytest.raises(ValueError, match="image_size="):
        check_image_size(size)


# ---------------------------------------------------------------- a whole folder


def test_folder_pixels_labels_and_order(flowers):
    arrays, class_names = load_image_folder(flowers)
    assert class_names == ("daisy", "tulip")
    assert set(arrays) == {"x_train", "y_train", "x_test", "y_test"}
    assert arrays["x_train"].shape == (6, 8, 8, 3)
    assert arrays["x_train"].dtype == np.uint8
    assert arrays["x_train"][:, 3, 3, 1].tolist() == [0, 10, 20, 1, 11, 21]
    assert arrays["y_train"].tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays["y_train"].dtype == np.int64
    assert arrays["x_test"][:, 0, 0, 0].tolist() == [0, 10, 1, 11]
    assert arrays["y_test"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_folder_is_read(flowers, name):
    (flowers / "test").rename(flowers / name)
    arrays, _ = load_image_folder(flowers)
    assert arrays["x_val"].shape == (4, 8, 8, 3)
    assert "x_test" not in arrays


@pytest.mark.parametrize("name", ["Test", "testing", "Val"])
def test_what_looks_like_a_split_is_not_dropped(flowers, name):
    (flowers / "test").rename(flowers / name)
    with pytest.raises(ValueError, match=rf"has {name}/ beside train/.*Call it as it is read"):
        load_image_folder(flowers)


def test_classes_directly_inside_count_as_train(flowers, capsys):
    arrays, _ = load_image_folder(flowers / "train")
    assert arrays["y_train"].tolist() == [0, 0, 0, 1, 1, 1]
    assert (
        "train has no train/: its own folders are taken as the classes." in capsys.readouterr().out
    )


def test_hidden_and_foreign_files_are_passed_over(flowers, capsys):
    for name in (".DS_Store", "Thumbs.db", "._0.png", "notes.txt"):
        (flowers / "train" / "daisy" / name).write_bytes(b"not an image")
    (flowers / "train" / ".git").mkdir()
    (flowers / "__MACOSX").mkdir()
    (flowers / "raw").mkdir()
    (flowers / "train" / "tulip" / "more").mkdir()
    arrays, class_names = load_image_folder(flowers)
    assert (len(arrays["x_train"]), class_names) == (6, ("daisy", "tulip"))
    out = capsys.readouterr().out
    assert "Ignored 1 file(s)" in out
    assert "Not read, beside train/: raw." in out
    assert "Not read: 1 folder(s) inside a class, such as train/tulip/more." in out
    assert "Skipped" not in out


def test_mixed_sizes_become_32_and_say_so(flowers, capsys):
    solid(flowers / "train" / "tulip" / "wide.png", (1, 2, 3), size=(90, 40))
    arrays, _ = load_image_folder(flowers)
    assert arrays["x_train"].shape == (7, 32, 32, 3)
    assert arrays["x_test"].shape == (4, 32, 32, 3)
    assert arrays["x_train"][-1, 16, 16].tolist() == [1, 2, 3]
    assert arrays["x_train"][:3, 5, 5, 0].tolist() == [0, 10, 20]  # decoded before the wide one
    assert "resized to 32x32" in capsys.readouterr().out


def test_image_size_is_honoured(flowers):
    arrays, _ = load_image_folder(flowers, (12, 6))
    assert arrays["x_train"].shape == (6, 12, 6, 3)


def test_own_size_that_does_not_fit_memory_asks_for_image_size(flowers, monkeypatch):
    monkeypatch.setattr("shiftvit_utils.image_folder._MOST_BYTES", 8 * 8 * 3 * 4)
    with pytest.raises(ValueError, match=r"image_size=None .* 8x8, and 10 .* too many"):
        load_image_folder(flowers)
    assert len(load_image_folder(flowers, (4, 4))[0]["x_train"]) == 6


def test_damaged_images_are_named_and_skipped_on_every_start(flowers, capsys):
    broken = flowers / "train" / "daisy" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    (flowers / "test" / "tulip" / "gone.png").symlink_to("nowhere.png")
    outputs = []
    for _ in range(2):
        arrays, _ = load_image_folder(flowers)
        assert arrays["x_train"][:, 0, 0, 0].tolist() == [0, 20, 1, 11, 21]
        assert arrays["y_train"].tolist() == [0, 0, 1, 1, 1]
        outputs.append(capsys.readouterr().out)
    for out in outputs:
        assert "Skipped 2 of 11 images" in out
        assert "  train/daisy/1.png: " in out
        assert "  test/tulip/gone.png: No such file" in out
    assert "Decoding" in outputs[0]
    assert "Decoding" not in outputs[1]


def test_long_lists_of_damaged_images_are_cut(flowers, capsys):
    for number in range(100, 125):
        (flowers / "train" / "tulip" / f"{number}.jpg").write_bytes(b"")
    load_image_folder(flowers)
    out = capsys.readouterr().out
    assert "Skipped 25 of 35 images" in out
    assert out.count("  train/tulip/") == 20
    assert "... and 5 more" in out


def test_a_class_without_a_readable_image_is_an_error(flowers):
    for path in (flowers / "test" / "tulip").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)No test image of class 'tulip'.*test/tulip/0\.png"):
        load_image_folder(flowers)
    for path in flowers.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="None of the images in the image folder 'flowers'"):
        load_image_folder(flowers)
    assert not list(flowers.parent.glob("*.npz"))


def test_layouts_that_cannot_be_used(flowers, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_image_folder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_image_folder(flowers / "train" / "daisy" / "0.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="at least two class folders, and none"):
        load_image_folder(tmp_path / "empty")
    solid(tmp_path / "one" / "train" / "cat" / "0.png")
    with pytest.raises(ValueError, match="only 'cat'"):
        load_image_folder(tmp_path / "one")
    solid(tmp_path / "tests" / "test" / "cat" / "0.png")
    with pytest.raises(ValueError, match="has test but no train/"):
        load_image_folder(tmp_path / "tests")
    solid(tmp_path / "upper" / "Train" / "cat" / "0.png")
    with pytest.raises(ValueError, match="has Train but no train/"):
        load_image_folder(tmp_path / "upper")


def test_class_folders_that_cannot_be_used(flowers):
    (flowers / "train" / "rose").mkdir()
    with pytest.raises(ValueError, match=r"'test' .*Missing: rose\. Unknown: none"):
        load_image_folder(flowers)
    (flowers / "test" / "rose").mkdir()
    with pytest.raises(ValueError, match=r"'t[a-z]+/rose' .* has no images"):
        load_image_folder(flowers)
    (flowers / "train" / "rose").rmdir()
    with pytest.raises(ValueError, match=r"Missing: none\. Unknown: rose"):
        load_image_folder(flowers)
    (flowers / "val").mkdir()
    (flowers / "validation").mkdir()
    with pytest.raises(ValueError, match="val/ and validation/"):
        load_image_folder(flowers)


# ---------------------------------------------------------------- the cache


def cache_of(flowers):
    return flowers.parent / "flowers.cache-auto.npz"


def test_cache_is_used_instead_of_the_images(flowers, capsys, monkeypatch):
    first, _ = load_image_folder(flowers)
    assert cache_of(flowers).is_file()
    capsys.readouterr()

    def never(*_):
        raise AssertionError("decoded although a cache is there")

    monkeypatch.setattr("shiftvit_utils.image_folder.decode_image", never)
    second, class_names = load_image_folder(flowers)
    assert class_names == ("daisy", "tulip")
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(second[key], value)
        assert second[key].dtype == value.dtype
    assert capsys.readouterr().out == ""
    assert [path.name for path in flowers.parent.iterdir() if path.is_file()] == [
        "flowers.cache-auto.npz"
    ]


def same_length_later(flowers):
    path = flowers / "train" / "daisy" / "0.bmp"
    before = path.stat()
    solid(path, (99, 99, 99))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def other_length_same_time(flowers):
    path = flowers / "train" / "daisy" / "0.bmp"
    before = path.stat()
    Image.new("L", (8, 8), 99).save(path)
    assert path.stat().st_size != before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_file(flowers):
    solid(flowers / "train" / "daisy" / "00.png", (99, 99, 99))


def rename_file(flowers):
    (flowers / "train" / "daisy" / "0.bmp").rename(flowers / "train" / "daisy" / "9.bmp")


@pytest.mark.parametrize(
    ("change", "shades"),
    [
        (same_length_later, [99, 10, 20]),
        (other_length_same_time, [99, 10, 20]),
        (add_file, [0, 99, 10]),
        (rename_file, [10, 20, 0]),
    ],
)
def test_stale_cache_is_decoded_again(flowers, capsys, change, shades):
    first = flowers / "train" / "daisy" / "0.png"
    solid(first.with_suffix(".bmp"), (0, 0, 0))
    first.unlink()
    load_image_folder(flowers)
    change(flowers)
    capsys.readouterr()
    arrays, _ = load_image_folder(flowers)
    assert arrays["x_train"][:3, 0, 0, 0].tolist() == shades
    assert "Decoding" in capsys.readouterr().out


def test_each_size_has_its_own_cache(flowers):
    keys = {image_cache.fingerprint(flowers, [], size) for size in (None, (4, 4), (4, 6))}
    assert len(keys) == 3
    for size in (None, (4, 4), (4, 6)):
        load_image_folder(flowers, size)
    names = {path.name for path in flowers.parent.glob("*.npz")}
    assert names == {f"flowers.cache-{size}.npz" for size in ("auto", "4x4", "4x6")}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: b"",
        lambda content: b"PK\x03\x04 nonsense",
        lambda content: content[:900] + bytes([content[900] ^ 255]) + content[901:],
    ],
)
def test_damaged_cache_is_told_and_replaced(flowers, capsys, damage):
    expected, _ = load_image_folder(flowers)
    cache = cache_of(flowers)
    cache.write_bytes(damage(cache.read_bytes()))
    capsys.readouterr()
    arrays, _ = load_image_folder(flowers)
    np.testing.assert_array_equal(arrays["x_train"], expected["x_train"])
    assert "The cache flowers.cache-auto.npz is damaged" in capsys.readouterr().out
    load_image_folder(flowers)
    assert capsys.readouterr().out == ""


def test_a_cache_with_python_objects_is_not_unpickled(flowers, capsys):
    load_image_folder(flowers)
    cache = cache_of(flowers)
    with np.load(cache) as archive:
        content = dict(archive)
    content["x_train"] = np.array([print], dtype=object)
    np.savez(cache, **content)
    capsys.readouterr()
    assert load_image_folder(flowers)[0]["x_train"].shape == (6, 8, 8, 3)
    assert "damaged" in capsys.readouterr().out


def full_disk(file, **_):
    file.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only(*_):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize(
    ("module", "name", "failure", "reason"),
    [
        (np, "savez", full_disk, "No space left"),
        (os, "replace", read_only, "Read-only file system"),
        (image_cache, "open", read_only, "Read-only file system"),
    ],
)
def test_no_place_for_the_cache(flowers, capsys, monkeypatch, module, name, failure, reason):
    monkeypatch.setattr(module, name, failure, raising=False)
    arrays, _ = load_image_folder(flowers)
    assert arrays["x_train"].shape == (6, 8, 8, 3)
    out = capsys.readouterr().out
    assert f"could not be kept as flowers.cache-auto.npz ({reason}" in out
    assert [path.name for path in flowers.parent.iterdir()] == ["flowers"]
