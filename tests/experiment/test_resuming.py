import pytest

from keras_imgcls.experiment.resuming import class_changes


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (["cat", "dog"], []),
        (["dog", "cat"], ["the order of the classes"]),
        (["cat", "eel", "dog"], ["new classes: eel"]),
        (["eel"], ["new classes: eel", "classes that are gone: cat, dog"]),
        (["cat", "dog", *"abcd"], ["new classes: a, b, c, …"]),
    ],
)
def test_class_changes_in_words(now, changes):
    assert class_changes(["cat", "dog"], now) == changes
