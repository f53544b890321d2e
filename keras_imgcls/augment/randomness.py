"""Uniforms as a pure function of (run seed, epoch, sample id, draw).

No state that batches, workers or devices could share out differently: a number is the hash of its address. The hash is
pcg4d (Jarzynski & Olano 2020, "Hash Functions for GPU Rendering", JCGT 9(3)), a bijection of four words of 32 bits, two
dozen integer operations on a whole batch.
"""

import numpy as np
import tensorflow as tf

from keras_imgcls.core.errors import UserError


def pcg4d(words: tf.Tensor) -> tf.Tensor:
    """The hash of uint32 words of shape (…, 4), in the same shape: other words, another hash."""
    words = _mixed(words * 1664525 + 1013904223)
    return _mixed(words ^ tf.bitwise.right_shift(words, tf.constant(16, tf.uint32)))


def _mixed(words: tf.Tensor) -> tf.Tensor:
    x, y, z, w = tf.unstack(words, axis=-1)
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    return tf.stack([x, y, z, w], axis=-1)


def stream(seed: int, operation: int) -> np.ndarray:
    """The key of one operation's draws, uint32 of shape (4,): no two of (seed, operation below 2^32) have the same.

    Raises:
        UserError: the seed is negative or has more than 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise UserError(f"A seed is a whole number from 0 to 2^64 - 1; received {seed}.")
    with tf.init_scope():  # a value, even where a graph is being built
        return pcg4d(tf.constant([seed % 2**32, seed >> 32, operation, 0], tf.uint32)).numpy()


class Draws:
    """The random numbers of one operation for a batch. Each call gives the next ones, as a generator does.

    Attributes:
        ids: int64 of shape (batch,), the samples.
        epoch: int64 scalar.
        in_turn: whether what samples draw is done to one after the other; see `branches.each`.
    """

    def __init__(self, key: np.ndarray, ids: tf.Tensor, epoch: int | tf.Tensor, in_turn: bool = False) -> None:
        """Stores the operation's key (see `stream`), the samples' ids and the epoch (below 2^32); draws nothing."""
        self.ids, self.epoch, self._key = tf.cast(ids, tf.int64), tf.cast(epoch, tf.int64), key
        self.in_turn = in_turn
        self._blocks = 0

    def uniform(self, count: int) -> tf.Tensor:
        """The next `count` numbers of each sample: float32 of shape (batch, count), multiples of 2^-24 in [0, 1)."""
        blocks = -(-count // 4)  # a hash is four numbers; what is left of the last one is dropped
        keys = np.tile(self._key, (blocks, 1))
        keys[:, 3] ^= np.arange(
            self._blocks, self._blocks + blocks, dtype=np.uint32
        )  # a free word: epochs have 32 bits
        self._blocks += blocks
        address = tf.stack([self.ids, tf.zeros_like(self.ids) + self.epoch], axis=1)
        words = pcg4d(tf.reshape(tf.bitcast(address, tf.uint32), [-1, 1, 4]) ^ keys)
        numbers = tf.bitwise.right_shift(words, tf.constant(8, tf.uint32))
        return (tf.cast(tf.reshape(numbers, [-1, 4 * blocks]), tf.float32) * 2.0**-24)[:, :count]

    def integers(self, low: int, high: int | tuple[int, ...], count: int = 1) -> tf.Tensor:
        """The next `count` whole numbers from `low` to `high`, both included: int32 of shape (batch, count).

        `high` may be one for each of them. Numbers are equally likely to within (high - low + 1) / 2^24. The product
        below never rounds up to its bound.
        """
        span = np.array(high, np.float32) - low + 1
        return tf.cast(self.uniform(count) * span, tf.int32) + low

    def in_epoch(self, epoch: int) -> "Draws":
        """The same operation's numbers of another epoch, from the first draw on."""
        return Draws(self._key, self.ids, epoch, self.in_turn)

    def of_the_first(self) -> "Draws":
        """Numbers that the whole batch shares: those of its first sample."""
        return Draws(self._key, tf.zeros_like(self.ids) + self.ids[:1], self.epoch, self.in_turn)
