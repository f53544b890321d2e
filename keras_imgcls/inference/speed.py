"""Speed: how fast models train and answer on this machine, measured side by side."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_imgcls.inference import serving
from keras_imgcls.training.acceleration import accelerate, available_precisions, training_step

TURN = 0.5  # seconds that a turn takes at least


@dataclass(frozen=True)
class Speed:
    """Images/s of a model at one `task`: the median of the rounds, the slowest and the fastest of them."""

    model: str
    task: str
    median: float
    least: float
    greatest: float


def compare(models: Mapping[str, keras.Model], batch_size: int, rounds: int) -> list[Speed]:
    """The speeds of training, in each precision that this machine has hardware for, and of inference.

    Training is a step of plain SGD in the training view, on random pixels that lie ready: no reading, no augmentation.
    Inference is the frozen float32 graph that `bin/predict` uses, on `batch_size` images and on one. The weights of the
    models change.

    Args:
        models: functional models in float32 by what they are called.
        batch_size: images in a step.
        rounds: how often each takes its turn of half a second; the order alternates, so that a drift hits all alike.
    """
    contestants = {}
    for name, model in models.items():
        shape = (batch_size, *model.input_shape[1:])
        for precision in available_precisions():
            step = training_step(accelerate(model, precision), shape, model.trainable_variables)
            contestants[name, f"training, {precision}"] = step, batch_size
        answer = serving.freeze(model)
        for count in sorted({1, batch_size}, reverse=True):
            task = "inference, one image" if count == 1 else "inference"
            contestants[name, task] = _asked(answer, (count, *shape[1:])), count
    return [
        Speed(*key, statistics.median(speeds), min(speeds), max(speeds))
        for key, speeds in race(contestants, rounds, TURN).items()
    ]


def race(
    contestants: Mapping[tuple[str, str], tuple[Callable[[], object], int]], rounds: int, turn: float
) -> dict[tuple[str, str], list[float]]:
    """Images/s of each in each round.

    Args:
        contestants: a function that does one step and gives an array of the result, and how many images a step has.
        rounds: how often each takes its turn.
        turn: seconds that a turn takes at least; a step that is longer is a turn by itself.
    """
    steps = {key: _steps_in(turn, step) for key, (step, _) in contestants.items()}
    speeds: dict[tuple[str, str], list[float]] = {key: [] for key in contestants}
    for number in range(rounds):
        for key in list(contestants)[:: -1 if number % 2 else 1]:
            step, images = contestants[key]
            speeds[key].append(images * steps[key] / _seconds(step, steps[key]))
    return speeds


def _steps_in(seconds: float, step: Callable[[], object]) -> int:
    """How many steps take `seconds`, by the second one: the first is traced."""
    step()
    return max(1, round(seconds / _seconds(step, 1)))


def _seconds(step: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        step()
    return time.perf_counter() - began


def _asked(answer: Callable, shape: Sequence[int]) -> Callable[[], np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return lambda: answer(images)[1].numpy()
