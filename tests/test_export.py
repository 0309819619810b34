"""Exported models, each loaded by its own runtime and compared with the Keras model."""

import contextlib
import errno
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from shiftvit_utils import Classifier, ShiftViT, build_classifier, export
from shiftvit_utils.export import FORMATS, _copy_of_network, gelu_by_erf

BACKEND = keras.backend.backend()
# Who can write what, beside TensorFlow, which can write all.
WRITERS = {"jax": {"tf_saved_model", "tf_saved_model_int8"}, "torch": {"onnx"}}
WRITABLE = [name for name in FORMATS if name in WRITERS.get(BACKEND, FORMATS)]
PORTABLE = "onnx" if "onnx" in WRITABLE else "tf_saved_model"
EXAMPLES = Path(__file__).parent.parent / "shiftvit_utils" / "demo" / "examples"
TOLERANCE = 1e-4  # of the logits, absolute
# What the shipped network, with batch norm and GELU, does not have.
NETWORKS = {
    "layer norm, GELU": {"normalization": "layer", "patch_norm": False, "final_norm": False},
    "group norm, ReLU": {"normalization": "group", "activation": "relu"},
}


def path_for(folder, format):
    return folder / f"model{FORMATS[format].ending}"


def written(model, folder, format):
    """The path of an export; skips the test where the extra `export` is not installed."""
    for package in FORMATS[format].packages[BACKEND]:
        pytest.importorskip(package)
    path = export(model, path_for(folder, format), format)
    assert path == path_for(folder, format)
    assert os.listdir(folder) == [path.name]  # and nothing half-written beside it
    return path


def logits_from_file(path, format, images):
    """What the format's own runtime computes from the file, without Keras."""
    if format.startswith("tf_saved_model"):
        tf = pytest.importorskip("tensorflow")
        loaded = tf.saved_model.load(path)  # must stay referenced while it is called
        return loaded.serve(images).numpy()
    if format.startswith("onnx"):
        session = pytest.importorskip("onnxruntime").InferenceSession(path)
        return session.run(None, {session.get_inputs()[0].name: images})[0]
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def views(number, size=32):
    """Photographs of the demo, cut and mirrored at random, as float32 images."""
    rng = np.random.default_rng(0)
    photographs = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.jpg"))]
    pixels = []
    for k in range(number):
        photograph = photographs[k % len(photographs)]
        side = int(min(photograph.size) * rng.uniform(0.7, 1.0))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
        view = photograph.crop((left, top, left + side, top + side)).resize((size, size))
        pixels.append(np.asarray(view)[:, :: rng.choice([-1, 1])])
    return np.stack(pixels).astype("float32")  # (number, size, size, 3)


def bytes_of(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@pytest.fixture(scope="module")
def shipped():
    """The shipped network, 1,000 images, and its logits of them."""
    model = Classifier(weights="cifar10").model
    images = views(1000)
    return model, images, np.asarray(model.predict(images, batch_size=100, verbose=0))


@pytest.mark.parametrize("format", WRITABLE)
def test_shipped_network_computes_the_same_in_its_own_runtime(format, shipped, tmp_path):
    model, images, expected = shipped
    path = written(model, tmp_path, format)
    found = logits_from_file(path, format, images)
    if format.endswith("int8"):
        assert (found.argmax(-1) == expected.argmax(-1)).mean() >= 0.98
        # In 8 bits it cannot be exact: if it were, nothing would have been quantized.
        assert np.abs(found - expected).max() > TOLERANCE
        # Keras writes the weights of a SavedModel twice, and both hold their graph.
        size_in_32_bits = (8 if "saved_model" in format else 4) * model.count_params()
        assert bytes_of(path) < size_in_32_bits / 2
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    # Any number of images, not only that of the first call.
    one = logits_from_file(path, format, images[:1])
    np.testing.assert_allclose(one, found[:1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_each_kind_of_network(network, tmp_path):
    model = build_classifier("micro", 4, projected_dim=12, image_shape=(40, 40, 3), **network)
    # Weights as after training: fresh norms and biases would hide mistakes.
    rng = np.random.default_rng(1)
    weights = model.get_weights()
    model.set_weights([w + rng.uniform(-0.05, 0.05, w.shape).astype(w.dtype) for w in weights])
    images = rng.uniform(0, 255, (2, 40, 40, 3)).astype("float32")
    expected = np.asarray(model.predict_on_batch(images))
    assert 0.01 < np.abs(expected).max() < 100  # where the tolerance means something
    if BACKEND == "torch" and network["normalization"] == "layer":
        pytest.importorskip("onnxscript")
        with pytest.raises(ValueError, match=r"'batch' or 'group'.*tensorflow"):
            export(model, tmp_path / "m.onnx")
        assert not os.listdir(tmp_path)
        return
    found = logits_from_file(written(model, tmp_path, PORTABLE), PORTABLE, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_network_alone_is_written_in_float32_and_stays_as_it_is(tmp_path):
    network = ShiftViT.from_preset(
        "micro", num_classes=3, normalization="batch", dtype="mixed_bfloat16"
    )
    config, weights = network.get_config(), network.get_weights()
    in_float32 = ShiftViT.from_config({**config, "dtype": "float32"})
    in_float32.set_weights(weights)
    images = views(2) / 127.5 - 1.0
    expected = np.asarray(in_float32.predict_on_batch(images))

    found = logits_from_file(written(network, tmp_path, PORTABLE), PORTABLE, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    in_half = np.asarray(network.predict_on_batch(images))
    assert np.abs(found - in_half).max() > TOLERANCE
    assert network.get_config() == config
    assert all((a == b).all() for a, b in zip(weights, network.get_weights(), strict=True))


def by_an_operation(network):
    images = keras.Input((32, 32, 3))
    return keras.Model(images, keras.ops.softmax(network(images / 127.5 - 1.0)))


def in_a_sequence(network):
    rescaling = keras.layers.Rescaling(1 / 127.5, -1.0)
    return keras.Sequential([keras.Input((32, 32, 3)), rescaling, network, keras.layers.Softmax()])


@pytest.mark.backend_free  # the graph is copied alike; what each backend writes is compared above
@pytest.mark.parametrize("scaled", [by_an_operation, in_a_sequence])
def test_nothing_around_the_network_is_left_out(scaled, tmp_path):
    network = ShiftViT.from_preset("micro", num_classes=3, normalization="batch")
    model = scaled(network)
    model.compile("sgd", "sparse_categorical_crossentropy")
    images = views(2)
    logits = network.predict_on_batch(images / 127.5 - 1.0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert np.abs(expected - 1 / 3).max() > 0.01
    found = logits_from_file(written(model, tmp_path, PORTABLE), PORTABLE, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.backend_free
@pytest.mark.parametrize(("blocks", "in_8_bits"), [((2, 3, 1), 8 + 2), ((2,), 4)], ids=str)
def test_what_8_bits_hold(blocks, in_8_bits):
    """Two products in each block but those of the first of several stages, and each merge."""
    network = ShiftViT.from_preset("micro", num_shift_blocks_per_stages=blocks)
    copy = _copy_of_network(network, "gelu", keras.quantizers.Int8QuantizationConfig())
    dense = [layer for layer in copy._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    assert sum(layer.quantization_mode == "int8" for layer in dense) == in_8_bits
    assert all(layer.quantization_mode is None for layer in dense if layer.path == "head")


def test_gelu_by_erf_is_gelu():
    x = keras.ops.linspace(-8, 8, 1001, dtype="float32")
    expected, found = (
        keras.ops.convert_to_numpy(y)
        for y in (keras.ops.gelu(x, approximate=False), gelu_by_erf(x))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    """The smallest there is, for what goes wrong before it is looked at."""
    return build_classifier("micro", 3, normalization="batch", num_shift_blocks_per_stages=(1,))


class TestBadInput:
    @pytest.mark.backend_free
    @pytest.mark.parametrize("backend", WRITERS)
    def test_a_format_that_a_backend_cannot_write_says_so_by_name(
        self, backend, model, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(keras.backend, "backend", lambda: backend)
        for format in set(FORMATS) - WRITERS[backend]:
            message = f"cannot write '{format}' with the backend '{backend}'.*tensorflow"
            with pytest.raises(ValueError, match=message):
                export(model, path_for(tmp_path, format), format)
        assert not os.listdir(tmp_path)

    def test_images_of_any_size(self, tmp_path):
        pytest.importorskip("onnx")
        network = ShiftViT.from_preset("micro", image_shape=(None, None, 3))
        with pytest.raises(ValueError, match=r"any size, \(None, None, 3\).*image_shape=\(h"):
            export(network, path_for(tmp_path, PORTABLE), PORTABLE)
        assert not os.listdir(tmp_path)

    def test_unknown_format(self, model, tmp_path):
        with pytest.raises(ValueError, match=r"'coreml'.*litert_int8"):
            export(model, tmp_path / "m.mlmodel", "coreml")

    @pytest.mark.parametrize("format", WRITABLE)
    def test_wrong_ending(self, model, tmp_path, format):
        wrong = "m.tflite" if FORMATS[format].ending != ".tflite" else "m.onnx"
        with pytest.raises(ValueError, match=wrong):
            export(model, tmp_path / wrong, format)

    def test_folder_that_does_not_exist(self, model, tmp_path):
        pytest.importorskip("onnx")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            export(model, path_for(tmp_path / "nowhere", PORTABLE), PORTABLE)

    @pytest.mark.parametrize("thing", ["model.keras", None, 3])
    def test_no_model(self, thing, tmp_path):
        pytest.importorskip("onnx")
        with pytest.raises(TypeError, match=rf"{type(thing).__name__}.*load_model"):
            export(thing, path_for(tmp_path, PORTABLE), PORTABLE)

    def test_keras_model_without_a_shiftvit(self, tmp_path):
        pytest.importorskip("onnx")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        with pytest.raises(TypeError, match="without a ShiftViT"):
            export(model, path_for(tmp_path, PORTABLE), PORTABLE)

    def test_missing_package_says_how_to_install_it(self, model, tmp_path, monkeypatch):
        packages = {**FORMATS[PORTABLE].packages, BACKEND: ("no_such_package",)}
        monkeypatch.setitem(FORMATS, PORTABLE, FORMATS[PORTABLE]._replace(packages=packages))
        with pytest.raises(
            ImportError, match=r"needs no_such_package .*: pip install no_such_package"
        ):
            export(model, path_for(tmp_path, PORTABLE), PORTABLE)

    def test_failed_write_keeps_what_was_there(self, model, tmp_path, monkeypatch):
        pytest.importorskip("onnx")
        path = path_for(tmp_path, PORTABLE)
        older = b"older" if path.suffix else None
        if older:
            path.write_bytes(older)

        def full_disk(self, partial, **options):
            partial = Path(partial)
            partial = Path(partial)
            (partial if older else partial.parent / "half").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(keras.Model, "export", full_disk)
        with pytest.raises(OSError, match="No space left"):
            export(model, path, PORTABLE)
        assert os.listdir(tmp_path) == ([path.name] if older else [])
        assert not older or path.read_bytes() == older

    def test_saved_model_does_not_overwrite_a_folder(self, model, tmp_path):
        (tmp_path / "kept").mkdir()
        can = "tf_saved_model" in WRITABLE
        with pytest.raises(
            FileExistsError if can else ValueError, match="kept" if can else BACKEND
        ):
            export(model, tmp_path / "kept", "tf_saved_model")
        assert not os.listdir(tmp_path / "kept")

    def test_invalid_onnx_is_refused(self, tmp_path):
        onnx = pytest.importorskip("onnx")
        from shiftvit_utils.export import _check_onnx

        node = onnx.helper.make_node("Erfc", ["x"], ["y"])
        x, y = (
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"
        )
        graph = onnx.helper.make_graph([node], "g", [x], [y])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
        with pytest.raises(ValueError, match=r"no valid ONNX.*Erfc"):
            _check_onnx(tmp_path / "m.onnx")

    @pytest.mark.parametrize(("images", "is_fixed"), [(1, True), ("batch", False)])
    def test_onnx_that_takes_one_image_is_refused(self, tmp_path, images, is_fixed):
        """Keras before 3.14 writes such files with PyTorch, and says nothing."""
        onnx = pytest.importorskip("onnx")
        from shiftvit_utils.export import _check_onnx

        x, y = (
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [images, 4])
            for name in "xy"
        )
        graph = onnx.helper.make_graph([onnx.helper.make_node("Erf", ["x"], ["y"])], "g", [x], [y])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
        fixed = pytest.raises(ValueError, match=r"batches of 1 only.*Update Keras to 3\.14")
        with fixed if is_fixed else contextlib.nullcontext():
            _check_onnx(tmp_path / "m.onnx")

    def test_only_a_network_with_a_layer_norm_is_told_so(self, tmp_path, monkeypatch):
        """PyTorch's exporter raises a RuntimeError for other reasons, too."""

        def hidden_size(*_, **__):
            raise RuntimeError("a page of graph nodes")

        monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
        module = sys.modules[export.__module__]  # the package's `export` is the function
        monkeypatch.setattr(module, "_check", lambda path, format: None)
        monkeypatch.setattr(keras.Model, "export", hidden_size)
        for settings, kind, words in (
            ({"normalization": "layer"}, ValueError, "it can with normalization 'batch'"),
            ({"token_mixer": "attention"}, ValueError, "without token_mixer 'attention'"),
            ({}, RuntimeError, "a page of graph nodes"),
        ):
            network = {"normalization": "batch", "num_shift_blocks_per_stages": (1,), **settings}
            with pytest.raises(kind, match=words):
                export(build_classifier("micro", 3, **network), tmp_path / "m.onnx", "onnx")
