import keras
import keras_tuner
import numpy as np
import pytest

import keras_imgcls
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning.hypermodel import HyperModel

SPACE = """
optimizer=choice(sgd, adamw)
learning_rate=log(0.001, 0.1)
momentum=uniform(0.5, 0.9) when optimizer=sgd
model=choice(plain_cnn(width=2), plain_cnn(width=4))
batch_size=choice(8, 16)
"""


@pytest.mark.slow
def test_a_tuner_of_keras_tuner_searches_the_space(tmp_path):
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (32, 8, 8, 1)).astype("float32"), np.eye(3)[draw.integers(0, 3, 32)]
    model = keras_imgcls.HyperModel(SPACE, (8, 8, 1), 3, total_steps=8)
    tuner = keras_tuner.RandomSearch(model, "val_accuracy", max_trials=3, seed=1, directory=tmp_path)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert names == {"optimizer", "learning_rate", "momentum", "model", "batch_size"}
    tuner.search(images, labels, validation_data=(images, labels), epochs=1, verbose=0)
    assert all(trial.status == "COMPLETED" for trial in tuner.oracle.trials.values())


def test_weight_decay_is_that_of_the_optimizer():
    """L2 in the loss for sgd, decoupled for adamw, and neither on biases and norms."""
    hp = keras_tuner.HyperParameters()
    model = HyperModel(
        "optimizer=choice(sgd, adamw)", (8, 8, 1), 3, weight_decay=0.1, model="plain_cnn(width=2)"
    ).build(hp)
    kernels = sum(float(keras.ops.sum(v.value**2)) for v in model.trainable_variables if v.name == "kernel")
    assert float(sum(model.losses)) == pytest.approx(0.05 * kernels, rel=1e-5)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("optimizer", "adamw")
    other = HyperModel(
        "learning_rate=log(0.01, 0.1)", (8, 8, 1), 3, weight_decay=0.1, optimizer="adamw", model="plain_cnn(width=2)"
    )
    built = other.build(hp)
    assert not built.losses
    assert built.optimizer.weight_decay == 0.1


def test_what_a_plain_fit_has_not_is_refused():
    with pytest.raises(UserError, match="can't search --augment: bin/tune can"):
        HyperModel("augment=choice(none, standard)", (8, 8, 1), 3)
