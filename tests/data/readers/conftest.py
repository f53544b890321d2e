"""Small datasets for the readers."""

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.core.config import DataOptions


@pytest.fixture
def options(tmp_path):
    """`options(data_dir=…)`: data options whose caches lie in the test's own folder."""

    def make(**values):
        return DataOptions(**{"cache_dir": str(tmp_path / "cache"), **values})

    return make


@pytest.fixture
def picture(tmp_path):
    """`picture("cats/1.jpg")`: writes a small image below the test's folder `photos` and gives that folder."""

    def write(*names, size=(12, 10)):
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = sum(name.encode()) % 256
            Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8)).save(path)
            with open(path, "ab") as file:
                file.write(name.encode())  # behind the pixels: no two files are copies
        return tmp_path / "photos"

    return write


@pytest.fixture
def no_network(monkeypatch):
    """Makes every connection fail at once."""
    import socket

    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
