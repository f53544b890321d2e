"""What oneDNN is worth on this processor: training and inference with it, as the package asks for it, and without.

    bash bin/environment/launch benchmarks/onednn.py [--rounds=9] [--seconds=3]

TensorFlow chooses once for a process, so that each contestant is one, which waits while the other takes its turn, in
alternating order. Both train and run the fast view of `accelerate` in float32, on random pixels. Ratios within a round,
their median and range. Where TensorFlow itself turns oneDNN on (AVX-512 VNNI, AVX-VNNI, AMX), the package changes nothing.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import turns
from absl import app, flags
from lock import exclusive

ROUNDS = flags.DEFINE_integer("rounds", 9, "How often each takes its turn.")
SECONDS = flags.DEFINE_float("seconds", 3.0, "How long a turn is, half of it inference.")
WORKER = flags.DEFINE_string("worker", "", "NETWORK: be one of the contestants.")
NETWORKS = {  # image size, batch size
    "resnet20": (32, 128),
    "vgg11_bn(width=32)": (32, 128),
    "mobilenet_v2(width=0.35)": (32, 128),
    "resnext50_32x4d(width=16, depths=(1, 1, 1, 1), groups=8)": (32, 128),
    "efficientnet_lite0": (224, 16),
    "resnet18": (224, 16),
}
COLUMNS = ("without, images/s", "with", "ratio (range)")


def main(_) -> None:
    """Prints a table: speeds, and the ratios."""
    if WORKER.value:
        work(WORKER.value)
        return
    header = ("network", "size", *(f"{what} {which}" for what in ("training", "inference") for which in COLUMNS))
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    with exclusive():
        for network in NETWORKS:
            print(row(network), flush=True)


def row(network: str) -> str:
    """Both contestants' turns with a network, as Markdown."""
    workers = {choice: turns.start(__file__, network, SECONDS.value, TF_ENABLE_ONEDNN_OPTS=choice) for choice in "01"}
    speeds = {choice: [] for choice in workers}
    for turn in range(ROUNDS.value + 1):
        for choice in list(workers)[:: 1 if turn % 2 else -1]:
            speeds[choice].append(turns.take(workers[choice]))
    for worker in workers.values():
        turns.end(worker)
    off, on = (np.array(speeds[choice][1:]) for choice in "01")  # the first turn warms up
    cells = [f"`{network}`", f"{NETWORKS[network][0]} px"]
    for without, with_it in zip(off.T, on.T, strict=True):
        ratios = with_it / without
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        cells += [f"{np.median(without):,.0f}", f"{np.median(with_it):,.0f}", spread]
    return f"| {' | '.join(cells)} |"


def work(network: str) -> None:
    """Trains and runs for a turn at each line of standard input, and prints the speeds."""
    import keras_imgcls
    from keras_imgcls.training.acceleration import training_step

    size, batch = NETWORKS[network]
    shape = (batch, size, size, 3)
    view = keras_imgcls.accelerate(keras_imgcls.build(network, shape[1:], 10), "float32")
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    train = training_step(view, shape, view.trainable_variables)
    actions = [train, lambda: view.predict_on_batch(pixels)]
    for action in actions:
        action()
    turns.serve(lambda: [speed(action, batch, SECONDS.value / 2) for action in actions])


def speed(action, batch: int, seconds: float) -> float:
    """Images/s of an action that takes a batch; twice at least."""
    done, began = 0, time.perf_counter()
    while done < 2 or time.perf_counter() - began < seconds:
        action()
        done += 1
    return done * batch / (time.perf_counter() - began)


if __name__ == "__main__":
    app.run(main)
