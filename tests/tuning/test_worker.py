"""What a worker does outside of training: costs of models."""

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.tuning import costs, worker


def cost(**flags):
    config = TrainConfig(dataset="digits", image_size=32, channels=1, **flags)
    return worker.cost(None, {"flags": vars(config), "classes": 10, "convert": False, "limit_kb": 0.0})


def test_costs_are_those_of_the_model_that_the_flags_make():
    gated = cost(model="resnet20(width=4)", squeeze_excite=4)
    assert gated == costs.of("resnet20(width=4, squeeze_excite=4)", (32, 32, 1), 10, False)
    assert gated["parameters"] > cost(model="resnet20(width=4)")["parameters"]
    small, large = (cost(model="resnet18(width=4)", stem=stem)["flops"] for stem in ("small", "imagenet"))
    assert small > 4 * large
