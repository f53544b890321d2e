"""What is frozen and how fast the rest learns, told by the landmarks of the graph."""

from collections.abc import Iterator, Sequence

import keras

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.phases import EVERYTHING_TRAINS, LANDMARK


def layers_up_to(model: keras.Model, landmark: str) -> list[keras.Layer]:
    """The layers that `landmark` is computed by, itself included; none for `none`.

    Raises:
        UserError: `model` has no such landmark.
    """
    if landmark == EVERYTHING_TRAINS:
        return []
    known = landmarks(model)
    if landmark not in known:
        has = f"it has {', '.join(known)}" if known else "it has none: name layers stem, stage1 … or features"
        raise UserError(f"--freeze={landmark}: {model.name} has no such landmark; {has}.")
    return keras.Model(model.inputs, model.get_layer(landmark).output).layers


def landmarks(model: keras.Model) -> list[str]:
    """The landmarks of `model` that something can be frozen up to, in the order of the graph."""
    return [layer.name for layer in model.layers if LANDMARK.fullmatch(layer.name)]


def normalizations(model: keras.Model, freeze_norm: bool = True) -> list[keras.Layer]:
    """The layers of `model`, and of models inside it, whose statistics `--freeze_norm` keeps; none without it."""
    layers = model._flatten_layers() if freeze_norm else ()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def statistics_of(norms: Sequence[keras.Layer]) -> list[keras.Variable]:
    """The moving means and variances of normalisations."""
    return [variable for norm in norms for variable in norm.non_trainable_variables]


def variables_of(layers: Sequence[keras.Layer]) -> list[keras.Variable]:
    """All variables of `layers`: weights, statistics and seeds."""
    return [variable for layer in layers if isinstance(layer, keras.Layer) for variable in layer.variables]


def learning_rates(
    model: keras.Model, layer_decay: float = 1.0, norm_bias_multiplier: float = 1.0
) -> list[tuple[keras.Variable, float]]:
    """The variables of `model` whose learning rate is not that of the schedule, each with its multiple.

    Args:
        model: with landmarks, unless `layer_decay` is 1.
        layer_decay: what is behind the last landmark (the head) has 1, what is between the last two `layer_decay`,
            between those before `layer_decay` squared, and so on down to the stem (Clark et al. 2020, ELECTRA).
        norm_bias_multiplier: of the biases of normalisations, on top of that.
    """
    multiples = {}
    for layer, depth in _depths(model) if layer_decay != 1 else ((layer, 0) for layer in model.layers):
        for variable in variables_of([layer]):
            bias = norm_bias_multiplier if variable.name == "beta" else 1.0
            multiples.setdefault(id(variable), (variable, layer_decay**depth * bias))
    return [(variable, multiple) for variable, multiple in multiples.values() if multiple != 1]


def _depths(model: keras.Model) -> Iterator[tuple[keras.Layer, int]]:
    """Each layer of `model` with the number of landmarks behind it, from the stem on."""
    seen: set[int] = set()
    names = landmarks(model)
    for number, name in enumerate(names):
        for layer in layers_up_to(model, name):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield layer, len(names) - number
