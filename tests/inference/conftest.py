import pytest

from keras_imgcls.inference.predictor import load_run
from tests.inference.tiny import make_run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="session")
def predictor(tiny_run):
    return load_run(tiny_run.path)
