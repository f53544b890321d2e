"""What ImageNet's weights buy on a few hundred photos: two minutes of training on two cores, from them and from nothing.

    bash bin/environment/launch benchmarks/transfer.py --data_dir=FOLDER       (on a quiet machine; `--only=flowers --seeds=0`)

FOLDER holds `flowers`, `road_signs` and `brain_mri`, each in class folders. Each dataset is trained by each recipe with three
seeds, which choose splits, order and weights; all have the same time. The first seed of all comes first. A finished run is
appended to transfer.jsonl, and the table in RESULTS.md and what it says are made of that. A driver that was killed goes on
where it was, in the middle of a run too. `--results=FOLDER` keeps a trial out of both files.
"""

import csv
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags
from lock import exclusive
from trainings import Rows, train

from keras_imgcls.core.run import Run
from keras_imgcls.evaluation.intervals import effective_count, wilson

SEEDS = (0, 1, 2)

# Frames of a road sign's track, `00/00003_00010.ppm`, are near-duplicates: a track is one group.
DATASETS = {
    "flowers": {},
    "road_signs": {"group_by": r"(\d+/\d+)_"},
    "brain_mri": {},
}
TRANSFER, PROBE, SCRATCH = "from ImageNet, photos.flags", "linear probe", "from random weights, scratch.flags"
ARMS = {
    TRANSFER: {"flagfile": "photos.flags"},
    PROBE: {"flagfile": "photos.flags", "freeze": "features", "unfreeze_epoch": 0},
    SCRATCH: {"flagfile": "scratch.flags", "epochs": 1000},
}

DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of the datasets.", required=True)
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/transfer", "Where the runs go.")
ONLY = flags.DEFINE_list("only", [*DATASETS], "Names of datasets.")
ONLY_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in SEEDS], "Seeds.")
MINUTES = flags.DEFINE_float("max_minutes", 2.0, "Time of each training; with another one give --results.")
RESULTS = flags.DEFINE_string("results", "", "Folder of transfer.jsonl and RESULTS.md in place of this one.")


def main(_) -> None:
    """Trains what has no row yet and writes the table."""
    unknown = set(ONLY.value) - {*DATASETS}
    if unknown:
        sys.exit(f"Unknown datasets: {', '.join(sorted(unknown))}. Known: {', '.join(DATASETS)}.")
    wanted = [(name, arm, int(seed)) for seed in ONLY_SEEDS.value for name in ONLY.value for arm in ARMS]
    done = {(row["dataset"], row["arm"], row["seed"]) for row in rows().read()}
    with exclusive():
        failed = [cell for cell in wanted if cell not in done and not trained(*cell)]
    render()
    if failed:
        sys.exit(f"Not trained: {failed}.")


def rows() -> Rows:
    """The rows and the table."""
    return Rows("transfer", RESULTS.value)


def trained(dataset: str, arm: str, seed: int) -> bool:
    """Trains one cell, from where it was left, and appends its row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{dataset}-{[*ARMS].index(arm)}-{seed}")
    given = {
        "data_dir": Path(DATA_DIR.value) / dataset, "seed": seed, "max_minutes": MINUTES.value, **DATASETS[dataset], **ARMS[arm],
    }  # fmt: skip
    began = time.perf_counter()
    if not train(f"{dataset}, {arm}, seed {seed}", run, given):
        return False
    rows().append(row(dataset, arm, seed, run, time.perf_counter() - began))
    render()
    return True


def row(dataset: str, arm: str, seed: int, run: Run, seconds: float) -> dict:
    """What is known of a finished run; `seconds` are those of the whole command."""
    metrics, config, manifest = run.read_metrics(), run.config, run.read_manifest()
    groups = {line["id"]: line.get("group", "") for line in manifest}
    with open(run.evaluation / "test" / "predictions.csv", newline="", encoding="utf-8") as file:
        predictions = [*csv.DictReader(file)]
    correct = np.array([line["correct"] == "true" for line in predictions])
    worth = effective_count(correct, np.array([groups[line["id"]] for line in predictions]))
    validation, test = ({key: metrics[split][key] for key in ("accuracy", "count")} for split in ("validation", "test"))
    return {
        "dataset": dataset,
        "arm": arm,
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
        "epochs": config.epochs,
        "unfreeze_epoch": config.unfreeze_epoch,
        "training": sum(line["split"] == "train" for line in manifest),
        "classes": len(run.class_names),
        "validation": validation,
        "test": test | {"worth": round(worth, 2)},
    }


def render() -> None:
    """Puts the table, in the order above, and what it says between its marks in RESULTS.md."""
    lines = [
        "| dataset | training images | recipe | test accuracy (each seed) | 95 % interval | validation | epochs | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells = {(dataset, arm): [] for dataset in DATASETS for arm in ARMS}
    for row in sorted(rows().read(), key=lambda row: row["seed"]):
        cells[row["dataset"], row["arm"]].append(row)
    lines += [line(dataset, arm, found) for (dataset, arm), found in cells.items() if found]
    said = [bought(dataset, *(cells[dataset, arm] for arm in (TRANSFER, PROBE, SCRATCH))) for dataset in DATASETS]
    rows().show([*lines, "", *filter(None, said)])


def bought(dataset: str, transfer: list[dict], probe: list[dict], scratch: list[dict]) -> str:
    """A sentence on what ImageNet's weights, and training more than a head, bought; empty while an arm has no row.

    Of the seeds that all arms have: differences within a seed, where arms have the same test images. Two arms differ
    clearly where one is better in every seed, of three at least, and their intervals don't overlap.
    """
    arms = [{row["seed"]: row["test"] for row in rows} for rows in (transfer, probe, scratch)]
    seeds = sorted(set.intersection(*(set(arm) for arm in arms)))
    if not seeds:
        return ""
    whole, head, nothing = ([arm[seed] for seed in seeds] for arm in arms)
    number = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    return (
        f"* {dataset}: ImageNet's weights bought {difference(whole, nothing)} against random ones; unfreezing bought "
        f"{difference(whole, head)} against a linear probe ({number}, {sum(test['count'] for test in whole)} test images)."
    )


def difference(ones: list[dict], others: list[dict]) -> str:
    """`+30.1 points (+20.0 to +36.8 within a seed), clearly`."""
    each = [100 * (one["accuracy"] - other["accuracy"]) for one, other in zip(ones, others, strict=True)]
    (_, low, high), (_, other_low, other_high) = pool(ones), pool(others)
    apart = low > other_high or high < other_low
    clearly = apart and len(each) > 2 and (min(each) > 0 or max(each) < 0)
    word = "clearly" if clearly else "which may be chance" if len(each) > 1 or not apart else "in one seed"
    spread = f" ({min(each):+.1f} to {max(each):+.1f} within a seed)" if len(each) > 1 else ""
    return f"{statistics.mean(each):+.1f} points{spread}, {word},"


def pool(tests: list[dict]) -> tuple[float, float, float]:
    """Accuracy and its interval of the test images of some seeds together, frames of a track counted for what they are worth."""
    accuracy = sum(test["accuracy"] * test["count"] for test in tests) / sum(test["count"] for test in tests)
    worth = sum(test["worth"] for test in tests)
    return accuracy, *wilson(min(accuracy * worth, worth), worth)


def line(dataset: str, arm: str, cells: list[dict]) -> str:
    """A row as Markdown: the runs of one dataset and recipe.

    The interval is that of all their test images together; where seeds share test images it is too narrow.
    """
    tests = [row["test"] for row in cells]
    accuracy, low, high = pool(tests)
    count = sum(test["count"] for test in tests)
    each = ", ".join(percent(test["accuracy"]) for test in tests)
    validation = statistics.mean(row["validation"]["accuracy"] for row in cells)
    parts = [
        f"{dataset}, {cells[0]['classes']} classes",
        "/".join(str(number) for number in sorted({row["training"] for row in cells})),
        arm,
        f"{percent(accuracy)} % ({each})",
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
