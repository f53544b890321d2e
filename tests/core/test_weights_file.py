"""Weights come out of Keras' files as Keras would read them; what could hurt is refused before it does."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_imgcls.core import weights_file
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.weights_file import read_layer_config, read_shapes, read_weights
from keras_imgcls.models import classifier

SHAPE = (16, 16, 3)


@pytest.fixture(scope="module")
def model():
    model = classifier.build("plain_cnn(width=2)", SHAPE, 3)
    for variable in model.weights:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    model.compile("adam", "mse")  # whose state lies in the file too
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(params=["model.keras", "model.weights.h5"])
def path(request, model, tmp_path):
    path = tmp_path / request.param
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)
    return path


def shapes(model):
    return {layer.name: [tuple(part.shape) for part in layer.weights] for layer in model.layers if layer.weights}


def test_weights_are_those_of_the_layers_that_are_asked_for(path, model):
    expected = shapes(model)
    assert read_shapes(path) == expected
    del expected["logits"]
    found = read_weights(path, expected)
    assert list(found) == list(expected)
    for name, arrays in found.items():
        for ours, theirs in zip(arrays, model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_lower_precision_becomes_float32(tmp_path, model):
    path = tmp_path / "half.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        name, dataset = first_dataset(file)
        values = dataset[()].astype("float16")
        del file[name]
        file[name] = values
    found = read_weights(path, shapes(model))
    assert {array.dtype for arrays in found.values() for array in arrays} == {np.dtype("float32")}


def first_dataset(file):
    found = []
    file["layers"].visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return f"layers/{found[0]}", file["layers"][found[0]]


def test_configs_are_in_keras_files_only(path):
    config = read_layer_config(path, "scaling")
    assert config is None if path.suffix == ".h5" else config["scale"] == pytest.approx(1 / 127.5)
    if path.suffix == ".keras":
        with pytest.raises(UserError, match=r"model.keras has no layer 'scalin' in its config.json"):
            read_layer_config(path, "scalin")


def test_other_layers_and_shapes_are_told(path, model):
    expected = shapes(model)
    first = next(iter(expected))
    with pytest.raises(UserError, match=rf"no weights for the layer '{first}s' \(1 in all\)\. Did you mean '{first}'"):
        read_weights(path, {f"{first}s": expected[first]})
    with pytest.raises(
        UserError, match=r": logits has the shapes \[\(8, 3\), \(3,\)\]; the model has \[\(8, 4\), \(4,\)"
    ):
        read_weights(path, {"logits": [(8, 4), (4,)]})


@pytest.mark.parametrize(
    "spoil",
    [
        "soft_link",
        "external_link",
        "external_data",
        "virtual",
        "objects",
        "strings",
        "group",
        "huge",
        "chunked",
        "infinite",
        "nameless",
    ],
)
def test_what_is_no_plain_array_of_the_file_is_refused(tmp_path, model, spoil):
    path = tmp_path / "spoilt.weights.h5"
    secret = tmp_path / "secret.h5"
    model.save_weights(path)
    expected = shapes(model)
    with h5py.File(path, "r+") as file, h5py.File(secret, "w") as other:
        name, dataset = first_dataset(file)
        values = dataset[()]
        other["values"] = values
        if spoil != "nameless":
            del file[name]
        if spoil == "soft_link":
            file["elsewhere"] = values
            file[name] = h5py.SoftLink("/elsewhere")
        elif spoil == "external_link":
            file[name] = h5py.ExternalLink(str(secret), "values")
        elif spoil == "external_data":
            file.create_dataset(name, values.shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif spoil == "virtual":
            layout = h5py.VirtualLayout(values.shape, "f4")
            layout[...] = h5py.VirtualSource(str(secret), "values", values.shape)
            file.create_virtual_dataset(name, layout)
        elif spoil == "objects":
            file.create_dataset(name, values.shape, h5py.vlen_dtype("f4"))
        elif spoil == "strings":
            file.create_dataset(name, values.shape, h5py.string_dtype())
        elif spoil == "group":
            file.create_group(name)
        elif spoil == "huge":
            file.create_dataset(name, (2**20, 2**20, 2**10), "f4")  # 4 petabytes that take no space
        elif spoil == "chunked":  # which may be much larger than the array, and compressed
            file.create_dataset(name, values.shape, "f4", maxshape=(None,) * values.ndim, chunks=(64,) * values.ndim)
        elif spoil == "infinite":
            file[name] = np.full_like(values, np.inf)
        else:
            del dataset.parent.attrs["name"]
    message = {
        "soft_link": "no array of its own",
        "external_link": "no array of its own",
        "group": "no array of its own",
        "huge": r"has the shapes \[\(1048576, 1048576, 1024\)",
        "infinite": "numbers that are not finite",
        "nameless": "layers without names",
    }.get(spoil, "no plain array of numbers")
    with pytest.raises(UserError, match=message):
        read_weights(path, expected)


def test_links_are_not_followed_on_the_way_either(tmp_path, model):
    path, secret = tmp_path / "linked.weights.h5", tmp_path / "secret.weights.h5"
    model.save_weights(secret)
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink(str(secret), "layers")
    with pytest.raises(UserError, match=r"'layers' in the file is no group of its own \(links are not followed\)"):
        read_shapes(path)


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, contents in members.items():
            file.writestr(name, contents)
    return path


def test_a_bomb_is_refused_before_it_goes_off(tmp_path):
    path = archive(tmp_path / "bomb.keras", {"model.weights.h5": bytes(10**8)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(
        UserError, match=r"model.weights.h5 in .*bomb.keras is compressed or too large: save the model again"
    ):
        read_shapes(path)


def test_sizes_have_a_ceiling(tmp_path, path, monkeypatch):
    monkeypatch.setattr(weights_file, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"has [\d,]+ bytes; at most 1,000 are read"):
        read_shapes(path)


def test_code_in_a_config_is_not_run(tmp_path, model):
    ran = tmp_path / "ran"
    path = tmp_path / "lambda.keras"
    model.save(path)
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    config = json.loads(members["config.json"])
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": f"__import__('os').mkdir({str(ran)!r})"}}
    config["config"]["layers"].append(layer)
    archive(path, members | {"config.json": json.dumps(config)})
    assert read_shapes(path) == shapes(model)
    assert read_layer_config(path, "evil") == layer["config"]  # text
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("a.keras", {}, "has no model.weights.h5"),
        ("a.keras", {"model.weights.h5": b"no HDF5"}, "can't be read as weights: OSError"),
        ("a.keras", {"config.json": b"[[["}, "has no model.weights.h5"),
        ("a.keras", None, "is damaged, or no .keras file: File is not a zip file"),
        ("a.weights.h5", None, "can't be read as weights: OSError"),
        ("a.h5", None, r"come from a \.keras or \.weights\.h5 file; received .*a\.h5"),
        ("a.pkl", None, r"come from a \.keras or \.weights\.h5 file; received .*a\.pkl"),
    ],
)
def test_other_files_are_told(tmp_path, name, members, message):
    path = tmp_path / name
    path.write_bytes(b"something else") if members is None else archive(path, members)
    with pytest.raises(UserError, match=message):
        read_shapes(path)


@pytest.mark.parametrize("config", [b"[[[", b"{}", b"null", b'{"config": {"layers": [3]}}', b"[" * 100_000])
def test_configs_that_are_none_are_told(tmp_path, config):
    path = archive(tmp_path / "a.keras", {"config.json": config})
    with pytest.raises(UserError, match=r"a.keras has no layer 'scaling' in its config.json"):
        read_layer_config(path, "scaling")


def test_cut_off_or_changed_it_is_an_error_or_the_same_kind_of_thing(path, model):
    expected, contents = shapes(model), path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(contents)
        if random.random() < 0.5:
            del changed[random.integers(len(changed)) :]
        for at in random.integers(0, max(len(changed), 1), 3) if changed else ():
            changed[at] = random.integers(256)
        path.write_bytes(changed)
        try:
            read_weights(path, expected)
        except UserError as error:
            assert str(path) in str(error)


def test_keras_itself_reads_what_we_read(path, model):
    """The reference: Keras' own loader gives the same numbers."""
    copy = classifier.build("plain_cnn(width=2)", SHAPE, 3)
    if path.suffix == ".keras":
        copy = keras.saving.load_model(path, compile=False)
    else:
        copy.load_weights(path)
    for name, arrays in read_weights(path, shapes(model)).items():
        for ours, theirs in zip(arrays, copy.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
