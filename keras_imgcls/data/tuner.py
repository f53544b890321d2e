"""tf.data without its tuner, for every dataset that is gone through here."""

import os

import tensorflow as tf

WORKERS = min(os.cpu_count() or 1, 16)  # batches that are worked on at a time: each takes memory


def without_tuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset`, its parallelism as it is told (`AUTOTUNE`: one call for each core).

    Where the tuner runs (TensorFlow 2.21), an iterator that is let go often waits for the tuner's next look, 2.6, 5.1, 10.2 …
    seconds after it was made: an epoch of 6 seconds took 10.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
