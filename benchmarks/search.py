"""Wall-clock to a validation accuracy: bin/tune against keras_tuner.Hyperband and RandomSearch, used as documented.

    bash bin/environment/launch benchmarks/search.py --data_dir=CIFAR           (15 minutes on two quiet cores)
    bash bin/environment/launch benchmarks/search.py --data_dir=CIFAR --seeds=3 --minutes=30

The same space, model, images, split, batch size and seeds for all, no augmentation; theirs through
`keras_imgcls.HyperModel`, which builds and compiles the same network with the same schedule in stock Keras. Each contestant
runs in a process of its own, one after the other, until a trial's epoch ends with the target (or for --minutes). Told are
seconds from the start of the process (ours with the timing of precisions), builds of models, traces of the training step,
epochs trained, and bytes written, and at the end how often as fast ours was, in the median and over the seeds.

What it depends on: a low target is reached by the first good trial, which random search trains on at once, while halving
looks at others first; the nearer the target to the best that the space holds, the more halving wins. Where an epoch is short
against building and tracing a model (digits: 0.1 s against 2 s), each rung of a trial costs more than its epochs.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from lock import exclusive

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import table
from keras_imgcls.tuning.journal import Journal

DATASET = flags.DEFINE_string("dataset", "cifar10", "A dataset by name.")
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where it lies.")
MODEL = flags.DEFINE_string("model", "resnet20", "A model by name.")
FRACTION = flags.DEFINE_float("fraction", 0.1, "The part of the training images that is used.")
SPACE = flags.DEFINE_string("search", "learning_rate=log(1e-3, 3); weight_decay=log(1e-5, 1e-2)", "The space.")
BATCH = flags.DEFINE_integer("batch_size", 64, "Images per step.")
EPOCHS = flags.DEFINE_integer("max_epochs", 27, "Epochs of a trial that is trained to the end.")
TARGET = flags.DEFINE_float("target", 0.5, "The validation accuracy to be reached.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Searches of each contestant.")
MINUTES = flags.DEFINE_float("minutes", 10.0, "When a search that has not come there is given up.")
ONLY = flags.DEFINE_list("only", [], "Contestants; all by default.")
CONTESTANT = flags.DEFINE_string("contestant", "", "Used by the benchmark itself: run one of theirs.")
SEED = flags.DEFINE_integer("seed", 0, "Used by the benchmark itself.")

OURS, THEIRS = "asha", ("Hyperband", "RandomSearch")
WANTED = {"Hyperband": 3.0}  # how many times as fast ours is to be
COLUMNS = ("contestant", "seed", "seconds", "reached", "builds", "traces", "epochs", "MB written")
# Counts in every process of a search that imports it.
COUNTER = """
import keras
from keras_imgcls.models import classifier
from keras_imgcls.training.learner import Learner

def count(owner, name, word):
    original = getattr(owner, name)
    def counted(*arguments, **options):
        with open({path!r}, "a") as file:
            file.write(word + "\\n")
        return original(*arguments, **options)
    setattr(owner, name, counted)

count(classifier, "build", "build")
count(Learner, "train_step", "trace")
count(keras.Model, "train_step", "trace")
"""


def main(_) -> None:
    """Runs everybody and prints what each took, and the ratios of the medians."""
    if CONTESTANT.value:
        theirs()
        return
    rows, names = [], [name for name in (OURS, *THEIRS) if not ONLY.value or name in ONLY.value]
    with exclusive():
        for seed in range(SEEDS.value):
            for name in names[:: 1 if seed % 2 else -1]:
                rows.append(contest(name, seed))
                print("  ".join(str(cell) for cell in rows[-1].values()), file=sys.stderr, flush=True)
    print(table([row.values() for row in rows], COLUMNS))
    for name in THEIRS:
        tell(name, {(row["contestant"], row["seed"]): row for row in rows})


def tell(name: str, rows: dict[tuple[str, int], dict]) -> None:
    """Prints how many times as fast as contestant `name` ours was, within each seed, and what holds that back."""
    seeds = [seed for contestant, seed in rows if contestant == name and (OURS, seed) in rows]
    if not seeds:
        return
    ratios = [rows[name, seed]["seconds"] / rows[OURS, seed]["seconds"] for seed in seeds]
    late = {who: sum(rows[who, seed]["reached"] < TARGET.value for seed in seeds) for who in (OURS, name)}
    told = [
        f"asha came to {TARGET.value:.0%} {statistics.median(ratios):.1f} times as fast as {name} "
        f"({min(ratios):.1f} to {max(ratios):.1f} over {len(ratios)} seeds)"
    ]
    told += [
        f"{who} never came there in {count}, so that it is {bound} this"
        for (who, count), bound in zip(late.items(), ("at most", "at least"), strict=True)
        if count
    ]
    if name in WANTED:
        met = statistics.median(ratios) >= WANTED[name] and not late[OURS]
        told.append(f"wanted are {WANTED[name]:g} times: {'reached' if met else 'MISSED'}")
    print("; ".join(told))


def contest(name: str, seed: int) -> dict:
    """One search of one contestant, to the target or the end of its time."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        counts = Path(folder) / "counts.txt"
        counts.touch()
        (Path(folder) / "counter.py").write_text(COUNTER.format(path=str(counts)), encoding="utf-8")
        began = time.perf_counter()
        process = subprocess.Popen(
            command(name, seed), cwd=folder, stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(Path(__file__).parents[1])])},
        )  # fmt: skip
        progress, heard, written = Path(folder) / "search" / "journal.jsonl", [], {}
        while process.poll() is None and time.perf_counter() - began < 60 * MINUTES.value:
            written |= bytes_written(process.pid)
            heard = epochs(progress)
            if heard and max(heard) >= TARGET.value:
                break
            time.sleep(0.1)
        seconds = time.perf_counter() - began
        process.terminate()  # ours ends its workers too
        process.wait()
        words = counts.read_text().split()
        reached = max(heard, default=0.0)
        return dict(zip(COLUMNS, (
            name, seed, round(seconds, 1), round(reached, 4), words.count("build"), words.count("trace"), len(heard),
            round(sum(written.values()) / 1e6, 1),
        ), strict=True))  # fmt: skip


def command(name: str, seed: int) -> list[str]:
    """How a contestant is started, in the folder of the benchmark."""
    shared = [
        f"--dataset={DATASET.value}", f"--data_dir={DATA_DIR.value and Path(DATA_DIR.value).resolve()}", f"--model={MODEL.value}",
        f"--fraction={FRACTION.value}", f"--search={SPACE.value}", f"--batch_size={BATCH.value}", f"--max_epochs={EPOCHS.value}",
        f"--seed={seed}",
    ]  # fmt: skip
    if name == OURS:
        more = [f"--tuner={name}", "--max_trials=81", "--augment=none", "--plugin=counter", "--run_dir=search"]
        return [sys.executable, "-m", "keras_imgcls", "tune", *shared, *more]
    return [sys.executable, str(Path(__file__).resolve()), f"--contestant={name}", *shared]


def epochs(path: Path) -> list[float]:
    """The validation accuracy of every epoch that was trained so far."""
    return [event["metrics"]["val_accuracy"] for event in Journal(path).events() if event["event"] == "epoch"]


def bytes_written(process: int) -> dict[int, int]:
    """Bytes written by a process and each of its descendants (Linux), by their ids."""
    path, found = Path(f"/proc/{process}"), {}
    with contextlib.suppress(OSError):
        found[process] = int(dict(line.split(": ") for line in (path / "io").read_text().splitlines())["wchar"])
        for thread in path.glob("task/*/children"):  # a child is listed with the thread that started it
            for child in thread.read_text().split():
                found |= bytes_written(int(child))
    return found


def theirs() -> None:
    """A search by keras-tuner, in this process; each epoch is noted where `contest` looks."""
    import counter  # noqa: F401
    import keras
    import keras_tuner

    import keras_imgcls
    from keras_imgcls.experiment import parts

    config = TrainConfig(dataset=DATASET.value, data_dir=DATA_DIR.value, fraction=FRACTION.value, seed=SEED.value)
    samples = parts.load_data(config, SEED.value)
    ids = {split: samples.manifest.ids(split) for split in ("train", "validation")}
    images, labels = (
        {split: array[ids[split]] for split in ids} for array in (samples.images, samples.manifest.labels)
    )
    steps = EPOCHS.value * -(-len(ids["train"]) // BATCH.value)
    model = keras_imgcls.HyperModel(
        SPACE.value, samples.own_shape, len(samples.manifest.class_names), total_steps=steps, model=MODEL.value
    )
    options = {"objective": "val_accuracy", "seed": SEED.value + 1, "directory": "theirs"}
    if CONTESTANT.value == "Hyperband":
        tuner = keras_tuner.Hyperband(model, max_epochs=EPOCHS.value, factor=3, **options)
    else:
        tuner = keras_tuner.RandomSearch(model, max_trials=81, **options)
    tuner.search(
        images["train"].astype("float32"), labels["train"], validation_data=(images["validation"], labels["validation"]),
        epochs=EPOCHS.value, batch_size=BATCH.value, verbose=0, callbacks=[noting(keras)],
    )  # fmt: skip


def noting(keras):
    """A callback that keras-tuner can copy, and that leaves a line an epoch."""

    class Noting(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            folder = Path("search")
            folder.mkdir(exist_ok=True)
            with open(folder / "journal.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"event": "epoch", "metrics": {"val_accuracy": logs["val_accuracy"]}}) + "\n")

    return Noting()


if __name__ == "__main__":
    app.run(main)
