"""Weights out of files that need trust; that it's asked for is seen by what doesn't happen without it."""

import contextlib
import pickle
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_imgcls.core import config
from keras_imgcls.core.config import NEED_TRUST, TrainConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.trusted_file import READERS, read_layers, read_weights
from keras_imgcls.models import classifier, pretrained

SPEC = "plain_cnn(width=2)"


class Mark:
    """A pickle that makes a file as it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def model():
    model = classifier.build(SPEC, (16, 16, 3), 2)
    for variable in model.weights:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    return model


def write(path, model):
    layers = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    if path.suffix == ".h5":
        model.save(path)  # as Keras 2 did
    elif path.suffix == ".npz":
        objects = {name: np.empty(len(arrays), object) for name, arrays in layers.items()}
        for name, arrays in layers.items():
            objects[name][:] = arrays
        np.savez(path, **objects)
    elif path.suffix == ".npy":
        np.save(path, layers, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(layers))
    return path


def test_there_is_a_reader_for_each():
    assert set(READERS) == set(NEED_TRUST)


@pytest.mark.parametrize("suffix", NEED_TRUST)
def test_weights_are_opened_by_those_who_trust_them_alone(tmp_path, model, suffix):
    path = write(tmp_path / f"weights{suffix}", model)
    with pytest.raises(UserError, match=rf"is not opened: a \{suffix} file can run code .* give --trust_file if you"):
        pretrained.origin(SPEC, str(path))
    with pytest.raises(UserError, match="is not opened"):
        config.check(TrainConfig(dataset="digits", pretrained=str(path)))
    built, text = pretrained.origin(SPEC, str(path), trust_file=True).build(SPEC, (16, 16, 3), ("a", "b"))
    assert text == f"weights from {path}, with a new head for 2 classes"
    for layer in model.layers[:-1]:
        for ours, theirs in zip(layer.get_weights(), built.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".npy", ".npz"])
def test_code_in_them_runs_for_those_who_trust_it_alone(tmp_path, suffix):
    path, mark = tmp_path / f"evil{suffix}", tmp_path / "executed"
    value = np.array([Mark(mark)], object)
    if suffix == ".npz":
        np.savez(path, layer=value)
    elif suffix == ".npy":
        np.save(path, value, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Mark(mark)))
    for pretend in (path, path.rename(tmp_path / f"{path.name}.keras"), tmp_path / f"{path.name}.keras"):
        with pytest.raises(UserError):
            pretrained.origin(SPEC, str(pretend))
    assert not mark.exists()
    with contextlib.suppress(UserError):
        read_layers((tmp_path / f"{path.name}.keras").rename(path))
    assert mark.exists()  # so the test can fail


def test_what_does_not_fit_is_told(tmp_path, model):
    path = write(tmp_path / "weights.pkl", model)
    with pytest.raises(UserError, match=r"no weights for the layer 'logit'\. Did you mean 'logits'"):
        read_weights(path, {"logit": []})
    with pytest.raises(UserError, match=r"logits has the shapes .*; the model has \[\(3,\)\]"):
        read_weights(path, {"logits": [(3,)]})
    path.write_bytes(pickle.dumps({"logits": [np.array([np.nan])]}))
    with pytest.raises(UserError, match="logits holds numbers that are not finite"):
        read_weights(path, {"logits": [(1,)]})


def test_a_pretended_size_is_refused(tmp_path):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        layer = file.create_group("layer")
        layer.create_dataset("kernel", (2**20, 2**20), "f4")
        layer.attrs["weight_names"] = ["kernel"]
    with pytest.raises(UserError, match="arrays are larger than the file"):
        read_layers(path)


def test_keras_itself_reads_what_we_read(tmp_path, model):
    path = write(tmp_path / "model.h5", model)
    theirs = keras.models.load_model(path, compile=False)
    for name, arrays in read_layers(path).items():
        for ours, other in zip(arrays, theirs.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, other)
