"""Two hundred image files that went wrong, each in its own way, from one seed; no tests in here.

`write_bad_images` writes them into class folders and says of each what a reader owes to whoever
hands it over: to refuse it by name, or to show these very pixels. The bombs are real ones: what
they promise is gigabytes.
"""

import dataclasses
import functools
import io
import os
import random
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 200
CLASSES = ("ant", "bee")
SIDE = 24
# A good file of each class comes first, so that no class is without an image.
GOOD = "0-good.png"

# What is owed. PIXELS: read, and right. REFUSED: named. WHOLE: one of these two, but never half an
# image as if it were one. ANY: damage that the format cannot see; named or read, nothing else.
PIXELS, REFUSED, WHOLE, ANY = "pixels", "refused", "whole", "any"


@dataclasses.dataclass(frozen=True, eq=False)
class BadImage:
    """One file.

    Args:
        kind: what is wrong with it, in a few words.
        name: of the file in its class folder; `os.fsdecode`d, so it may hold surrogates.
        owed: PIXELS, REFUSED, WHOLE or ANY.
        write: writes it to a path.
        pixels: uint8 `(H, W, 3)` that the file holds, or held; None if it never held any.
        tolerance: how far a right reader may be off, for formats that lose something.
        maybe_turned: whether the pixels may also come turned by a quarter to the right.
    """

    kind: str
    name: str
    owed: str
    write: Callable[[Path], object]
    pixels: np.ndarray | None = None
    tolerance: int = 0
    maybe_turned: bool = False

    def holds(self, pixels):
        """Whether these are the pixels that the file holds."""
        wanted = [self.pixels, np.rot90(self.pixels, -1)][: 1 + self.maybe_turned]
        return any(
            pixels.shape == other.shape
            and np.abs(pixels.astype(int) - other).max() <= self.tolerance
            for other in wanted
        )


def picture(rng, height=SIDE, width=SIDE):
    """Smooth colours, so that JPEG keeps them, in which no half looks like the other."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(float)
    down, right = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    mixed = (corners[0, 0] * (1 - down) + corners[1, 0] * down) * (1 - right)
    mixed = mixed + (corners[0, 1] * (1 - down) + corners[1, 1] * down) * right
    return np.rint(mixed).astype(np.uint8)


def encoded(pixels, kind, **options):
    """The bytes of a file of the format `kind`."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content):
    """What Pillow reads from a good file: JPEG and GIF do not give back what went in."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, before=b""):
    """A PNG by hand: `rows` are the bytes of each line, or the compressed bytes of all of them."""
    if not isinstance(rows, bytes):
        rows = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            before,
            chunk(b"IDAT", rows),
            chunk(b"IEND", b""),
        ]
    )


@functools.cache
def compressed_zeros(megabytes):
    """A thousandth of what it unpacks to."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


def file(kind, name, owed, content, pixels=None, tolerance=0):
    return BadImage(kind, name, owed, lambda path: path.write_bytes(content), pixels, tolerance)


FORMATS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "gif": "GIF", "webp": "WEBP"}


def truncated(rng, dice):
    """Cut off anywhere, in every format, progressive JPEG and interlaced GIF among them."""
    for ending, kind in FORMATS.items():
        for number in range(9):
            pixels = picture(rng)
            options = {"progressive": number % 2 == 1} if kind == "JPEG" else {}
            content = encoded(pixels, kind, **options)
            keep = dice.choice([dice.randrange(1, len(content)), len(content) - 1 - number])
            yield file("cut off", f"cut-{number}.{ending}", WHOLE, content[:keep], decoded(content))


def wrong_headers(rng, dice):
    """No image, or the first bytes of another one."""
    texts = {
        "html": b"<!doctype html><title>404</title>",
        "text": b"this is not an image\n" * 20,
        "json": b'{"error": "quota exceeded"}',
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "xpm": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #ffffff", "a"};\n',
        "zip": b"PK\x03\x04" + bytes(40),
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "elf": b"\x7fELF" + bytes(60),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
        "pickle": b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05posix\x94.",
    }
    for what, content in texts.items():
        yield file("no image", f"{what}.{dice.choice(['jpg', 'png', 'gif'])}", REFUSED, content)
    for kind in ("TIFF", "PPM", "ICO", "TGA"):  # formats that are not read here
        yield file("other format", f"{kind}.png", REFUSED, encoded(picture(rng), kind))
    heads = [encoded(picture(rng), kind)[:16] for kind in FORMATS.values()]
    for number in range(10):
        kind = list(FORMATS.values())[number % 5]
        content = encoded(picture(rng), kind)
        head = heads[(number + 1 + number // 5) % 5]
        yield file("wrong header", f"head-{number}.png", REFUSED, head + content[16:])


def damaged(rng, dice):
    """Bytes overwritten within: a failing disk, a text-mode transfer."""
    for number in range(25):
        ending, kind = list(FORMATS.items())[number % 5]
        pixels = picture(rng)
        content = bytearray(encoded(pixels, kind))
        if kind == "PNG":  # has checksums, so what it lets through has to be right
            content[dice.randrange(8, len(content))] ^= 1 << dice.randrange(8)
            owed = WHOLE
        else:
            length = dice.choice([1, 4, 16])
            start = dice.randrange(8, len(content) - length)
            content[start : start + length] = dice.randbytes(length)
            owed = ANY
        yield file("damaged within", f"hurt-{number}.{ending}", owed, bytes(content), pixels)
    content = encoded(picture(rng), "PNG")
    yield file("damaged within", "text-mode.png", REFUSED, content.replace(b"\r\n", b"\n"))


def zeros(rng, dice):
    """Nothing, or nothing but zero bytes: a crashed copy on some file systems."""
    for size in (0, 1, 8, 16, 512, 65_536):
        yield file("zero bytes", f"zero-{size}.{dice.choice(list(FORMATS))}", REFUSED, bytes(size))
    for ending, kind in FORMATS.items():
        content = encoded(picture(rng), kind)
        hollow = content[:12] + bytes(len(content) - 12)
        yield file("zero bytes", f"hollow.{ending}", REFUSED, hollow)


def bombs(rng, dice):
    """Small files that promise gigabytes; those whose pixels are small owe them, if anything."""
    million = 10**6
    sizes = [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1), (200 * million, 1)]
    for number, (width, height) in enumerate(sizes):
        content = png(width, height, 8, 2, [bytes(99)])
        yield file("bomb", f"header-{number}.png", REFUSED, content)
    # Whole files, every pixel of them there: black, 400 and 100 million of 1 bit.
    yield file("bomb", "whole.png", REFUSED, png(20_000, 20_000, 1, 0, compressed_zeros(48)))
    yield file("bomb", "whole-2.png", REFUSED, png(10_000, 10_000, 1, 0, compressed_zeros(12)))
    head = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54)
    for number, (width, height) in enumerate([(50_000, 50_000), (50_000, -50_000), (-5, 2**30)]):
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        yield file("bomb", f"bomb-{number}.bmp", REFUSED, head + info + bytes(64))
    gif = encoded(picture(rng), "GIF")
    screen = gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    yield file("bomb", "screen.gif", REFUSED, screen)
    small, large = (b"\x2c" + struct.pack("<HHHH", 0, 0, side, side) for side in (SIDE, 65_535))
    yield file("bomb", "frame.gif", REFUSED, gif.replace(small, large))
    jpeg = bytearray(encoded(picture(rng), "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 65_500, 65_500)
    yield file("bomb", "frame.jpg", REFUSED, bytes(jpeg))
    side = struct.pack("<I", 16_383 - 1)[:3]
    canvas = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + side + side
    webp = encoded(picture(rng), "WEBP")[12:]
    content = b"RIFF" + struct.pack("<I", len(canvas + webp)) + canvas + webp
    yield file("bomb", "canvas.webp", REFUSED, content)
    for name, before in (
        ("text", chunk(b"zTXt", b"Comment\0\0" + compressed_zeros(300))),
        ("itxt", chunk(b"iTXt", b"Comment\0\1\0\0\0" + compressed_zeros(300))),
        ("texts", chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**6))) * 100),
        ("icc", chunk(b"iCCP", b"profile\0\0" + compressed_zeros(300))),
    ):
        pixels = picture(rng)
        content = png(SIDE, SIDE, 8, 2, [row.tobytes() for row in pixels], before)
        yield file("bomb beside the pixels", f"{name}.png", WHOLE, content, pixels)


def exif_blocks(dice):
    """EXIF that no standard knows, and what it says about the orientation, if a reader can tell."""

    def block(*entries, order="<", count=None, after=b""):
        head = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[order]
        packed = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
        number = len(entries) if count is None else count
        return b"Exif\0\0" + head + struct.pack(f"{order}H", number) + packed + after

    turned = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
    yield "random", b"Exif\0\0" + dice.randbytes(200), None
    yield "random in order", b"Exif\0\0II*\0" + dice.randbytes(200), None
    yield "empty", b"Exif\0\0", 1
    yield "cut off", block(turned)[:-6], None
    yield "too many entries", block(turned, count=65_535), None
    yield "entry far outside", block(turned, (0x010F, 2, 2**31, b"\xff\xff\xff\x7f")), None
    yield "unknown type", block(turned, (0x010F, 99, 1, b"abcd")), None
    yield "directory in a circle", block(turned, (0x8769, 4, 1, struct.pack("<I", 8))), None
    yield "turned to 0", block((0x0112, 3, 1, b"\0\0\0\0")), 1
    yield "turned to 9", block((0x0112, 3, 1, b"\x09\0\0\0")), 1
    yield "turned by text", block((0x0112, 2, 4, b"six\0")), 1
    yield "turned twice", block((0x0112, 3, 2, struct.pack("<HH", 6, 8))), None
    yield "divided by zero", block((0x0112, 5, 1, struct.pack("<I", 26)), after=bytes(12)), None
    yield "other byte order", block(turned, order=">"), None


def exif_garbage(rng, dice):
    """Good pixels with damaged notes: a viewer shows them, so no picture may be lost for those."""
    for number, (what, exif, orientation) in enumerate(exif_blocks(dice)):
        pixels = picture(rng)
        ending, kind = [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")][number % 3]
        options = (
            {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        )
        if kind == "PNG":
            content = png(
                SIDE, SIDE, 8, 2, [row.tobytes() for row in pixels], chunk(b"eXIf", exif[6:])
            )
        else:
            content = encoded(pixels, kind, exif=exif, **options)
        plain = decoded(content)
        name = f"exif-{what.replace(' ', '-')}.{ending}"
        # Where the notes contradict each other, nobody can say whether the picture is turned.
        image = file("damaged EXIF", name, PIXELS, content, plain)
        yield dataclasses.replace(image, maybe_turned=orientation is None)


def odd_names(rng, dice):
    """Names that break a line, a table, a terminal or UTF-8; every other file is broken as well."""
    names = [
        "two\nlines.png",
        "carriage\rreturn.png",
        "tab\tand\x07bell.png",
        "\x1b[31mred\x1b[0m.png",
        "caf\u00e9.png",
        "cafe\u0301.png",
        "\u202egnp.exe.png",
        "\U0001f41d\u200d\U0001f41c.png",
        os.fsdecode(b"latin-1-\xe9\xff.png"),
        os.fsdecode(b"half-\xe2\x82.png"),
        "-rf.png",
        " blank .png",
        "%s %n {0} $HOME `id`.png",
        "'; DROP TABLE images; --.png",
        "<img src=x onerror=alert(1)>.png",
        "x" * 251 + ".png",
    ]
    for number, name in enumerate(names):
        pixels = picture(rng)
        content = encoded(pixels, "PNG")
        if number % 2:
            yield file("odd name", name, REFUSED, content[: len(content) // 2])
        else:
            yield file("odd name", name, PIXELS, content, pixels)


def no_files(rng, dice):
    """What is named like an image and is none of the things that can be read to an end."""

    def listen(path):
        with socket.socket(socket.AF_UNIX) as server:
            place = os.getcwd()
            os.chdir(path.parent)  # the path of a socket may be a hundred bytes long at most
            try:
                server.bind(path.name)
            finally:
                os.chdir(place)

    def pipe_behind_link(path):
        os.mkfifo(path.with_suffix(".pipe"))
        path.symlink_to(path.with_suffix(".pipe"))

    for name, write in {
        "pipe.png": os.mkfifo,
        "pipe-2.jpg": os.mkfifo,
        "pipe-behind-link.png": pipe_behind_link,
        "socket.png": listen,
        "loop.png": lambda path: path.symlink_to(path.name),
        "dangling.png": lambda path: path.symlink_to("nowhere.png"),
        "endless.png": lambda path: path.symlink_to("/dev/zero"),
        "nothing.png": lambda path: path.symlink_to("/dev/null"),
    }.items():
        yield BadImage("no file", name, REFUSED, write)
    # Folders hold images, they are none: nothing is owed but not to stumble.
    yield BadImage("folder", "folder.png", ANY, Path.mkdir)
    yield BadImage("folder", "folder-link.png", ANY, lambda path: path.symlink_to(".."))


def unusual(rng, dice):
    """Nothing is wrong with these, they are only rare."""
    wide = rng.integers(0, 65_536, (SIDE, SIDE)).astype(">u2")
    grey = np.rint(wide.astype(float) / 257).astype(np.uint8)
    content = png(SIDE, SIDE, 16, 0, [row.tobytes() for row in wide])
    yield file("16-bit", "grey-16.png", PIXELS, content, np.repeat(grey[..., None], 3, -1))
    shade = chunk(b"tRNS", struct.pack(">H", int(wide[3, 4])))
    content = png(SIDE, SIDE, 16, 0, [row.tobytes() for row in wide], shade)
    cleared = np.where(wide == wide[3, 4], 255, grey)
    yield file("16-bit", "grey-16-clear.png", PIXELS, content, np.repeat(cleared[..., None], 3, -1))
    deep = rng.integers(0, 65_536, (SIDE, SIDE, 3)).astype(">u2")
    content = png(SIDE, SIDE, 16, 2, [row.tobytes() for row in deep])
    # Pillow keeps the upper byte of colours: one level less at times than the nearest one.
    yield file("16-bit", "rgb-16.png", PIXELS, content, (deep / 257).astype(np.uint8), 1)
    pair = np.stack([wide, np.full_like(wide, 65_535)], axis=-1).astype(">u2")
    content = png(SIDE, SIDE, 16, 4, [row.tobytes() for row in pair])
    yield file("16-bit", "la-16.png", PIXELS, content, np.repeat(grey[..., None], 3, -1), 1)

    for number in range(4):
        inks = np.broadcast_to(rng.integers(0, 200, 4).astype(np.uint8), (SIDE, SIDE, 4))
        content = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
        paper = 255 - inks.astype(float)
        shown = np.rint(paper[..., :3] * paper[..., 3:] / 255).astype(np.uint8)
        yield file("CMYK", f"cmyk-{number}.jpg", PIXELS, content, shown, 4)

    for ending, options in {
        "gif": {},
        "png": {"default_image": False},
        "webp": {"lossless": True},
    }.items():
        frames = [
            Image.fromarray(np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), (9, 9, 3)))
            for _ in range(5)
        ]
        kind = FORMATS[ending]
        content = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], duration=40, **options
        )
        yield file("animated", f"moves.{ending}", PIXELS, content, np.asarray(frames[0]))

    palette = rng.integers(0, 256, (4, 3)).astype(np.uint8)
    index = rng.integers(0, 4, (SIDE, SIDE)).astype(np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette(palette.tobytes())
    shown = palette[index]
    shown[index == 2] = 255
    for ending, kind in (("png", "PNG"), ("gif", "GIF")):
        content = encoded(image, kind, transparency=2)
        yield file("palette, transparent", f"palette.{ending}", PIXELS, content, shown)

    pixels = picture(rng, 40, 24)
    for orientation in range(1, 9):
        # How a camera stores what stands upright as `pixels`, by the EXIF standard's own table.
        stored = {
            1: lambda a: a,
            2: lambda a: a[:, ::-1],
            3: lambda a: a[::-1, ::-1],
            4: lambda a: a[::-1],
            5: lambda a: a.swapaxes(0, 1),
            6: lambda a: np.rot90(a, 1),
            7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
            8: lambda a: np.rot90(a, -1),
        }[orientation](pixels)
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(np.ascontiguousarray(stored), "PNG", exif=exif)
        yield file("turned", f"turned-{orientation}.png", PIXELS, content, pixels)

    for height, width in ((1, 1), (1, 3000), (3000, 1)):
        pixels = picture(rng, height, width)
        yield file("thin", f"{height}x{width}.png", PIXELS, encoded(pixels, "PNG"), pixels)
    pixels = picture(rng)
    yield file("wrong ending", "png-inside.jpg", PIXELS, encoded(pixels, "PNG"), pixels)
    bits = rng.integers(0, 2, (SIDE, SIDE)).astype(bool)
    black = np.repeat(np.where(bits, 255, 0)[..., None], 3, -1).astype(np.uint8)
    yield file("1-bit", "one-bit.bmp", PIXELS, encoded(Image.fromarray(bits), "BMP"), black)
    yield file("1-bit", "one-bit.png", PIXELS, encoded(Image.fromarray(bits), "PNG"), black)


FAMILIES = (
    truncated,
    wrong_headers,
    damaged,
    zeros,
    bombs,
    exif_garbage,
    odd_names,
    no_files,
    unusual,
)


def bad_images(seed=0, count=COUNT):
    """`count` bad images, the same ones for the same seed; the last ones are damaged at random."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Image.fromarray with a mode
        warnings.simplefilter("ignore", UserWarning)  # Pillow's, on the EXIF made here
        found = [image for family in FAMILIES for image in family(rng, dice)]
    if len(found) > count:
        raise ValueError(f"count={count}: there are {len(found)} in the families already.")
    for number in range(count - len(found)):
        ending, kind = list(FORMATS.items())[number % 5]
        content = bytearray(encoded(picture(rng), kind))
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        found.append(file("damaged anywhere", f"any-{number}.{ending}", ANY, bytes(content)))
    return found


def write_bad_images(folder, seed=0, count=COUNT):
    """Writes them by turns into the two class folders of `folder/train`.

    Args:
        folder: Path; made if it is not there.
        seed: int.
        count: int.

    Returns:
        dict from the name below `folder` to its `BadImage`.
    """
    written = {}
    for name in CLASSES:
        (folder / "train" / name).mkdir(parents=True)
        Image.fromarray(picture(np.random.default_rng(9))).save(folder / "train" / name / GOOD)
    for number, image in enumerate(bad_images(seed, count)):
        name = f"train/{CLASSES[number % 2]}/{image.name}"
        if name in written:
            raise ValueError(f"two bad images are called {name!r}")
        image.write(folder / name)
        written[name] = image
    return written
