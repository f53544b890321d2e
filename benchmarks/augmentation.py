"""Augmented images per second: ours, the layers of Keras, Pillow and albumentations image by image, in one run.

    bash bin/environment/launch benchmarks/augmentation.py [--rounds=5] [--only="RandAugment|crop, flip"]

Batches of smooth random pictures in RAM, 32 px (batch 512) and 224 px (batch 64), on all cores. Ours and the layers of
Keras run as `tf.data` maps them, a batch on each core, without its start; ours is compiled where that gives the same
pixels (hue apart), as `train` does where a run is long enough to pay for that. Pillow and albumentations (left out where it
isn't installed: `pip install albumentations`; on OpenCV, one thread) run in one process for each core, as a loader of
torchvision does; the start of processes and the transfer of results are not counted. A round runs each case once, in
turns; shown are medians over the rounds, with the smallest and the largest, and ratios taken within a round. At the
end stand the targets that were missed. All of it takes some 8 minutes.

What is compared is not always alike. keras.layers.RandAugment draws one operation for a batch and has 11 of its own;
RandomCrop draws one offset for a batch. Pillow's column has torchvision's operations, ranges and bilinear reading;
albumentations has no policies. mixup and CutMix of the latter two are NumPy's, on a batch.
"""

import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from lock import exclusive
from PIL import Image, ImageEnhance, ImageOps

ROUNDS = flags.DEFINE_integer("rounds", 5, "Runs of each case.")
ONLY = flags.DEFINE_string("only", "", "Names of rows, with | between them; all by default.")
SECONDS = flags.DEFINE_float("seconds", 0.5, "About how long a run takes.")
FILLED = 4  # batches until the pipeline has run full: one for each core, one ahead, one in hand
SIZES = ((32, 512), (224, 64))  # pixels, batch
PEERS = ("Keras", "Pillow", "albumentations")
NEVER_SLOWER = ("flip", "crop, flip", "cutout", "mixup", "CutMix")  # than any peer


def main(_) -> None:
    """Prints a table for each size."""
    with exclusive(), multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        import keras
        import tensorflow as tf

        missed = []
        print(f"{os.cpu_count()} cores, TensorFlow {tf.__version__}, Keras {keras.__version__}, {ROUNDS.value} rounds")
        for size, batch in SIZES:
            images = pictures(size, batch)
            wanted = ONLY.value.split("|") if ONLY.value else cases(size)
            print(f"\n{size} px, batch {batch}, images/s (smallest to largest)")
            print(f"{'':<16}{''.join(f'{name:>32}' for name in ('ours', *PEERS))}   ours is")
            for name in wanted:
                spec, layers, own = cases(size)[name]
                runs = {"ours": mapped(ours(spec), images)}
                if layers:
                    runs["Keras"] = mapped(chained(layers), images)
                for peer in PEERS[1:]:
                    if f"{peer.lower()}_{own}" in globals() and (peer == "Pillow" or importlib.util.find_spec(peer)):
                        runs[peer] = in_processes(pool, f"{peer.lower()}_{own}", images)
                rates = interleaved(runs, batch)
                print(report(name, rates), flush=True)
                missed += [f"{size} px, {name}: {text}" for text in misses(name, size, ratios(rates))]
        print("\nTargets missed:", *(missed or ["none"]), sep="\n  ")


def cases(size: int) -> dict[str, tuple]:
    """Name of a row: our spec, layers of Keras, the end of the names of this module's functions for the others."""
    from keras import layers

    pad = size // 8
    translation = layers.RandomTranslation(1 / 8, 1 / 8, fill_mode="reflect", interpolation="nearest")
    box = {"factor": 1.0, "scale": (1 / 16, 1 / 16), "fill_value": 128}
    return {
        "flip": ("flip", [layers.RandomFlip("horizontal")], "flip"),
        "crop, flip": (f"pad_crop({pad})|flip", [translation, layers.RandomFlip("horizontal")], "crop_flip"),
        "cutout": (f"cutout({size // 4})", [layers.RandomErasing(**box)], "cutout"),
        "rotation": ("rotate(15)", [layers.RandomRotation(15 / 360, "constant")], "rotation"),
        "resized crop": ("random_resized_crop(scale=(0.3, 1))", None, "resized_crop"),
        "brightness": ("brightness(0.4)", [layers.RandomBrightness(0.4)], "brightness"),
        "contrast": ("contrast(0.4)", [layers.RandomContrast(0.4)], "contrast"),
        "saturation": ("saturation(0.4)", [layers.RandomSaturation(0.4)], "saturation"),
        "hue": ("hue(0.1)", [layers.RandomHue(0.1, value_range=(0, 255))], "hue"),
        "RandAugment": ("randaugment(2, 9)", [layers.RandAugment((0, 255), 2, 0.3)], "randaugment"),
        "TrivialAugment": ("trivial_augment", None, "trivial_augment"),
        "AutoAugment": ("autoaugment", None, None),
        "mixup": ("mix: mixup(0.2)", [layers.MixUp(0.2)], "mixup"),
        "CutMix": ("mix: cutmix(1.0)", [layers.CutMix(1.0)], "cutmix"),
    }


def pictures(size: int, batch: int) -> np.ndarray:
    """Smooth random pictures."""
    coarse = np.random.default_rng(0).integers(0, 256, (batch, 8, 8, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), Image.BICUBIC)) for image in coarse])


def ours(spec: str) -> Callable:
    """Our augmentation, or mix, as a function of images and ids."""
    import tensorflow as tf

    from keras_imgcls.augment import mix, sequence

    kind, _, rest = spec.rpartition(": ")
    augment = (mix.build_mix if kind == "mix" else sequence.build)(rest, 0, compiled=True)

    def call(images, ids):
        return augment(images, tf.one_hot(ids % 10, 10), ids, tf.constant(0, tf.int64))[0]

    return call


def chained(layers: list) -> Callable:
    """Layers of Keras, on images and, for those that mix, labels."""
    import tensorflow as tf

    def call(images, ids):
        for layer in layers:
            if type(layer).__name__ in ("MixUp", "CutMix"):
                labels = tf.one_hot(ids % 10, 10)
                images = layer({"images": tf.cast(images, tf.float32), "labels": labels}, training=True)["images"]
            else:
                images = layer(images, training=True)
        return images

    return call


def mapped(augment: Callable, images: np.ndarray) -> Callable[[int], float]:
    """A run of so many batches through `tf.data`, which gives its seconds: start and end find it as full of work."""
    import tensorflow as tf

    pixels, ids = tf.constant(images), tf.range(len(images), dtype=tf.int64)
    step = tf.function(lambda number: augment(pixels, ids + number * len(images)))
    step(tf.constant(0, tf.int64))  # traced once, before any clock starts

    dataset = tf.data.Dataset.range(2**40).map(step, os.cpu_count()).prefetch(1)

    def run(batches: int) -> float:
        iterator = iter(dataset)
        for _ in range(FILLED):
            next(iterator)
        began = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        return time.perf_counter() - began

    return run


def in_processes(pool, name: str, images: np.ndarray) -> Callable[[int], float]:
    """A run of so many batches in all processes: the mean of the seconds that each took for its share."""

    def run(batches: int) -> float:
        parts = np.array_split(images, os.cpu_count())
        return statistics.mean(pool.starmap(process_seconds, [(name, part, batches) for part in parts], chunksize=1))

    return run


def interleaved(runs: dict[str, Callable], batch: int) -> dict[str, list[float]]:
    """Images per second of each run in each round; a first one finds how many batches fill the time."""
    counts = {name: max(3, round(SECONDS.value / (run(3) / 3))) for name, run in runs.items()}
    rates = {name: [] for name in runs}
    for _ in range(ROUNDS.value):
        for name, run in runs.items():
            rates[name].append(counts[name] * batch / run(counts[name]))
    return rates


def report(row: str, rates: dict[str, list[float]]) -> str:
    """One line of the table."""
    cells = []
    for name in ("ours", *PEERS):
        values = rates.get(name)
        text = f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})" if values else "-"
        cells.append(f"{text:>32}")
    return f"{row:<16}{''.join(cells)}   {', '.join(f'{ratio:.1f} x {name}' for name, ratio in ratios(rates).items())}"


def ratios(rates: dict[str, list[float]]) -> dict[str, float]:
    """By peer: the median over rounds of how many times as fast ours is."""
    return {
        name: statistics.median(a / b for a, b in zip(rates["ours"], values, strict=True))
        for name, values in rates.items()
        if name != "ours"
    }


def misses(row: str, size: int, ratios: dict[str, float]) -> list[str]:
    """The targets that a row misses."""
    wanted = {"Pillow": 5 if size == 32 else 1}
    if row in NEVER_SLOWER:
        wanted = {"Keras": 1, "albumentations": 1, **wanted}
    if row == "RandAugment":
        wanted["Keras"] = 10
    return [
        f"{ratios[peer]:.1f} x {peer}, {least} wanted"
        for peer, least in wanted.items()
        if peer in ratios and ratios[peer] < least
    ]


def process_seconds(name: str, images: np.ndarray, batches: int) -> float:
    """The time of one process for its part of `batches` batches: array to picture, operation, picture to array."""
    peer, _, own = name.partition("_")
    random = np.random.default_rng()
    if own in ("mixup", "cutmix"):
        operation = globals()[name]
    elif peer == "pillow":
        operation = partial(one_by_one, lambda image: np.asarray(globals()[name](Image.fromarray(image), random)))
    else:
        import cv2

        cv2.setNumThreads(1)
        transform = globals()[name](images.shape[1])
        operation = partial(one_by_one, lambda image: transform(image=image)["image"])
    operation(images)
    began = time.perf_counter()
    for _ in range(batches):
        operation(images)
    return time.perf_counter() - began


def one_by_one(operation: Callable, images: np.ndarray) -> np.ndarray:
    return np.stack([operation(image) for image in images])


def pillow_mixup(images):
    share = np.random.default_rng().beta(0.2, 0.2, (len(images), 1, 1, 1)).astype(np.float32)
    return (share * images + (1 - share) * np.roll(images, 1, axis=0)).astype(np.uint8)


def pillow_cutmix(images):
    random, size, result = np.random.default_rng(), images.shape[1], images.copy()
    for number, side in enumerate((np.sqrt(1 - random.random(len(images))) * size).astype(int)):
        top, left = random.integers(0, size, 2) - side // 2
        box = (slice(max(top, 0), max(top + side, 0)), slice(max(left, 0), max(left + side, 0)))
        result[number][box] = images[number - 1][box]
    return result


def pillow_cutout(image, random):
    side = image.width // 4
    left, top = random.integers(0, image.width, 2) - side // 2
    image = image.copy()
    image.paste((128,) * 3, (int(left), int(top), int(left) + side, int(top) + side))
    return image


def pillow_hue(image, random):
    hue, saturation, value = image.convert("HSV").split()
    turned = Image.fromarray(np.asarray(hue) + np.uint8(random.integers(-25, 26) % 256))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def pillow_flip(image, random):
    return image.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def pillow_crop_flip(image, random):
    pad, width, height = image.width // 8, *image.size
    left, top = random.integers(0, 2 * pad + 1, 2)
    return pillow_flip(ImageOps.expand(image, pad).crop((left, top, left + width, top + height)), random)


def pillow_rotation(image, random):
    return image.rotate(random.uniform(-15, 15), Image.BILINEAR, fillcolor=(128,) * 3)


def pillow_resized_crop(image, random):
    size = image.width
    side = size * random.uniform(0.3, 1) ** 0.5
    left, top = random.uniform(0, size - side, 2)
    return image.resize(image.size, Image.BILINEAR, (left, top, left + side, top + side))


def pillow_brightness(image, random):
    return ImageEnhance.Brightness(image).enhance(random.uniform(0.6, 1.4))


def pillow_contrast(image, random):
    return ImageEnhance.Contrast(image).enhance(random.uniform(0.6, 1.4))


def pillow_saturation(image, random):
    return ImageEnhance.Color(image).enhance(random.uniform(0.6, 1.4))


def pillow_randaugment(image, random):
    for _ in range(2):
        image = one_of_14(image, random.integers(14), 0.3 * random.choice((-1, 1)), False)
    return image


def pillow_trivial_augment(image, random):
    return one_of_14(image, random.integers(14), random.integers(31) / 30 * random.choice((-1, 1)), True)


def one_of_14(image, number: int, strength: float, wide: bool):
    """Torchvision's operations; `strength` is a part of the range, with a sign."""
    grey, slant = (128,) * 3, strength * (0.99 if wide else 0.3)
    shift = int(strength * (32 if wide else 150 / 331 * image.width))
    matrices = {
        1: (1, slant, 0, 0, 1, 0),
        2: (1, 0, 0, slant, 1, 0),
        3: (1, 0, shift, 0, 1, 0),
        4: (1, 0, 0, 0, 1, shift),
    }
    enhancers = {6: "Brightness", 7: "Color", 8: "Contrast", 9: "Sharpness"}
    if number in matrices:
        return image.transform(image.size, Image.AFFINE, matrices[number], Image.BILINEAR, fillcolor=grey)
    if number in enhancers:
        return getattr(ImageEnhance, enhancers[number])(image).enhance(1 + strength * (0.99 if wide else 0.9))
    if number == 5:
        return image.rotate(strength * (135 if wide else 30), Image.BILINEAR, fillcolor=grey)
    if number == 10:
        return ImageOps.posterize(image, 8 - round(abs(strength) * (6 if wide else 4)))
    if number == 11:
        return ImageOps.solarize(image, 255 * (1 - abs(strength)))
    return {0: lambda image: image, 12: ImageOps.autocontrast, 13: ImageOps.equalize}[number](image)


def albumentations_flip(size):
    import albumentations

    return albumentations.Compose([albumentations.HorizontalFlip(p=0.5)])


def albumentations_crop_flip(size):
    import albumentations as a

    padded = size + 2 * (size // 8)
    return a.Compose([a.PadIfNeeded(padded, padded), a.RandomCrop(size, size), a.HorizontalFlip(p=0.5)])


def albumentations_cutout(size):
    import albumentations as a

    side = (size // 4, size // 4)
    return a.Compose([a.CoarseDropout((1, 1), side, side, fill=128, p=1)])


def albumentations_rotation(size):
    import albumentations as a

    return a.Compose([a.Rotate((-15, 15), fill=128, p=1)])


def albumentations_resized_crop(size):
    import albumentations as a

    return a.Compose([a.RandomResizedCrop((size, size), scale=(0.3, 1), p=1)])


def albumentations_brightness(size):
    return _jitter(brightness=(0.6, 1.4))


def albumentations_contrast(size):
    return _jitter(contrast=(0.6, 1.4))


def albumentations_saturation(size):
    return _jitter(saturation=(0.6, 1.4))


def albumentations_hue(size):
    return _jitter(hue=(-0.1, 0.1))


def _jitter(**given):
    import albumentations as a

    none = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
    return a.Compose([a.ColorJitter(**{**none, **given}, p=1)])


if __name__ == "__main__":
    app.run(main)
