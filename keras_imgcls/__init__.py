"""Image classification with Keras, from a folder of pictures to a model on a phone.

The names below load what they need on first use, so that `import keras_imgcls` is instant.
"""

import importlib
import os
import platform
import sys
from types import ModuleType

__version__ = "0.1.0"

# TensorFlow turns oneDNN on by itself only where the processor has instructions for neural networks. Others, many laptops
# among them, train up to twice as fast with it too (benchmarks/onednn.py). It must be asked for before TensorFlow is loaded.
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "UserError": "core.errors",
    "load_data": "api",
    "build": "api",
    "train": "api",
    "load_run": "inference.predictor",
    "load_pretrained": "inference.predictor",
    "evaluate": "api",
    "export": "api",
    "accelerate": "training.acceleration",
    "list_models": "api",
    "register_model": "api",
    "register_dataset": "api",
    "register_augmentation": "api",
    "register_loss": "api",
    "register_mix": "api",
    "HyperModel": "tuning.hypermodel",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    """Loads the home of a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_imgcls' has no attribute '{name}'")
    return getattr(importlib.import_module(f"keras_imgcls.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """`keras_imgcls.export` is the function, also once the folder of that name has been imported, which would take its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
