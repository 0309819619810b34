"""Exported models, each loaded by its own runtime and compared with the Keras model."""

import errno
import os
import sys

import keras
import numpy as np
import pytest

from shiftvit_utils import Classifier, ShiftViT, build_classifier, save_model
from shiftvit_utils.export import FORMATS, export, gelu_by_erf

BACKEND = keras.backend.backend()
WRITABLE = [name for name, each in FORMATS.items() if BACKEND in each.packages]
TOLERANCE = 1e-4  # of the logits, absolute
# One of each kind of arithmetic that a converter could get wrong.
NETWORKS = {
    "layer norm, GELU": {},
    "batch norm, ReLU": {"normalization": "batch", "activation": "relu"},
    "group norm, patch and final norm": {
        "normalization": "group",
        "patch_norm": True,
        "final_norm": True,
    },
}


def path_for(folder, format):
    return folder / f"model{FORMATS[format].ending}"


def logits_from_file(path, format, images):
    """What the format's own runtime computes from the file, without Keras."""
    if format == "tf_saved_model":
        tf = pytest.importorskip("tensorflow")
        loaded = tf.saved_model.load(path)  # must stay referenced while it is called
        return loaded.serve(images).numpy()
    if format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path)
        return session.run(None, {session.get_inputs()[0].name: images})[0]
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def crops(number, size=32):
    """Pieces of scikit-learn's two photographs, as float32 images."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    pieces = []
    for k in range(number):
        photograph = photographs[k % 2]
        top, left = (rng.integers(0, side - 4 * size) for side in photograph.shape[:2])
        pieces.append(photograph[top : top + 4 * size : 4, left : left + 4 * size : 4])
    return np.stack(pieces).astype("float32")  # (number, size, size, 3)


@pytest.mark.parametrize("format", WRITABLE)
def test_shipped_network_computes_the_same_in_its_own_runtime(format, tmp_path):
    model = Classifier(weights="cifar10").model
    images = crops(1000)
    expected = np.asarray(model.predict_on_batch(images))
    path = export(model, path_for(tmp_path, format), format)
    assert path == path_for(tmp_path, format)
    found = logits_from_file(path, format, images)
    if format.endswith("int8"):
        assert (found.argmax(-1) == expected.argmax(-1)).mean() >= 0.98
        assert path.stat().st_size < 1.5 * model.count_params()  # bytes
        # In 8 bits it cannot be exact: if it were, nothing would have been quantized.
        assert np.abs(found - expected).max() > TOLERANCE
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    # Any number of images, not only that of the first call.
    one = logits_from_file(path, format, images[:1])
    np.testing.assert_allclose(one, found[:1], rtol=0, atol=TOLERANCE)
    # Nothing but what was asked for is left in the folder.
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_onnx_of_each_kind_of_network(network, tmp_path):
    if "onnx" not in WRITABLE:
        pytest.importorskip("onnx")
        with pytest.raises(ValueError, match="cannot write 'onnx'"):
            export(build_classifier("micro", 4), tmp_path / "m.onnx")
        return
    model = build_classifier("micro", 4, projected_dim=12, image_shape=(40, 40, 3), **network)
    # Weights as after training: fresh norms and biases would hide mistakes.
    rng = np.random.default_rng(1)
    weights = model.get_weights()
    model.set_weights([w + rng.uniform(-0.05, 0.05, w.shape).astype(w.dtype) for w in weights])
    images = rng.uniform(0, 255, (2, 40, 40, 3)).astype("float32")
    expected = np.asarray(model.predict_on_batch(images))
    if BACKEND == "torch" and network.get("normalization") != "batch":
        with pytest.raises(ValueError, match=r"normalization='batch'.*tensorflow"):
            export(model, tmp_path / "m.onnx")
        assert not os.listdir(tmp_path)
        return
    assert 0.01 < np.abs(expected).max() < 100  # where the tolerance means something
    found = logits_from_file(export(model, tmp_path / "m.onnx"), "onnx", images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_network_alone(tmp_path):
    if not WRITABLE:
        pytest.fail(f"no format at all can be written with {BACKEND}")
    format = WRITABLE[0]
    network = ShiftViT.from_preset("micro", num_classes=3, normalization="batch")
    images = crops(2) / 127.5 - 1.0
    expected = np.asarray(network.predict_on_batch(images))
    found = logits_from_file(export(network, path_for(tmp_path, format), format), format, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_gelu_by_erf_is_gelu():
    x = keras.ops.linspace(-8, 8, 1001, dtype="float32")
    expected, found = (
        keras.ops.convert_to_numpy(y)
        for y in (keras.ops.gelu(x, approximate=False), gelu_by_erf(x))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_model_stays_as_it_was(tmp_path):
    model = build_classifier("micro", 3, normalization="batch")
    before = model.get_weights()
    export(model, path_for(tmp_path, WRITABLE[0]), WRITABLE[0])
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    save_model(model, tmp_path / "after.keras", ["a", "b", "c"])  # no foreign activation in it
    assert Classifier(tmp_path / "after.keras").class_names == ("a", "b", "c")


@pytest.mark.parametrize("format", FORMATS)
def test_a_format_that_the_backend_cannot_write_says_so_by_name(format, tmp_path, monkeypatch):
    others = {name: () for name in FORMATS[format].packages if name != BACKEND} or {"other": ()}
    monkeypatch.setitem(FORMATS, format, FORMATS[format]._replace(packages=others))
    with pytest.raises(ValueError, match=f"cannot write '{format}' with the backend '{BACKEND}'"):
        export(build_classifier("micro", 3), path_for(tmp_path, format), format)
    assert not os.listdir(tmp_path)


class TestBadInput:
    @pytest.fixture
    def model(self):
        return build_classifier("micro", 3, normalization="batch", num_shift_blocks_per_stages=(1,))

    def test_unknown_format(self, model, tmp_path):
        with pytest.raises(ValueError, match=r"'coreml'.*litert_int8"):
            export(model, tmp_path / "m.mlmodel", "coreml")

    @pytest.mark.parametrize("format", WRITABLE)
    def test_wrong_ending(self, model, tmp_path, format):
        wrong = "m.tflite" if FORMATS[format].ending != ".tflite" else "m.onnx"
        with pytest.raises(ValueError, match=wrong):
            export(model, tmp_path / wrong, format)

    @pytest.mark.parametrize("format", WRITABLE)
    def test_folder_that_does_not_exist(self, model, tmp_path, format):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            export(model, path_for(tmp_path / "nowhere", format), format)

    @pytest.mark.parametrize("thing", ["model.keras", None, 3])
    def test_no_model(self, thing, tmp_path):
        with pytest.raises(TypeError, match=f"{type(thing).__name__}.*load_model"):
            export(thing, path_for(tmp_path, WRITABLE[0]), WRITABLE[0])

    def test_keras_model_without_a_shiftvit(self, tmp_path):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        with pytest.raises(TypeError, match="without a ShiftViT"):
            export(model, path_for(tmp_path, WRITABLE[0]), WRITABLE[0])

    def test_saved_model_does_not_overwrite_a_folder(self, model, tmp_path):
        if "tf_saved_model" not in WRITABLE:
            with pytest.raises(ValueError, match="tensorflow or jax"):
                export(model, tmp_path / "kept", "tf_saved_model")
            return
        (tmp_path / "kept").mkdir()
        with pytest.raises(FileExistsError, match="kept"):
            export(model, tmp_path / "kept", "tf_saved_model")
        assert not os.listdir(tmp_path / "kept")

    def test_missing_package_says_how_to_install_it(self, model, tmp_path, monkeypatch):
        format = WRITABLE[0]
        packages = {**FORMATS[format].packages, BACKEND: ("no_such_package",)}
        monkeypatch.setitem(FORMATS, format, FORMATS[format]._replace(packages=packages))
        with pytest.raises(ImportError, match=r"no_such_package.*\[export\]"):
            export(model, path_for(tmp_path, format), format)

    def test_failed_write_keeps_the_older_file(self, model, tmp_path, monkeypatch):
        file_formats = [name for name in WRITABLE if FORMATS[name].ending]
        if not file_formats:  # a folder is never overwritten, see above
            assert WRITABLE == ["tf_saved_model"]
            return
        path = path_for(tmp_path, file_formats[0])
        path.write_bytes(b"older")

        def full_disk(self, partial, **options):
            partial.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(keras.Model, "export", full_disk)
        with pytest.raises(OSError, match="No space left"):
            export(model, path, file_formats[0])
        assert path.read_bytes() == b"older"
        assert os.listdir(tmp_path) == [path.name]

    def test_invalid_onnx_is_refused(self, model, tmp_path, monkeypatch):
        if "onnx" not in WRITABLE:
            assert "jax" in sys.modules
            return
        onnx = pytest.importorskip("onnx")

        def unknown_operation(self, partial, **options):
            node = onnx.helper.make_node("Erfc", ["x"], ["y"])
            x, y = (
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1])
                for name in "xy"
            )
            graph = onnx.helper.make_graph([node], "g", [x], [y])
            onnx.save(onnx.helper.make_model(graph), partial)

        monkeypatch.setattr(keras.Model, "export", unknown_operation)
        with pytest.raises(ValueError, match=r"no valid ONNX.*Erfc"):
            export(model, tmp_path / "m.onnx")
        assert not os.listdir(tmp_path)
