"""What the numbers of photos.flags are worth: each changed by itself, on three datasets, by cross-validation.

    bash bin/environment/launch benchmarks/photos_recipe.py --data_dir=FOLDER       (then, on any machine; `--only=recipe`)

FOLDER holds `flowers`, `road_signs` and `brain_mri`, each in class folders. Every image is held out once in three folds, but
for 60 road signs whose class has one track only; a validation split drawn from the rest chooses the epoch. Epochs are fixed,
about those that two minutes hold on two quiet cores, so that a busy machine changes how long a row takes and nothing in it. A
finished cross-validation is appended to photos_recipe.jsonl, and the table in RESULTS.md is made of that. A driver that was
killed goes on where it was.
"""

import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from trainings import Rows, train

from keras_imgcls.core.run import Run

ROWS = Rows("photos_recipe")
FOLDS = 3
FIXED = {"flagfile": "photos.flags", "folds": FOLDS, "max_minutes": 0, "mixed_precision": "float32"}

# Epochs of the head alone, of the last stages with it, of everything. Frames of one track are near-duplicates: one group.
DATASETS = {
    "flowers": {"epochs": 41, "unfreeze_epoch": "21|31"},
    "road_signs": {"epochs": 28, "unfreeze_epoch": "21|25", "group_by": r"(\d+/\d+)_"},
    "brain_mri": {"epochs": 41, "unfreeze_epoch": "21|31"},
}
ARMS = {
    "recipe": {},
    "rate 0.002": {"learning_rate": 0.002},
    "rate 0.003": {"learning_rate": 0.003},
    "rate 0.003, decay 0.6": {"learning_rate": 0.003, "layer_decay": 0.6},
    "statistics learnt": {"freeze_norm": False},
    "statistics learnt, rate 0.003": {"freeze_norm": False, "learning_rate": 0.003},
    "no augmentation": {"augment": "none"},
    "linear probe": {"freeze": "features", "unfreeze_epoch": 0},
}

DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of the datasets.", required=True)
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/photos_recipe", "Where the runs go.")
ONLY = flags.DEFINE_list("only", [*ARMS], "Names of arms.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of folds, order and weights.")


def main(_) -> None:
    """Trains what has no row yet and writes the table."""
    unknown = set(ONLY.value) - {*ARMS}
    if unknown:
        sys.exit(f"Unknown arms: {', '.join(sorted(unknown))}. Known: {', '.join(ARMS)}.")
    wanted = [(arm, dataset) for arm in ONLY.value for dataset in DATASETS]
    done = {(row["arm"], row["dataset"]) for row in ROWS.read() if row["seed"] == SEED.value}
    failed = [cell for cell in wanted if cell not in done and not trained(*cell)]
    render()
    if failed:
        sys.exit(f"Not trained: {failed}.")


def trained(arm: str, dataset: str) -> bool:
    """Cross-validates one cell, from where it was left, and appends its row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{dataset}-{re.sub('[^a-z0-9]+', '-', arm)}-{SEED.value}")
    given = FIXED | DATASETS[dataset] | ARMS[arm] | {"data_dir": Path(DATA_DIR.value) / dataset, "seed": SEED.value}
    if not train(f"{dataset}, {arm}", run, given):
        return False
    held_out = run.read_metrics()["held_out"]
    found = {key: held_out[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "loss", "count")}
    row = {"arm": arm, "dataset": dataset, "seed": SEED.value, "date": time.strftime("%Y-%m-%d")}
    ROWS.append(row | {"epochs": given["epochs"], "held_out": found})
    render()
    return True


def render() -> None:
    """Puts the table into RESULTS.md, in the order above."""
    rows = sorted(ROWS.read(), key=lambda row: row["seed"])
    lines = [f"| | {' | '.join(DATASETS)} |", f"|---|{'---|' * len(DATASETS)}"]
    for arm in ARMS:
        cells = [[row["held_out"] for row in rows if (row["arm"], row["dataset"]) == (arm, name)] for name in DATASETS]
        if any(cells):
            lines.append(f"| {arm} | {' | '.join('; '.join(map(cell, found)) for found in cells)} |")
    ROWS.show(lines)


def cell(held_out: dict) -> str:
    """`82.8 % (76.7 to 87.5), 0.512`: accuracy, its interval, cross-entropy."""
    accuracy, low, high = (100 * held_out[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    return f"{accuracy:.1f} % ({low:.1f} to {high:.1f}), {held_out['loss']:.3f}"


if __name__ == "__main__":
    app.run(main)
