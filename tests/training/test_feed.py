"""The clock around batches."""

import time

import numpy as np
import tensorflow as tf

from keras_imgcls.training.feed import timed


def test_each_batch_comes_with_the_time_that_was_waited_for_it():
    def slow(number):
        return tf.numpy_function(lambda: time.sleep(0.05) or np.int64(0), [], tf.int64) + number

    pairs = list(timed(tf.data.Dataset.range(3).map(slow)).as_numpy_iterator())
    assert [batch for batch, _ in pairs] == [0, 1, 2]
    assert all(wait >= 0.05 for _, wait in pairs)


def test_its_iterator_is_let_go_at_once():
    assert timed(tf.data.Dataset.range(3)).options().autotune.enabled is False
