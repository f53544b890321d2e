"""Plugins: modules of the user's own that register models, datasets, augmentations or losses when imported."""

import importlib
import os
import sys

from keras_imgcls.core.errors import UserError


def load_plugins(names: str) -> None:
    """Imports the comma-separated modules in `names`, looked for in the working directory too.

    Raises:
        UserError: a module can't be imported; the message has its reason.
    """
    for name in filter(None, (part.strip() for part in names.split(","))):
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        try:
            importlib.import_module(name)
        except Exception as error:
            raise UserError(f"The plugin '{name}' can't be imported: {type(error).__name__}: {error}.") from error
