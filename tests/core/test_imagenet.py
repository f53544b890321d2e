"""ImageNet's names, in the order of the networks' outputs."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_imgcls.core import imagenet
from keras_imgcls.core.errors import UserError


def test_a_thousand_names_at_the_places_that_networks_give_them():
    names = imagenet.class_names()
    assert len(names) == len(set(names)) == 1000
    places = {
        0: "tench",
        1: "goldfish",
        134: "crane",
        207: "golden retriever",
        281: "tabby",
        517: "crane",
        985: "daisy",
    }
    assert {index: names[index].split(",")[0].split(" (")[0] for index in places} == places
    assert names[999].startswith("toilet tissue")


@pytest.mark.parametrize(
    ("identifier", "name"), [("n01440764", "tench"), ("n02102040", "English springer"), ("n03445777", "golf ball")]
)
def test_the_order_is_that_of_the_sorted_wordnet_identifiers(identifier, name):
    folder = Path(find_spec("tensorflow_datasets").submodule_search_locations[0])
    identifiers = (folder / "datasets/imagenet2012/labels.txt").read_text().split()
    assert identifiers == sorted(identifiers)
    assert name in imagenet.class_names()[identifiers.index(identifier)]


@pytest.mark.parametrize("package", [None, "email"])
def test_where_they_are_not_it_is_told(monkeypatch, package):
    monkeypatch.setattr(imagenet, "find_spec", lambda name: sys.modules[package].__spec__ if package else None)
    imagenet.class_names.cache_clear()
    with pytest.raises(UserError, match="ImageNet's class names come from tensorflow_datasets"):
        imagenet.class_names()
    imagenet.class_names.cache_clear()
