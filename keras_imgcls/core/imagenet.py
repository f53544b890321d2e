"""The names of ImageNet's 1,000 classes, in the order in which networks that were trained on it give their outputs."""

import ast
import functools
from importlib.util import find_spec
from pathlib import Path

from keras_imgcls.core.errors import UserError

CLASSES = 1000
# The synsets' words, with "crane (bird)" and "crane (machine)" told apart. TFDS keeps them with a dataset that needs them.
FILE, VARIABLE = "datasets/siscore/labels.py", "IMAGENET_LABELS_LIST"


@functools.cache
def class_names() -> tuple[str, ...]:
    """`tench` to `toilet tissue`: 1,000 different names, of each synset the first word, or all where others share it.

    They are read from TensorFlow Datasets, which is neither imported (it takes seconds) nor run.

    Raises:
        UserError: TensorFlow Datasets is not installed, or has them elsewhere now.
    """
    package = find_spec("tensorflow_datasets")
    try:
        source = Path(package.submodule_search_locations[0], FILE).read_text(encoding="utf-8")
        values = {ast.unparse(node.targets[0]): node.value for node in ast.parse(source).body if _assigns(node)}
        synsets = ast.literal_eval(values[VARIABLE])
        firsts = [synset.split(",")[0] for synset in synsets]
    except (AttributeError, OSError, SyntaxError, KeyError, ValueError) as error:
        raise UserError(f"ImageNet's class names come from tensorflow_datasets ({FILE}), which lacks them.") from error
    names = tuple(first if firsts.count(first) == 1 else synset for first, synset in zip(firsts, synsets, strict=True))
    if len(set(names)) != CLASSES:
        raise UserError(f"tensorflow_datasets ({FILE}) has {len(set(names)):,} ImageNet classes, expected {CLASSES:,}.")
    return names


def _assigns(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and len(node.targets) == 1
