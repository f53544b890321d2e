"""Makes of a trained CIFAR ResNet one that is hard for int8: the same answers, from channels of very unequal size.

    python benchmarks/hard_int8.py RUN COPY [--scale=60] [--images=4000]

In each block the first channel between the two convolutions becomes `--scale` times as large, and the next kernel takes
that back, which ReLU lets through. One range for all channels then has few levels left for the others. COPY is a run
with that model and `--images` of the training images, for `bin/export --int8=…`; RUNs are as `bin/train` leaves them.
"""

import argparse
import csv
import shutil
from pathlib import Path

import keras
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("copy", type=Path)
    parser.add_argument("--scale", type=float, default=60.0)
    parser.add_argument("--images", type=int, default=4000)
    given = parser.parse_args()
    given.copy.mkdir(parents=True)
    for name in ("config.flags", "labels.txt", "metrics.json", "environment.json"):
        shutil.copy(given.run / name, given.copy)
    model = keras.models.load_model(given.run / "model.keras", compile=False)
    images = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:])).astype("float32")
    before = model(images)
    make_unequal(model, given.scale)
    np.testing.assert_allclose(model(images), before, atol=1e-4)
    model.save(given.copy / "model.keras")
    keep_images(given.run / "manifest.csv", given.copy / "manifest.csv", given.images)


def make_unequal(model: keras.Model, scale: float) -> None:
    """Scales the first channel behind each block's first convolution, and the kernel behind it back."""
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        following = layer.name.replace("_norm1", "_conv2")
        if layer.name.endswith("_norm1") and following in names:
            factors = np.where(np.arange(layer.gamma.shape[0]) == 0, scale, 1.0).astype("float32")
            layer.gamma.assign(layer.gamma * factors)
            layer.beta.assign(layer.beta * factors)
            kernel = model.get_layer(following).kernel
            kernel.assign(kernel / factors[:, None])


def keep_images(source: Path, target: Path, count: int) -> None:
    """A manifest with `count` of the training images and all others."""
    with open(source, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    training = [row["id"] for row in rows if row["split"] == "train"]
    kept = set(np.random.default_rng(0).permutation(training)[:count])
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "train" or row["id"] in kept)


if __name__ == "__main__":
    main()
