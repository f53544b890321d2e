"""Prints the estimated and the measured bytes of three training steps: `peak.py FREEZE`."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.models import classifier
from keras_imgcls.training import fit, memory
from keras_imgcls.training.feed import Feed

SIZE, BATCH, IMAGES = 96, 32, 96


def batches(number, batch_size):
    images = np.zeros((IMAGES, SIZE, SIZE, 3), np.uint8)
    labels = np.eye(2, dtype=np.float32)[np.arange(IMAGES) % 2]
    return tf.data.Dataset.from_tensor_slices((images, labels, np.arange(IMAGES))).batch(batch_size)


def resident(kind):
    """Bytes: VmRSS now, VmHWM at most. `ru_maxrss` would be that of the process that started this one, were it larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


config = TrainConfig(
    dataset="digits", epochs=1, batch_size=BATCH, optimizer="adamw", learning_rate=0.001, mixed_precision="float32",
    xla="off", steps_per_execution=1, freeze=sys.argv[1], feature_views=1,
)  # fmt: skip
model = classifier.build("resnet50", (SIZE, SIZE, 3), 2)
feed = Feed(
    lambda epoch, first: batches(epoch, BATCH), IMAGES // BATCH, IMAGES, (SIZE, SIZE, 3), 2,
    view=lambda number: batches(number, 32), order=lambda epoch: np.arange(IMAGES),
)  # fmt: skip
need = memory.estimate(model, config, IMAGES).of(BATCH)
before = resident("VmRSS")
fit.fit(model, feed, config, dict)
print(int(need), resident("VmHWM") - before)
