"""What ImageNet's weights buy on a few hundred photos: two minutes of training on two cores, from them and from nothing.

    bash bin/environment/launch benchmarks/transfer.py --data_dir=FOLDER       (on a quiet machine; `--only=flowers`)

FOLDER holds `flowers`, `road_signs` and `brain_mri`, each in class folders. Each dataset is trained by each recipe with three
seeds, which choose splits, order and weights; all have the same time. A finished run is appended to transfer.jsonl, and the
table in RESULTS.md is made of that. A driver that was killed goes on where it was, in the middle of a run too.
"""

import csv
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from lock import exclusive
from trainings import Rows, train

from keras_imgcls.core.run import Run
from keras_imgcls.evaluation.intervals import wilson

ROWS = Rows("transfer")
MINUTES, SEEDS = 2, (0, 1, 2)

# Frames of a road sign's track, `00/00003_00010.ppm`, are near-duplicates: a track is one group.
DATASETS = {
    "flowers": {},
    "road_signs": {"group_by": r"(\d+/\d+)_"},
    "brain_mri": {},
}
ARMS = {
    "from ImageNet, photos.flags": {"flagfile": "photos.flags"},
    "linear probe": {"flagfile": "photos.flags", "freeze": "features", "unfreeze_epoch": 0},
    "from random weights, scratch.flags": {"flagfile": "scratch.flags", "epochs": 1000},
}

DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of the datasets.", required=True)
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/transfer", "Where the runs go.")
ONLY = flags.DEFINE_list("only", [*DATASETS], "Names of datasets.")
ONLY_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in SEEDS], "Seeds.")


def main(_) -> None:
    """Trains what has no row yet and writes the table."""
    unknown = set(ONLY.value) - {*DATASETS}
    if unknown:
        sys.exit(f"Unknown datasets: {', '.join(sorted(unknown))}. Known: {', '.join(DATASETS)}.")
    wanted = [(name, arm, int(seed)) for name in ONLY.value for seed in ONLY_SEEDS.value for arm in ARMS]
    done = {(row["dataset"], row["arm"], row["seed"]) for row in ROWS.read()}
    with exclusive():
        failed = [cell for cell in wanted if cell not in done and not trained(*cell)]
    render()
    if failed:
        sys.exit(f"Not trained: {failed}.")


def trained(dataset: str, arm: str, seed: int) -> bool:
    """Trains one cell, from where it was left, and appends its row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{dataset}-{[*ARMS].index(arm)}-{seed}")
    given = {
        "data_dir": Path(DATA_DIR.value) / dataset, "seed": seed, "max_minutes": MINUTES, **DATASETS[dataset], **ARMS[arm],
    }  # fmt: skip
    began = time.perf_counter()
    if not train(f"{dataset}, {arm}, seed {seed}", run, given):
        return False
    ROWS.append(row(dataset, arm, seed, run, time.perf_counter() - began))
    render()
    return True


def row(dataset: str, arm: str, seed: int, run: Run, seconds: float) -> dict:
    """What is known of a finished run; `seconds` are those of the whole command."""
    metrics, config = run.read_metrics(), run.config
    return {
        "dataset": dataset,
        "arm": arm,
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
        "epochs": config.epochs,
        "unfreeze_epoch": config.unfreeze_epoch,
        "training": training_images(run),
        "classes": len(run.class_names),
        **{split: {key: metrics[split][key] for key in ("accuracy", "count")} for split in ("validation", "test")},
    }


def training_images(run: Run) -> int:
    """How many images its manifest has in the training split."""
    with run.manifest.open(newline="", encoding="utf-8") as file:
        return sum(line["split"] == "train" for line in csv.DictReader(file))


def render() -> None:
    """Puts the table between its marks in RESULTS.md, in the order above."""
    lines = [
        "| dataset | training images | recipe | test accuracy (each seed) | 95 % interval | validation | epochs | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for dataset in DATASETS:
        for arm in ARMS:
            cells = [row for row in ROWS.read() if (row["dataset"], row["arm"]) == (dataset, arm)]
            if cells:
                lines.append(line(dataset, arm, sorted(cells, key=lambda row: row["seed"])))
    ROWS.show(lines)


def line(dataset: str, arm: str, cells: list[dict]) -> str:
    """A row as Markdown: the runs of one dataset and recipe.

    The interval is that of all their test images together; where seeds share test images it is too narrow.
    """
    tests = [row["test"] for row in cells]
    count = sum(test["count"] for test in tests)
    right = sum(test["accuracy"] * test["count"] for test in tests)
    low, high = wilson(min(round(right), count), count)
    each = ", ".join(percent(test["accuracy"]) for test in tests)
    validation = statistics.mean(row["validation"]["accuracy"] for row in cells)
    parts = [
        f"{dataset}, {cells[0]['classes']} classes",
        "/".join(str(number) for number in sorted({row["training"] for row in cells})),
        arm,
        f"{percent(right / count)} % ({each})",
        f"{percent(low)} to {percent(high)}, {count} images",
        f"{percent(validation)} %",
        ", ".join(str(row["epochs"]) for row in cells),
        f"{statistics.mean(row['seconds'] for row in cells):.0f} s",
    ]
    return f"| {' | '.join(parts)} |"


def percent(rate: float) -> str:
    """`83.3`."""
    return f"{100 * rate:.1f}"


if __name__ == "__main__":
    app.run(main)
