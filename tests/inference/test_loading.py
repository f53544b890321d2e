"""Models of runs come from our own code where that makes the same graph; hostile files do nothing but raise."""

import json
import pickle
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.inference import loading
from keras_imgcls.models import classifier
from tests.inference.tiny import digits, make_model, make_run

SCALING = ([33.0], [71.0])


def named_run(path, spec="plain_cnn(width=2)", model=None, image=(16, 16, 1)):
    """A run whose flags name `spec`, with weights that are its own."""
    run = make_run(path, model or classifier.build(spec, image, 10, SCALING))
    run.flags.write_text(run.flags.read_text().replace("--model=resnet20", f"--model={spec}"))
    return Run(run.path)


def rewrite(path, change):
    """`path` again, with `change(members)` done to its parts."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as file:
        for name, contents in members.items():
            file.writestr(name, contents)


def change_config(run, change):
    def changed(members):
        config = json.loads(members["config.json"])
        change(config["config"]["layers"])
        members["config.json"] = json.dumps(config)

    rewrite(run.model, changed)


def change_weights(run, tmp_path, change):
    """The HDF5 file within `model.keras`, changed; a real one, since links need a name."""

    def changed(members):
        place = tmp_path / "changed.h5"
        place.write_bytes(members["model.weights.h5"])
        with h5py.File(place, "r+") as file:
            change(file)
        members["model.weights.h5"] = place.read_bytes()

    rewrite(run.model, changed)


def layer(layers, kind):
    return next(each for each in layers if each["class_name"] == kind)


@pytest.fixture
def no_keras_loader(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("Keras' own loader was called")

    monkeypatch.setattr(keras.saving, "load_model", refuse)
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", refuse)


# Names that Keras counts up in a process (inception_v1's normalisation is made of operations) are no difference.
@pytest.mark.parametrize("spec", ["plain_cnn(width=2)", "resnet20(width=2)", "inception_v1(width=0.0625)"])
def test_a_named_model_is_built_by_our_code(tmp_path, spec, request):
    run = named_run(tmp_path / "run", spec, image=(32, 32, 1))
    expected = keras.saving.load_model(run.model)
    request.getfixturevalue("no_keras_loader")
    model = loading.load_model(run)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1))
    assert model.get_layer("scaling").scale == expected.get_layer("scaling").scale  # 1 / (1 / x) isn't always x
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected.predict(images, verbose=0))


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("Activation", "activation", "tanh"), ("BatchNormalization", "epsilon", 0.1), ("Dense", "activation", "softmax")],
)
def test_a_model_that_differs_in_anything_is_the_files_own(tmp_path, kind, name, value):
    run = named_run(tmp_path / "run", "resnet20(width=2)", image=(16, 16, 1))
    before = loading.load_model(run).predict(digits(4).repeat(2, 1).repeat(2, 2), verbose=0)
    change_config(run, lambda layers: layer(layers, kind)["config"].update({name: value}))
    model, expected = loading.load_model(run), keras.saving.load_model(run.model)
    images = digits(4).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected.predict(images, verbose=0))
    assert not np.array_equal(model.predict(images, verbose=0), before)


def test_a_model_made_in_python_is_the_files_own(tmp_path):
    run = make_run(tmp_path / "run")  # whose flags name resnet20, as the default
    images = digits(4)
    expected = keras.saving.load_model(run.model).predict(images, verbose=0)
    np.testing.assert_array_equal(loading.load_model(run).predict(images, verbose=0), expected)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        ({"module": "keras.layers", "class_name": "TFSMLayer"}, "keras.layers.TFSMLayer"),
        ({"module": "keras.layers", "class_name": "StringLookup"}, "keras.layers.StringLookup"),
        ({"module": "os", "class_name": "system"}, "os.system"),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils.get_file"),
        ({"module": "keras.config", "class_name": "enable_unsafe_deserialization"}, "keras.config.enable"),
        ({"module": "keras", "class_name": "Variable"}, "keras.Variable"),
        ({"class_name": "__lambda__"}, "__lambda__"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "builtins.function"),
        ({"class_name": ["keras"]}, "keras"),
    ],
)
def test_what_is_no_plain_layer_is_refused_wherever_it_stands(tmp_path, monkeypatch, part, named):
    run = make_run(tmp_path / "run")
    change_config(
        run, lambda layers: layer(layers, "Dense")["config"].update(kernel_initializer={"config": {}, **part})
    )
    monkeypatch.setattr(loading, "_by_keras", None)  # it isn't asked
    with pytest.raises(
        UserError, match=rf"model\.keras can't be loaded: it asks for .*{named}.* --trust_file loads it"
    ):
        loading.load_model(run)


def lambda_model(mark):
    image = keras.Input((8, 8, 1))
    code = keras.layers.Lambda(lambda x: (open(mark, "w").close(), x)[1], output_shape=(8, 8, 1))
    return keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(code(image))))


def test_a_lambda_runs_for_those_who_trust_it_alone(tmp_path):
    mark = tmp_path / "executed"
    run = make_run(tmp_path / "run", lambda_model(str(mark)))
    mark.unlink(missing_ok=True)
    with pytest.raises(UserError, match="Lambda"):
        loading.load_model(run)
    assert not mark.exists()
    loading.load_model(run, trust_file=True)(digits(1))
    assert mark.exists()


def test_huge_layers_are_refused_before_they_are_made(tmp_path):
    run = make_run(tmp_path / "run")
    change_config(run, lambda layers: layer(layers, "Dense")["config"].update(units=10**12))  # 1.7 petabytes
    with pytest.raises(UserError, match=r"describes a model of more than the 1\d\d,\d\d\d numbers that may be in it"):
        loading.load_model(run)


def test_huge_models_in_the_flags_are_not_made(tmp_path):
    run = named_run(tmp_path / "run")
    text = run.flags.read_text().replace("plain_cnn(width=2)", "plain_cnn(width=1000000)")
    run.flags.write_text(text)
    assert loading.load_model(Run(run.path)).count_params() < 10_000  # what the file describes


def test_huge_images_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    change_config(run, lambda layers: layer(layers, "InputLayer")["config"].update(batch_shape=[None, 10**9, 10**9, 1]))
    with pytest.raises(UserError, match="at most 4096 pixels a side"):
        loading.load_model(run)


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "assets/x", "config.json/../evil"])
def test_other_members_are_refused(tmp_path, name):
    run = make_run(tmp_path / "run")
    rewrite(run.model, lambda members: members.update({name: b"x"}))
    with pytest.raises(UserError, match="beside the three parts of a model: refused"):
        loading.load_model(run)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_a_member_that_stands_there_twice_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    with zipfile.ZipFile(run.model, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"holds 'config\.json' beside the three parts"):
        loading.load_model(run)


@pytest.mark.parametrize("build", [make_model, lambda: classifier.build("resnet20(width=2)", (8, 8, 1), 10)])
@pytest.mark.parametrize("kind", ["link", "soft link", "storage", "virtual", "petabytes", "loop"])
def test_arrays_that_lie_elsewhere_are_refused(tmp_path, kind, build):
    """Whichever way the model is built."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["0"] = np.zeros(10, np.float32)
    run = named_run(tmp_path / "run", "resnet20(width=2)", build())

    def change(file):
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        name, shape = found[0], file[found[0]].shape
        del file[name]
        if kind == "link":
            file[name] = h5py.ExternalLink(str(secret), "0")
        elif kind == "soft link":
            file[name] = h5py.SoftLink("/layers")
        elif kind == "storage":
            file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((10,), "f4")
            layout[...] = h5py.VirtualSource(str(secret), "0", (10,))
            file.create_virtual_dataset(name, layout)
        elif kind == "petabytes":
            file.create_dataset(name, (2**20, 2**20, 2**10), "f4")  # takes no space
        else:
            file[name] = file["layers"]

    change_weights(run, tmp_path, change)
    messages = {"petabytes": "larger than the file", "loop": "more groups than a model"}
    with pytest.raises(UserError, match=messages.get(kind, "links are not followed|no plain array of numbers")):
        loading.load_model(run)


def test_bombs_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    with zipfile.ZipFile(run.model, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * 10**7)
    with pytest.raises(UserError, match=r"config\.json in it is compressed or too large|compressed or too large"):
        loading.load_model(run)


@pytest.mark.parametrize("trust_file", [False, True])
@pytest.mark.parametrize("damage", ["cut off", "emptied", "a byte changed"])
def test_a_damaged_file_is_called_damaged(tmp_path, damage, trust_file):
    run = make_run(tmp_path / "run")
    contents = bytearray(run.model.read_bytes())
    middle = len(contents) // 2
    contents[middle] ^= 255
    run.model.write_bytes({"cut off": contents[:middle], "emptied": b"", "a byte changed": contents}[damage])
    reason = "Bad CRC-32 for file|has another checksum" if damage == "a byte changed" else "File is not a zip file"
    with pytest.raises(UserError, match=rf"run/model\.keras can't be loaded: it is damaged.*: .*({reason})"):
        loading.load_model(run, trust_file)


@pytest.mark.parametrize("contents", [b"[]", b"{}", b"[" * 100_000, b'{"config": {"layers": [1]}}', b"\xff"])
def test_configs_that_are_none_are_told(tmp_path, contents):
    run = make_run(tmp_path / "run")
    rewrite(run.model, lambda members: members.update({"config.json": contents}))
    with pytest.raises(UserError, match=r"has no model in its config\.json"):
        loading.load_model(run)


def test_pickles_under_a_false_name_are_no_models(tmp_path):
    run = make_run(tmp_path / "run")
    run.model.write_bytes(pickle.dumps(Mark(tmp_path / "executed")))
    with pytest.raises(UserError, match="it is damaged, or no .keras file: File is not a zip file"):
        loading.load_model(run)
    assert not (tmp_path / "executed").exists()


class Mark:
    """A pickle that makes a file as it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
