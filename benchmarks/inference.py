"""Latency and throughput of one network through every door: ours, Keras, SavedModel, TFLite, ONNX, PyTorch.

    python benchmarks/inference.py [--networks=resnet18,mobilenet_v2,efficientnet_lite0] [--photos=FOLDER] [--rounds=5]
    python benchmarks/inference.py --run_dir=RUN    # a trained run, with the accuracy of each on its held-out images

The networks have ImageNet's weights where `bin/models list` has them, else random ones. All take turns in every round,
in alternating order, on the same pixels; a turn is 0.3 seconds or two calls, so that all of it is to take ten minutes at
most on two quiet cores. A call goes from uint8 pixels in NumPy to probabilities in NumPy. TFLite files take one image at
a time, so a batch is that many calls of theirs. TensorFlow and PyTorch use all cores. `--photos` calibrates int8, and says
how often each door chooses Keras' class on other photos of the folder; without it calibration sees noise, which changes no
time. Random weights choose nothing worth comparing. int8 files are quantized after training, without remedies.

Printed as Markdown, and written to --output as JSON: p50 and p95 of a call, images/s, the size on disk, and how many
times as fast as `model.predict` (the range over rounds in brackets). The first table is the overhead: a network of one
small layer, whose own time is a few microseconds. Below a table stands which target was met: ten times less overhead than
`model.predict` at batch 1, int8 twice as fast as float32 in TFLite with at most a point of accuracy lost.
"""

import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from lock import exclusive

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.imagenet import class_names
from keras_imgcls.core.run import open_run
from keras_imgcls.evaluation.paired import drop_interval
from keras_imgcls.export import calibration
from keras_imgcls.export.formats import FORMATS
from keras_imgcls.export.reference import Reference, keras_probabilities, reference
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.exported import OnnxPredictor, SavedModelPredictor, TFLitePredictor
from keras_imgcls.inference.predictor import Predictor, load_pretrained, load_run
from keras_imgcls.inference.sources import find_images
from keras_imgcls.models import classifier

NETWORKS = flags.DEFINE_list("networks", ["resnet18", "mobilenet_v2", "efficientnet_lite0"], "Models by name.")
RUN_DIR = flags.DEFINE_string("run_dir", "", "A trained run in place of --networks.")
PHOTOS = flags.DEFINE_string("photos", "", "A folder of photos.")
BATCHES = flags.DEFINE_list("batches", ["1", "8", "32"], "Images per call.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "How often each takes its turn.")
SECONDS = flags.DEFINE_float("seconds", 0.3, "Length of a turn.")
OUTPUT = flags.DEFINE_string("output", "inference.json", "Where the numbers go as JSON.")
SIZE, LEAST_CALLS, CALIBRATION, PEER = 224, 2, 200, "model.predict"
OVERHEAD, INT8_SPEED, INT8_LOSS = 10, 2, 0.01  # targets: times, times, a fraction

Turn = Callable[[np.ndarray, int], list[float]]
Judge = Callable[
    [Callable], np.ndarray | None
]  # of a predictor, for each image: whether it is right, or chooses as Keras


def main(_) -> None:
    """Prints the machine and the tables."""
    logging.set_verbosity(logging.WARNING)
    results = {"machine": machine(), "rounds": ROUNDS.value, "seconds": SECONDS.value, "tables": []}
    print(results["machine"])
    began = time.perf_counter()
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        report(results, "overhead (one dense layer, 8 x 8 x 1)", tiny(), Path(folder) / "tiny", batches=[1])
        for number, (name, trained, judge) in enumerate(subjects()):
            batches = [int(batch) for batch in BATCHES.value]
            report(results, name, trained, Path(folder) / str(number), batches, judge)
    print(f"\nIn all {(time.perf_counter() - began) / 60:.1f} minutes.")
    Path(OUTPUT.value).write_text(json.dumps(results, indent=2) + "\n")


def subjects() -> Iterator[tuple[str, Trained, Judge]]:
    """Names, what to export, and what says how good a predictor is: (pixels -> probabilities) -> true for good answers."""
    if RUN_DIR.value:
        run = open_run(RUN_DIR.value)
        predictor = load_run(run.path)
        held_out = reference(run, predictor, 500)

        def right(predict: Callable) -> np.ndarray:
            return predict(held_out.images).argmax(axis=1) == held_out.truth

        yield f"{run.config.model} (trained; {held_out.split} images)", Trained(run, predictor), right
        return
    for network in NETWORKS.value:
        predictor, weights = imagenet(network)
        photos = sorted(find_images(PHOTOS.value))[::-1] if PHOTOS.value else []
        pixels = np.stack([predictor.read(path) for path in photos[: 2 * CALIBRATION]] or list(noise(8, predictor)))
        trained = unrun(predictor, pixels[::2])
        expected = predictor.predict(pixels[1::2]).argmax(axis=1)

        def agrees(predict: Callable, pixels=pixels, expected=expected) -> np.ndarray:
            return predict(pixels[1::2]).argmax(axis=1) == expected

        yield f"{network} ({weights} weights)", trained, agrees if PHOTOS.value and weights != "random" else nobody


def nobody(_: Callable) -> None:
    """Judges nothing."""


def imagenet(network: str) -> tuple[Predictor, str]:
    """The network with published weights, or with random ones."""
    try:
        return load_pretrained(network, "imagenet"), "ImageNet"
    except UserError:
        model = classifier.build(network, (SIZE, SIZE, 3), 1000)
        return Predictor(model, class_names()), "random"


def tiny() -> Trained:
    """A network that takes no time."""
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(10, name="logits")(keras.layers.Flatten()(image)))
    predictor = Predictor(model, [str(index) for index in range(10)])
    return unrun(predictor, noise(8, predictor))


def unrun(predictor: Predictor, pixels: np.ndarray) -> Trained:
    """What is exported without a run: calibrated with `pixels`, no remedies looked for."""
    trained = Trained(None, predictor, int8="post_training")
    trained.calibration = calibration.with_extremes(pixels)
    probabilities = keras_probabilities(predictor, pixels)
    trained.validation = Reference(
        "other", pixels, [], probabilities, probabilities.argmax(axis=1), predictor.class_names
    )
    return trained


def noise(count: int, predictor: Predictor) -> np.ndarray:
    """Random pixels of the model's size."""
    return np.random.default_rng(0).integers(0, 256, (count, *predictor.image_shape), np.uint8)


def report(results: dict, name: str, trained: Trained, folder: Path, batches: list[int], judge: Judge = nobody) -> None:
    """Measures one network at each batch size and prints a table for each."""
    with contextlib.ExitStack() as stack:
        turns, quality, size = contestants(trained, folder, judge, stack)
        for batch in batches:
            seconds = race(turns, noise(batch, trained.predictor))
            rows = {door: row(door, times, seconds[PEER], batch) for door, times in seconds.items()}
            shares = {door: float(good.mean()) for door, good in quality.items() if good is not None}
            table = {"network": name, "batch": batch, "rows": rows, "quality": shares, "bytes": size}
            table["targets"] = list(targets(name, batch, seconds, quality))
            results["tables"].append(table)
            print(markdown(table), flush=True)


def targets(
    name: str, batch: int, seconds: dict[str, list[list[float]]], quality: dict[str, np.ndarray | None]
) -> Iterator[str]:
    """Which targets were met, a sentence each."""
    if name.startswith("overhead"):
        yield told(f"ours has {{}} times less overhead than {PEER}", seconds["ours"], seconds[PEER], OVERHEAD)
    elif batch == 1:
        for threads in (1, 2):
            float32, int8 = (f"TFLite {kind}, threads: {threads}" for kind in ("float32", "int8"))
            speed = f"int8 is {{}} times as fast as float32 in TFLite with threads: {threads}"
            yield told(speed, seconds[int8], seconds[float32], INT8_SPEED)
        before, after = quality[float32], quality[int8]
        if before is None:
            yield "What int8 loses is not said: random weights, or no photos."
        else:
            low, high = drop_interval(before, after)
            lost = before.mean() - after.mean()
            met = "met" if lost <= INT8_LOSS else "missed" if low > INT8_LOSS else "missed, perhaps by chance"
            what = "loses" if "trained" in name else "chooses otherwise than float32, on balance, on"
            yield f"int8 {what} {lost:.2%} ({low:.2%} to {high:.2%}, {len(before)} images); target {INT8_LOSS:.0%}: {met}."


def told(sentence: str, own: list[list[float]], peer: list[list[float]], target: float) -> str:
    """`sentence` with the ratio over rounds, and whether it reaches `target`."""
    ratios = ratios_of(own, peer)
    median = float(np.median(ratios))
    met = "met" if median >= target else "missed"
    return f"{sentence.format(f'{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})')}; target {target}: {met}."


def ratios_of(own: list[list[float]], peer: list[list[float]]) -> list[float]:
    """How many times as fast as the peer, in each round, by medians."""
    return [float(np.median(theirs) / np.median(ours)) for ours, theirs in zip(own, peer, strict=True)]


def contestants(
    trained: Trained, folder: Path, judge: Judge, stack: contextlib.ExitStack
) -> tuple[dict[str, Turn], dict[str, np.ndarray | None], dict[str, int]]:
    """What takes turns, how good each is, and how large its file: by the name of the door."""
    predictor, quality, size = trained.predictor, {}, {}
    for name, form in FORMATS.items():
        if not form.extra or importlib.util.find_spec("tf2onnx"):
            FORMATS[name].write(trained, folder / form.path)

    def predict(images: np.ndarray) -> np.ndarray:
        return tf.nn.softmax(predictor.model.predict(images.astype(np.float32), verbose=0)).numpy()

    doors = {"ours": predictor.predict, PEER: predict}
    doors["SavedModel"] = SavedModelPredictor(folder / "saved_model" / "1").predict
    for kind in ("", "_float16", "_dynamic", "_int8"):
        for threads in (1, 2):
            door = f"TFLite {kind.strip('_') or 'float32'}, threads: {threads}"
            doors[door] = TFLitePredictor(folder / f"model{kind}.tflite", threads).predict
            size[door] = (folder / f"model{kind}.tflite").stat().st_size
    if (folder / "model.onnx").exists():
        for threads in (1, 2):
            door = f"onnxruntime, threads: {threads}"
            doors[door] = OnnxPredictor(folder / "model.onnx", threads).predict
            size[door] = (folder / "model.onnx").stat().st_size
    for door, answer in doors.items():
        quality[door] = judge(answer)
    turns = {door: timed(answer) for door, answer in doors.items()}
    if importlib.util.find_spec("torch"):
        turns["Keras on PyTorch"] = stack.enter_context(worker("keras", folder / "model.keras", folder))
    native = importlib.util.find_spec("efficientnet_lite_pytorch")
    if native and predictor.model.name.startswith("efficientnet_lite0"):
        turns["PyTorch, native"] = stack.enter_context(worker("lite0", "-", folder))
    return turns, quality, size


def timed(answer: Callable[[np.ndarray], np.ndarray]) -> Turn:
    """A turn: the seconds of each of so many calls."""

    def turn(images: np.ndarray, calls: int) -> list[float]:
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            answer(images)
            seconds.append(time.perf_counter() - began)
        return seconds

    return turn


@contextlib.contextmanager
def worker(kind: str, model: object, folder: Path) -> Iterator[Turn]:
    """A turn of `torch_worker.py`."""
    command = [sys.executable, str(Path(__file__).with_name("torch_worker.py")), kind, str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def turn(images: np.ndarray, calls: int) -> list[float]:
            np.save(folder / "images.npy", images)
            print(folder / "images.npy", calls, file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield turn
        process.stdin.close()


def race(turns: dict[str, Turn], images: np.ndarray) -> dict[str, list[list[float]]]:
    """Seconds per call of each, by round."""
    calls = {}
    for door, turn in turns.items():
        turn(images, LEAST_CALLS)
        calls[door] = max(LEAST_CALLS, int(SECONDS.value / np.median(turn(images, LEAST_CALLS))))
    seconds = {door: [] for door in turns}
    for number in range(ROUNDS.value):
        for door in list(turns)[:: 1 if number % 2 else -1]:
            seconds[door].append(turns[door](images, calls[door]))
    return seconds


def row(door: str, rounds: list[list[float]], peer: list[list[float]], batch: int) -> dict[str, float]:
    """The numbers of one door; `ratio` is how many times as fast as the peer, of medians of the same round."""
    every = np.concatenate(rounds) * 1e3
    ratios = ratios_of(rounds, peer)
    p50, p95 = np.percentile(every, [50, 95])
    return {
        "p50_ms": p50, "p95_ms": p95, "images_per_second": batch / p50 * 1e3, "calls": len(every),
        "ratio": float(np.median(ratios)), "ratio_low": min(ratios), "ratio_high": max(ratios),
    }  # fmt: skip


def markdown(table: dict) -> str:
    """One table, as RESULTS.md has them."""
    lines = [f"\n### {table['network']}, batch {table['batch']}\n"]
    good = "right" if "trained" in table["network"] else "chooses as Keras"
    lines.append(f"| door | p50, ms | p95, ms | images/s | times {PEER} | {good} | MB |")
    lines.append("|---|---|---|---|---|---|---|")
    for door, found in table["rows"].items():
        size = table["bytes"].get(door)
        cells = (
            door,
            f"{found['p50_ms']:.2f}",
            f"{found['p95_ms']:.2f}",
            f"{found['images_per_second']:,.0f}",
            f"{found['ratio']:.2f} ({found['ratio_low']:.2f} to {found['ratio_high']:.2f})",
            f"{table['quality'][door]:.2%}" if door in table["quality"] else "",
            f"{size / 1e6:.1f}" if size else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *table["targets"]])


def machine() -> str:
    """The processor and the versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    packages = {name: importlib.util.find_spec(name) for name in ("ai_edge_litert", "onnxruntime", "torch")}
    versions = ", ".join(f"{name} {version(name)}" for name, there in packages.items() if there)
    return (
        f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}; TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}, {versions}; {ROUNDS.value} rounds of {SECONDS.value:g} s"
    )


def version(package: str) -> str:
    """The installed version of a package, by the name of its module."""
    from importlib import metadata

    return metadata.version(package.replace("_", "-"))


if __name__ == "__main__":
    app.run(main)
