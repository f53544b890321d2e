"""`model.keras` under Keras on PyTorch: one graph of every family, its weights drawn anew, gives the same logits."""

import os
import subprocess
import sys
import zlib

import keras
import numpy as np
import pytest

from keras_imgcls.models import classifier
from tests.conformance.test_models import DEEP, NARROW

pytest.importorskip("torch")
SIZES = {"alexnet": 96, "inception_v3": 96}  # the others take 32 pixels
CHILD = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy as np
for path in sys.argv[1:]:
    images = np.load(path + ".npy").astype("float32")
    model = keras.saving.load_model(path, compile=False)
    np.save(path + ".logits.npy", keras.ops.convert_to_numpy(model(images, training=False)))
assert "tensorflow" not in sys.modules and "keras_imgcls" not in sys.modules
"""


def randomized(name, spec):
    """A model whose every variable, moving statistics too, is drawn from the name."""
    size = SIZES.get(name, 32)
    model = classifier.build(spec, (size, size, 3), 7)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    for variable in model.variables:
        if variable.dtype == "float32":
            noise = random.uniform(0.5, 1.5, variable.shape)
            variable.assign(noise if "variance" in variable.path or "gamma" in variable.path else variable * noise)
    return model, random.integers(0, 256, (4, size, size, 3), np.uint8)


@pytest.mark.slow
def test_torch_gives_the_logits_of_tensorflow(tmp_path):
    expected = {}
    for name, spec in NARROW.items():
        if name in DEEP:
            continue
        model, images = randomized(name, spec)
        path = str(tmp_path / f"{name}.keras")
        model.save(path)
        np.save(f"{path}.npy", images)
        expected[path] = model(images.astype(np.float32), training=False).numpy()
        keras.backend.clear_session()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", CHILD, *expected]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for path, logits in expected.items():
        answer = np.load(f"{path}.logits.npy")
        assert np.ptp(logits) > 1e-3, path
        np.testing.assert_allclose(answer, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max(), err_msg=path)
