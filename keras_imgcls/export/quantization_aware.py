"""Quantization-aware fine-tuning: a network learns to answer in int8 as it did in float, and its ranges go into the file.

Normalisations are folded first, so that kernels are trained as int8 has them. The float network teaches: its probabilities
on the run's own augmented training images are the labels (Hinton et al. 2015; Mishra & Marr 2018,
https://arxiv.org/abs/1711.05852). Ranges follow the batches and are frozen for the last epoch.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import note
from keras_imgcls.data.manifest import one_hot
from keras_imgcls.export import fake_quantization, fallback, tflite
from keras_imgcls.export.folding import fold
from keras_imgcls.export.reference import Reference
from keras_imgcls.export.trained import Trained, save_graph
from keras_imgcls.inference.predictor import Predictor
from keras_imgcls.training.fit import fit, seed_everything
from keras_imgcls.training.validation import Validator

LEARNING_RATE = 1e-4  # of Adam, from which a cosine leads to 0


def fine_tuned(trained: Trained, epochs: int) -> keras.Model:
    """The fake-quantized network after the epoch that got most of the validation images right."""
    lesson = trained.lesson
    config = fine_tuning(lesson.config, epochs)
    seed_everything(config.seed, config.deterministic)
    view = fake_quantization.fake_quantized(fold(trained.predictor.model))
    fake_quantization.calibrate(view, trained.calibration)
    note(
        f"  fine-tuning with fake quantization, {lesson.feed.images:,} images an epoch "
        "(accuracy: agreement with the float network) …"
    )
    fit(
        view,
        lesson.feed,
        config,
        Validator(view, _batches(trained.validation, config.batch_size)),
        augment=_taught(trained.predictor, lesson.augment),
        callbacks=[_Freeze(view, epochs)],
    )
    return view


def fine_tuning(config: TrainConfig, epochs: int) -> TrainConfig:
    """The flags of a run as fine-tuning has them: its batches and seed, another optimizer, nothing frozen or averaged."""
    return config_module.replace(
        config,
        epochs=epochs,
        optimizer="adamw",
        learning_rate=LEARNING_RATE,
        momentum=0.9,
        weight_decay=0.0,
        schedule="warmup_cosine",
        freeze="none",
        unfreeze_epoch="0",
        layer_decay=1.0,
        norm_bias_multiplier=1.0,
        loss="cross_entropy",
        auxiliary_weight=0.0,
        label_smoothing=0.0,
        averaging="none",
        clip_norm=0.0,
        early_stopping=0,
        monitor="val_accuracy",
        mixed_precision="float32",
        on_nan="stop",
        steps_per_execution=1,
    )


def convert(trained: Trained, view: keras.Model) -> bytes:
    """The int8 file of a fake-quantized network, by its own ranges; input and output as in `tflite.int8`, no metadata.

    Where the network has an operation without a range, that is float in the file.

    Raises:
        UserError: an operation is unknown to plain TFLite.
    """
    temperature = trained.predictor.temperature
    logits_range = fake_quantization.ranges(view)[-1]

    def probabilities(image: tf.Tensor) -> tf.Tensor:
        logits = view(image, training=False)
        if temperature != 1:
            low, high = logits_range.low.value / temperature, logits_range.high.value / temperature
            logits = tf.quantization.fake_quant_with_min_max_vars(logits / temperature, low, high)
        return tf.nn.softmax(logits)

    def choose(converter: tflite.Converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.uint8

    # Kernels as they are: the converter rounds them itself, to the same levels.
    with fake_quantization.mode(view, kernels=False, results=fake_quantization.ON):
        graph = save_graph(view, trained.predictor.image_shape, probabilities)
    model = tflite.convert(trained, choose, graph)
    tflite.require_quantization(model)
    return model


def in_float(model: bytes, view: keras.Model) -> list[str]:
    """The layers of `view` of which the file `model` has operations in float, in their order."""
    graph = schema.ModelT.InitFromPackedBuf(model, 0).subgraphs[0]
    made = (graph.tensors[operator.outputs[0]] for operator in graph.operators)
    names = [tensor.name.decode() for tensor in made if tensor.type == schema.TensorType.FLOAT32]
    known = {layer.name for layer in view.layers}
    return list(dict.fromkeys(fallback.layer_of(name, known).removesuffix("_range") for name in names))


class _Freeze(keras.callbacks.Callback):
    """Freezes the ranges for the last epoch."""

    def __init__(self, view: keras.Model, epochs: int) -> None:
        super().__init__()
        self._view, self._last = view, epochs - 1

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._last > 0:
            fake_quantization.freeze(self._view)


def _taught(predictor: Predictor, augment: Callable | None) -> Callable:
    """Augmentation whose labels are the float network's probabilities of the augmented images."""
    teacher = fold(predictor.model)

    def taught(images, labels, ids, epoch):
        if augment is not None:
            images, labels = augment(images, labels, ids, epoch)
        return images, tf.nn.softmax(teacher(tf.cast(images, tf.float32), training=False))

    return taught


def _batches(expected: Reference, batch_size: int) -> tf.data.Dataset:
    labels = one_hot(expected.truth, len(expected.class_names))
    return tf.data.Dataset.from_tensor_slices((expected.images, labels)).batch(batch_size)
