"""Downloads of CIFAR-10 that go wrong, and what lies where it should lie; no tests in here.

Keras downloads as it always does, from the address that it has; only the way there ends at a server
on this machine. The archive is the official one in all but its images, so that its checksum is
another: the library and Keras are told that one, each at the one place where the real one stands.
"""

import contextlib
import hashlib
import http.client
import http.server
import io
import os
import tarfile
import threading
import urllib.request

import numpy as np
from cifar_pickles import python2_pickle
from fault_tries import Try

from shiftvit_utils import cifar10, cifar_batches
from shiftvit_utils.cifar10 import load_cifar10

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
PER_BATCH = 10_000  # Keras counts on the official number
STALLED_SECONDS = 1.0


def colours(seed):
    """The colour of each image of a batch: plain ones, which compress well."""
    return np.random.default_rng(seed).integers(0, 256, (PER_BATCH, 3), np.uint8)


def batch_bytes(seed):
    """A batch in the official form."""
    labels = (np.arange(PER_BATCH) % 10).tolist()
    return python2_pickle(np.repeat(colours(seed), 1024, axis=1), labels)


def archive_bytes():
    """`cifar-10-python.tar.gz`, of plain-coloured images."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for seed, name in enumerate(BATCHES):
            content = batch_bytes(seed)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Answers with `content` as `behave` says: "well", "short", "reset", "silent" or a status."""

    daemon_threads = True
    content = b""
    behave = "well"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.released = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if isinstance(server.behave, int):
            self.send_error(server.behave)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.end_headers()
        part = (
            server.content
            if server.behave == "well"
            else server.content[: len(server.content) // 2]
        )
        self.wfile.write(part)
        self.wfile.flush()
        if server.behave == "silent":
            server.released.wait(30)
        if server.behave == "reset":
            self.connection.close()

    def log_message(self, *_):
        pass


class ThisMachine(urllib.request.HTTPSHandler):
    """Takes every https request to a server on this machine."""

    def __init__(self, port):
        super().__init__()
        self.port = port

    def https_open(self, request):
        request.host = f"127.0.0.1:{self.port}"
        return self.do_open(http.client.HTTPConnection, request)


@contextlib.contextmanager
def serving(keras_home):
    """A server, and a Keras that is led to it; the environment knows no other CIFAR-10."""
    from keras.src.backend import config

    # Keras has read $KERAS_HOME already, when it was imported.
    place, config._KERAS_DIR = config._KERAS_DIR, str(keras_home)
    before = {name: os.environ.get(name) for name in ("KERAS_HOME", "SHIFTVIT_DATA")}
    os.environ["KERAS_HOME"] = str(keras_home)
    os.environ.pop("SHIFTVIT_DATA", None)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    urllib.request.install_opener(urllib.request.build_opener(ThisMachine(server.server_port)))
    stalled, cifar10._STALLED_SECONDS = cifar10._STALLED_SECONDS, STALLED_SECONDS
    try:
        yield server
    finally:
        cifar10._STALLED_SECONDS = stalled
        config._KERAS_DIR = place
        urllib.request.install_opener(None)
        server.released.set()
        server.shutdown()
        server.server_close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def checksums_of(content, batches=()):
    """Has Keras and this library expect `content` as the archive, and `batches` as its files."""
    from keras.src.datasets import cifar10 as keras_cifar10

    published = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    function = keras_cifar10.load_data
    code, md5, files = function.__code__, cifar_batches.ARCHIVE_MD5, cifar_batches.BATCH_MD5
    if published not in code.co_consts:
        raise RuntimeError("this Keras has another checksum of CIFAR-10, or another place for it")
    sha256 = hashlib.sha256(content).hexdigest()
    constants = tuple(sha256 if value == published else value for value in code.co_consts)
    function.__code__ = code.replace(co_consts=constants)
    cifar_batches.ARCHIVE_MD5 = hashlib.md5(content).hexdigest()
    cifar_batches.BATCH_MD5 = {
        name: hashlib.md5(batch).hexdigest() for name, batch in zip(BATCHES, batches, strict=False)
    } or files
    try:
        yield
    finally:
        function.__code__ = code
        cifar_batches.ARCHIVE_MD5, cifar_batches.BATCH_MD5 = md5, files


def outcome(error_type, *words):
    """Loads CIFAR-10, and says what is wrong with what came of it."""
    try:
        load_cifar10()
    except error_type as error:
        missing = [word for word in words if word not in str(error)]
        return f"the error does not say {missing}: {error}" if missing else ""
    except Exception as error:
        return f"another error: {type(error).__name__}: {error}"
    return "it was loaded as if it were good"


def spoiled_downloads(folder, content, wanted=None):
    """Yields a `Try` for each way in which a download can go wrong, or for those that are wanted.

    Args:
        folder: Path of an empty folder.
        content: from `archive_bytes`.
        wanted: names of ways, or None for all.
    """
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    ways = {
        "shorter than announced": (content, "short"),
        "connection reset": (content, "reset"),
        "server falls silent": (content, "silent"),
        "404": (content, 404),
        "503": (content, 503),
        "one bit wrong": (bytes(flipped), "well"),
        "cut off in a proxy": (content[:-1000], "well"),
        "an error page instead": (b"<html>please log in</html>", "well"),
        "empty": (b"", "well"),
        "another archive": (archive_of_another_kind(), "well"),
    }
    for number, (what, (body, behave)) in enumerate(ways.items()):
        if wanted is not None and what not in wanted:
            continue
        home = folder / f"keras-{number}"
        home.mkdir()
        with serving(home) as server, checksums_of(content):
            server.content, server.behave = body, behave
            lost = outcome(FileNotFoundError, "the download failed", "'digits'", "SHIFTVIT_DATA")
            left = sorted(path for path in (home / "datasets").rglob("*") if path.is_file())
            server.content, server.behave = content, "well"
            if left and not lost:
                # Kept aside: named, and refused by name from now on, whatever the server has now.
                lost = outcome(ValueError, str(left[0]), "truncated or altered", "Delete it")
                left[0].unlink()
            if what == "one bit wrong":  # the others leave no more than this does
                lost = lost or downloaded(home)
        yield Try("spoiled download", what, lost)


def archive_of_another_kind():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("README"), io.BytesIO(b""))
    return buffer.getvalue()


def downloaded(home):
    """What is wrong with a download from a server that is well again, and with its copy later."""
    try:
        first = load_cifar10()
        wrong = first.arrays["x_train"].shape != (50_000, 32, 32, 3)
        wrong |= (first.arrays["x_train"][0, 0, 0] != colours(0)[0]).any()
        wrong |= (first.arrays["x_test"][9_999, 31, 31] != colours(5)[9_999]).any()
    except Exception as error:
        return f"the next download failed: {type(error).__name__}: {error}"
    return "the next download gave other images" if wrong else ""


def damaged_copies(folder, content, wanted=None):
    """Yields a `Try` for each copy in $SHIFTVIT_DATA that is damaged, or for those wanted."""
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    batches = [batch_bytes(seed) for seed in range(6)]
    number = 0
    for name, body in (
        ("one bit wrong", bytes(flipped)),
        ("cut off", content[: len(content) // 2]),
        ("empty", b""),
    ):
        if wanted is not None and name not in wanted:
            continue
        home = folder / f"copy-{number}"
        number += 1
        home.mkdir()
        (home / "cifar-10-python.tar.gz").write_bytes(body)
        with serving(folder / "nowhere") as server, checksums_of(content, batches):
            server.content = content  # never asked: a damaged copy is no reason to take another
            os.environ["SHIFTVIT_DATA"] = str(home)
            lost = outcome(ValueError, "cifar-10-python.tar.gz", "truncated or altered", "MD5")
        yield Try("damaged copy", f"archive, {name}", lost)
    for what, change in {
        "one pixel wrong": lambda batch: batch[:-90_000] + b"\x07" + batch[-89_999:],
        "cut off": lambda batch: batch[: len(batch) // 2],
        "empty": lambda batch: b"",
        "missing": lambda batch: None,
        "far too large": lambda batch: batch + bytes(2**26),
    }.items():
        if wanted is not None and what not in wanted:
            continue
        home = folder / f"copy-{number}" / "cifar-10-batches-py"
        number += 1
        home.mkdir(parents=True)
        for name, batch in zip(BATCHES, batches, strict=True):
            body = change(batch) if name == "data_batch_3" else batch
            if body is not None:
                (home / name).write_bytes(body)
        with serving(folder / "nowhere") as server, checksums_of(content, batches):
            server.content = content
            os.environ["SHIFTVIT_DATA"] = str(home.parent)
            lost = outcome(ValueError, "data_batch_3", "elete it")
            (home / "data_batch_3").write_bytes(batches[2])
            if not lost and load_cifar10().arrays["x_train"].shape[0] != 50_000:
                lost = "the whole copy is not read"
        yield Try("damaged copy", f"batch, {what}", lost)
