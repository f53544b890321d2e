"""The plain network learns digits within seconds."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_imgcls.models import classifier


def test_it_reads_digits_that_it_has_not_seen():
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images, labels = digits.images[..., None] * (255 / 16), digits.target
    held_out = np.arange(len(labels)) % 5 == 0
    model = classifier.build("plain_cnn(width=16)", (8, 8, 1), 10)
    rates = keras.optimizers.schedules.CosineDecay(0.1, 8 * 23)
    model.compile(
        keras.optimizers.SGD(rates, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images[~held_out], labels[~held_out], 64, 8, verbose=0)
    accuracy = model.evaluate(images[held_out], labels[held_out], verbose=0)[1]
    assert accuracy > 0.97
