"""What the source may not hold, and what has to be installed beside it."""

import ast
import configparser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_imgcls"
HOLES = {"keras": "3.15.0", "pillow": "12.2.0"}  # the last versions with holes that are known
# Two unpicklers that know a few names only, and the door that --trust_file opens.
GUARDED = {"core/torch_file.py", "core/trusted_file.py", "data/readers/cifar10.py"}


def requirements():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return [Requirement(line) for line in setup["options"]["install_requires"].splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_what_is_installed_is_within_the_bounds(requirement):
    assert requirement.specifier.contains(version(requirement.name), prereleases=True)


@pytest.mark.parametrize(("name", "bad"), HOLES.items())
def test_versions_with_known_holes_are_out_of_bounds(name, bad):
    (requirement,) = [requirement for requirement in requirements() if requirement.name == name]
    assert not requirement.specifier.contains(bad)


def could_run_code(tree):
    """Names in a module that open the way to code in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", "")}
            found |= modules & {"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("enable_unsafe_deserialization", "unsafe_load") or (
                isinstance(node.func, ast.Name) and name in ("eval", "exec")
            ):
                found.add(name)
            found |= {
                f"{keyword.arg}={keyword.value.value}"
                for keyword in node.keywords
                if (keyword.arg, getattr(keyword.value, "value", None))
                in (("allow_pickle", True), ("safe_mode", False))
            }
    return found


def test_what_could_run_code_stands_where_it_is_guarded():
    found = {
        str(path.relative_to(PACKAGE)): could_run_code(ast.parse(path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
    }
    asked_for = "inference/loading.py"  # _by_keras(run, safe_mode=False) behind --trust_file
    assert found.pop(asked_for) == {"safe_mode=False"}
    assert {path for path, names in found.items() if names} == GUARDED


def test_the_search_for_it_finds_it():
    source = "import pickle\nfrom joblib import load\nnp.load(x, allow_pickle=True)\neval(text)\nload_model(x, safe_mode=False)"
    assert could_run_code(ast.parse(source)) == {"pickle", "joblib", "allow_pickle=True", "eval", "safe_mode=False"}
