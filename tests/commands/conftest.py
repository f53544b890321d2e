from tests.inference.conftest import predictor, tiny_run  # noqa: F401 - fixtures
