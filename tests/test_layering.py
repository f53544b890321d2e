"""The house: rooms import one way. `ORDER` is its picture; the rules are shown to fail on trees that break them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_imgcls"

# Each room may import the rooms above it. Rooms on one line don't know each other.
ORDER = (
    ("core",),
    ("data", "augment", "models"),
    ("training",),
    ("inference",),
    ("evaluation",),
    ("experiment",),
    ("export",),
    ("tuning",),
    ("startup",),  # a single module: only commands start TensorFlow
    ("commands",),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
ABOVE_ALL = len(ORDER)  # __init__, __main__ and api, which no room imports
VERSION = "__version__"
FRAMEWORKS = {"tensorflow", "keras", "tf_keras", "keras_tuner", "ai_edge_litert", "jax", "torch"}
OF_MODELS = {"keras", "numpy", "keras_imgcls", *sys.stdlib_module_names}


def violations(package: Path) -> list[str]:
    """What is against the rules in a tree of modules: one line each."""
    return [
        f"{path.relative_to(package)} imports {target}: {reason}"
        for path in sorted(package.rglob("*.py"))
        for target in imports(path, package)
        if (reason := against_the_rules(path.relative_to(package), target))
    ]


def imports(path: Path, package: Path) -> Iterator[str]:
    """Full dotted names of everything that a module imports, at any depth of its code, by statement or by function."""
    here = (package.name, *path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else ()
            yield from (".".join(filter(None, (*base, node.module, alias.name))) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def against_the_rules(module: Path, target: str) -> str:
    """Why `module` may not import `target`; an empty string where it may."""
    room = module.parts[0] if len(module.parts) > 1 else ""
    if room and room not in RANKS:
        return f"the room {room} has no place in the order"
    outer, *inner = target.split(".")
    if outer != PACKAGE.name:
        if room == "core" and outer in FRAMEWORKS:
            return "core answers without a framework"
        return "models know Keras and NumPy only" if room == "models" and outer not in OF_MODELS else ""
    if not room or inner[:1] == [VERSION]:
        return ""
    other = inner[0] if inner else ""
    if room == other == "commands":
        return "commands don't know each other" if inner[1:2] != [module.stem] else ""
    if room != other and RANKS.get(other, ABOVE_ALL) >= RANKS[room]:
        return f"{room} stands no later than {other or 'the package'}"
    return ""


def test_imports_point_one_way():
    assert violations(PACKAGE) == []


def test_every_room_has_its_place():
    rooms = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")}
    assert rooms <= RANKS.keys()
    assert not rooms & {"utils", "common", "misc", "helpers"}


def plant(root: Path, tree: dict[str, str]) -> Path:
    """A package of the given sources."""
    for name, source in tree.items():
        path = root / PACKAGE.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root / PACKAGE.name


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("core/files.py", "import keras_imgcls.data.manifest", "core stands no later than data"),
        ("training/fit.py", "from keras_imgcls.commands import train", "training stands no later than commands"),
        ("training/fit.py", "from keras_imgcls import evaluation", "training stands no later than evaluation"),
        ("training/fit.py", "def late():\n    from keras_imgcls.export import tflite", "no later than export"),
        ("training/fit.py", "if TYPE_CHECKING:\n    from keras_imgcls.tuning import tuner", "no later than tuning"),
        ("data/readers/folder.py", "from ...augment import sequence", "data stands no later than augment"),
        ("data/pipeline.py", "from .. import augment", "data stands no later than augment"),
        ("augment/mix.py", "from keras_imgcls.data import order", "augment stands no later than data"),
        ("models/vgg.py", "from keras_imgcls.data import manifest", "models stands no later than data"),
        ("models/vgg.py", "def build():\n    import tensorflow as tf", "models know Keras and NumPy only"),
        ("core/run.py", "from keras.models import load_model", "core answers without a framework"),
        (
            "core/run.py",
            "import importlib\nimportlib.import_module('tensorflow.nn')",
            "core answers without a framework",
        ),
        ("core/run.py", "__import__('keras_imgcls.training.fit')", "core stands no later than training"),
        ("commands/train.py", "from keras_imgcls.commands import evaluate", "commands don't know each other"),
        ("commands/train.py", "def run():\n    from .evaluate import evaluate", "commands don't know each other"),
        ("commands/train.py", "from . import evaluate", "commands don't know each other"),
        ("inference/predictor.py", "import keras_imgcls", "inference stands no later than the package"),
        ("inference/predictor.py", "from keras_imgcls.api import build", "inference stands no later than api"),
        ("utils/names.py", "import os", "the room utils has no place in the order"),
    ],
)
def test_a_house_that_breaks_a_rule_is_found_out(tmp_path, module, source, reason):
    (found,) = violations(plant(tmp_path, {"core/errors.py": "import os", module: source}))
    assert found.startswith(f"{module} imports ")
    assert reason in found


def test_a_house_in_order_passes(tmp_path):
    tree = {
        "__init__.py": "__version__ = '1'",
        "api.py": "from keras_imgcls.commands import train",
        "core/run.py": "import json\nfrom . import files\nfrom keras_imgcls import __version__",
        "core/files.py": "",
        "models/resnet.py": "import keras\nimport numpy as np\nfrom ..core import run\nfrom . import blocks",
        "models/blocks.py": "from keras_imgcls.models import resnet",
        "data/pipeline.py": "import tensorflow as tf\nfrom keras_imgcls.core.run import Run",
        "commands/train.py": "def run():\n    from keras_imgcls.experiment import train",
    }
    assert violations(plant(tmp_path, tree)) == []
