"""First weights from somewhere: ImageNet's as they are published, a file, or another run.

An `Origin` says what comes with the weights (scaling, image size, class names) before the model is built, and loads them
after. `published` is the table of what can be had, `conversion` makes files of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_imgcls.core import imagenet, trusted_file
from keras_imgcls.core.config import IMAGENET, NEED_TRUST, check_pretrained
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import open_run
from keras_imgcls.core.spec import parse_call
from keras_imgcls.core.weights_file import read_layer_config, read_shapes, read_weights
from keras_imgcls.models import classifier, conversion, published
from keras_imgcls.models.published import Scaling

HEAD = "logits"
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
            file = self.file()
            return (trusted_file.read_weights if _needs_trust(file) else read_weights)(file, shapes)
        except UserError as error:
            if size == self.image_size or not self.image_size:
                raise
            hint = f"--image_size={self.image_size}, which they were made with, or the argument stem=imagenet"
            raise UserError(f"{error} Weights don't fit at {size} px? Try {hint}.") from error


def origin(
    spec: str, pretrained: str, init_from: str = "", cache_dir: str = "", trust_file: bool = False
) -> Origin | None:
    """The origin that `--pretrained` or `--init_from` names for the model `spec`; None where both are empty.

    Args:
        spec: a model, with arguments if you like.
        pretrained: `imagenet` or a file of weights.
        init_from: a run.
        cache_dir: where converted weights are kept; as `files.cache_folder` takes it.
        trust_file: whether `pretrained` may be a file that can run code as it is opened, such as a pickle.

    Raises:
        UserError: there are none for this model, there is no such file or run, or it needs trust.
    """
    if init_from:
        return _of_run(spec, init_from)
    if pretrained == IMAGENET:
        known = published.require(spec)
        name = parse_call(spec).name
        return Origin(
            f"ImageNet weights from {known.source}",
            known.image_size,
            known.scaling,
            imagenet.class_names(),
            published.CHANNELS,
            lambda: conversion.converted(name, cache_dir),
        )
    if pretrained and Path(pretrained).is_file():
        check_pretrained(pretrained, trust_file)
    return _of_file(spec, pretrained) if pretrained else None


def _of_file(spec: str, path: str) -> Origin:
    if not Path(path).is_file():
        raise UserError(f"--pretrained is {IMAGENET} or a .keras or .weights.h5 file; there is no file '{path}'.")
    known = published.PUBLISHED.get(parse_call(spec).name)
    scaling, (size, channels) = _scaling_in(path), _image_shape_in(path)
    if scaling is None and known:  # a .weights.h5 says nothing of scaling
        scaling, size, channels = known.scaling, known.image_size, published.CHANNELS
    return Origin(f"weights from {path}", size, scaling, _class_names_of(path), channels, lambda: path)


def _of_run(spec: str, path: str) -> Origin:
    run = open_run(path)
    then, now = parse_call(run.config.model).name, parse_call(spec).name
    if then != now:
        raise UserError(f"{path} holds a {then}, which can't start a {now}: give --model='{run.config.model}'.")
    if not run.model.is_file():
        raise UserError(f"{path} has not saved a model yet: there is no {run.model.name}.")
    size, channels = _image_shape_in(run.model)
    scaling, names = _scaling_in(run.model), _lines(run.labels)
    return Origin(f"weights from the run {path}", size, scaling, names, channels, lambda: run.model)


def _class_names_of(path: str) -> tuple[str, ...]:
    """The lines of a `labels.txt` beside the file, or ImageNet's names for 1,000 outputs, or none."""
    labels = Path(path).with_name("labels.txt")
    head = _shapes_in(path).get(HEAD)
    outputs = head[0][-1] if head and head[0] else 0
    if labels.is_file():
        names = _lines(labels)
        return names if len(names) == outputs else ()
    return imagenet.class_names() if outputs == imagenet.CLASSES else ()


def _needs_trust(path: str | Path) -> bool:
    return str(path).endswith(NEED_TRUST) and not str(path).endswith(".weights.h5")


def _shapes_in(path: str) -> dict[str, list[tuple[int, ...]]]:
    if not _needs_trust(path):
        return read_shapes(path)
    return {name: [array.shape for array in arrays] for name, arrays in trusted_file.read_layers(path).items()}


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split("\n")[:-1])
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}.") from error


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
