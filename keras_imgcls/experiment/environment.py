"""What a run was made with: written beside it, so that a difference can be explained."""

import importlib.metadata
import os
import platform

PACKAGES = ("keras_imgcls", "tensorflow", "keras", "numpy")


def environment() -> dict[str, str]:
    """The machine and the versions."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "as TensorFlow chooses"),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "from source"
