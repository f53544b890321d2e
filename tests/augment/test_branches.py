"""Each sample goes through the operation that it drew."""

import numpy as np
import pytest
import tensorflow as tf

from keras_imgcls.augment.branches import each


@pytest.mark.parametrize("in_turn", [False, True])
def test_an_operation_runs_on_the_samples_that_chose_it_and_on_no_others(in_turn):
    seen = []

    def operation(number):
        def run(images, values):
            seen.append((number, images[:, 0, 0, 0].numpy().tolist(), values.numpy().tolist()))
            return images + np.uint8(50 * number)

        return run

    images = np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None, None, None], (6, 2, 2, 1))
    result = each(
        tf.constant([1, 0, 1, 2, 1, 0]),
        [operation(n) for n in range(4)],
        tf.constant(images),
        tf.range(6) * 10,
        in_turn=in_turn,
    )
    one_by_one = [(1, [0], [0]), (0, [1], [10]), (1, [2], [20]), (2, [3], [30]), (1, [4], [40]), (0, [5], [50])]
    buckets = [(0, [1, 5], [10, 50]), (1, [0, 2, 4], [0, 20, 40]), (2, [3], [30]), (3, [], [])]
    assert seen == (one_by_one if in_turn else buckets)
    assert result[:, 1, 1, 0].numpy().tolist() == [50, 1, 52, 103, 54, 5]
