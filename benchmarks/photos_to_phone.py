"""From a folder of photos to a file for phones, by the clock: train, export and its gate, as one user's story.

    bash bin/environment/launch benchmarks/photos_to_phone.py --data_dir=flowers       (on a quiet machine)

It runs the two commands of README, `train --flagfile=photos.flags` and `export`, in processes of their own, times them and
the stages between the lines that they print, and then, off the clock, holds the int8 file against the Keras model on the
same held-out photos (paired). The environment is there already, ImageNet's weights with it. The target is three minutes
on two cores, of which the recipe's own `--max_minutes` gives two to training; a miss is said. Ends with a row for RESULTS.md.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from lock import exclusive

from keras_imgcls.core.run import Run
from keras_imgcls.evaluation.intervals import wilson
from keras_imgcls.evaluation.paired import drop_interval

DATA_DIR = flags.DEFINE_string("data_dir", None, "A folder of photos in class folders.", required=True)
RUN_DIR = flags.DEFINE_string("run_dir", "", "Where the run goes; empty: it is deleted in the end.")
TARGET = 180  # seconds

# A stage begins with the first line that has this in it.
STAGES = {
    "train": {"start, choose precision and epochs": "", "read photos, weights, features": "first weights:", "train": "epoch 1/"},
    "export": {"start": "", "write": "writing …", "gate": "answering"},
}  # fmt: skip

Stages = dict[str, float]


def main(_) -> None:
    """Runs both commands and prints their stages, the accuracies and a row."""
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        run = Run(Path(RUN_DIR.value or Path(folder) / "run").resolve())
        began = time.perf_counter()
        train = timed("train", "--flagfile=photos.flags", f"--data_dir={DATA_DIR.value}", f"--run_dir={run.path}")
        export = timed("export", f"--run_dir={run.path}")
        seconds = time.perf_counter() - began
        print(report(run, {"train": train, "export": export}, seconds))


def timed(verb: str, *arguments: str) -> Stages:
    """Seconds of each stage of a command, whose lines are shown as they come."""
    command = [sys.executable, "-m", "keras_imgcls", verb, *arguments]
    here = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    began = time.perf_counter()
    waiting, starts = dict(STAGES[verb]), {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        starts[next(iter(waiting))] = 0.0
        del waiting[next(iter(waiting))]
        for line in process.stdout:
            now = time.perf_counter() - began
            print(f"{now:7.1f} s  {line}", end="", flush=True)
            for stage, mark in waiting.items():
                if mark in line:
                    starts[stage] = now
                    del waiting[stage]
                    break
    if process.returncode:
        sys.exit(f"{verb} failed with exit code {process.returncode}.")
    ends = [*list(starts.values())[1:], time.perf_counter() - began]
    return {stage: end - start for (stage, start), end in zip(starts.items(), ends, strict=True)}


def report(run: Run, commands: dict[str, Stages], seconds: float) -> str:
    """The stages, what int8 costs, and a row for RESULTS.md."""
    lines = ["", "| command | stage | seconds |", "|---|---|---|"]
    lines += [
        f"| {verb} | {stage} | {taken:.1f} |" for verb, stages in commands.items() for stage, taken in stages.items()
    ]
    keras_right, int8_right = judged(run)
    drop, (low, high) = (keras_right.mean() - int8_right.mean()), drop_interval(keras_right, int8_right)
    lost = f"{drop:.1%} ({low:.1%} to {high:.1%})"
    met = "met" if seconds <= TARGET else f"missed by {seconds - TARGET:.0f} s"
    lines += [
        "",
        f"{seconds:.0f} s in all; the target of {TARGET} s is {met}.",
        f"int8 loses {lost} of accuracy on the {len(keras_right)} test photos (paired, 95 % interval); it is "
        + (
            "as accurate as the Keras model as far as they can tell."
            if low <= 0
            else "less accurate than the Keras model."
        ),
        "",
        "| date | train | export and gate | in all | Keras model, test | int8 file, test | int8 loses (paired) |",
        "|---|---|---|---|---|---|---|",
        f"| {time.strftime('%Y-%m-%d')} | {sum(commands['train'].values()):.0f} s | {sum(commands['export'].values()):.0f} s "
        f"| {seconds:.0f} s | {accuracy(keras_right)} | {accuracy(int8_right)} | {lost} |",
    ]
    return "\n".join(lines)


def judged(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Which test photos the Keras model and the int8 file have right, each from the raw files."""
    from keras_imgcls.inference.exported import load_exported
    from keras_imgcls.inference.predictor import load_run

    with run.manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    paths, labels = [Path(DATA_DIR.value) / row["source"] for row in rows], np.array([row["label"] for row in rows])
    names = np.array(run.class_names)
    keras_model, int8 = load_run(run.path), load_exported(run.export / "model_int8.tflite")
    return tuple(names[model.predict(paths).argmax(axis=1)] == labels for model in (keras_model, int8))


def accuracy(right: np.ndarray) -> str:
    """`90.0 % (74.4 to 96.5)`."""
    low, high = wilson(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    app.run(main)
