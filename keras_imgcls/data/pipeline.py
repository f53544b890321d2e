"""The pipeline: from a stream of ids to batches of pixels and labels, the same under any parallelism."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import tensorflow as tf

from keras_imgcls.data.decoding import cpu_tensor
from keras_imgcls.data.manifest import Manifest
from keras_imgcls.data.store import Store
from keras_imgcls.data.tuner import WORKERS, without_tuner


def batches(
    store: Store,
    manifest: Manifest,
    ids: np.ndarray,
    batch_size: int,
    augment: Callable | None = None,
    epoch: int = 0,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Batches of `(images, labels, ids)` in exactly the order of `ids`, prefetched.

    Images are uint8 of shape (batch, height, width, channels), labels float32 of shape (batch, classes), ids int64 of
    shape (batch,). A dataset is made for each epoch; that and its first batch take some 60 ms on two cores.

    Args:
        store: where the pixels are.
        manifest: where the labels are.
        ids: the samples, int64 of shape (n,), a sample as often as it is named.
        batch_size: images in a batch.
        augment: `(images, labels, ids, epoch) -> (images, labels)`, run here on whole batches.
        epoch: what `augment` is told.
        drop_remainder: whether a last batch that would be smaller is left out.
    """
    finish, all_labels = _finish(augment), cpu_tensor(manifest.labels)

    @tf.autograph.experimental.do_not_convert
    def step(images, batch_ids):
        return finish(images, batch_ids, all_labels, tf.constant(epoch, tf.int64))

    dataset = store.dataset(np.asarray(ids, np.int64), batch_size, drop_remainder)
    dataset = dataset.map(step, num_parallel_calls=WORKERS, deterministic=True)
    options = tf.data.Options()
    options.deterministic = True
    return without_tuner(dataset.prefetch(2).with_options(options))


@lru_cache(maxsize=8)
def _finish(augment: Callable | None) -> Callable:
    """The work on a batch as a traced function, kept so that an epoch's dataset does not trace it anew."""

    def finish(images, ids, all_labels, epoch):
        labels = tf.gather(all_labels, ids)
        if augment is not None:
            images, labels = augment(images, labels, ids, epoch)
        return images, labels, ids

    return tf.function(finish, autograph=False, reduce_retracing=True)
