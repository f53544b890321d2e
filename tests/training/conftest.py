import keras
import pytest


@pytest.fixture(autouse=True)
def same_seeds():
    keras.utils.set_random_seed(0)
