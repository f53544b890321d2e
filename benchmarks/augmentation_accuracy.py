"""What augmentation buys in five minutes of CIFAR-10 on two cores: one network, one recipe, one time, six augmentations.

    bash bin/environment/launch benchmarks/augmentation_accuracy.py --data_dir=FOLDER

Training takes as many whole epochs as the time holds at the speed of families.json, so that a busy machine changes how long
a row takes and nothing in it. 45,000 images train; 5,000 validate, choose the epoch, and are what is shown. A seed draws that
split too. Seeds come in turns, all augmentations by each, so that what is there can be compared at any time.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from trainings import Rows, five_minutes, train

from keras_imgcls.core.run import Run

ROWS = Rows("augmentation")
# It learns the images by heart in its 13 epochs, so that there is something to mend.
MODEL = "vgg11_bn(width=32, dropout=0.0)"
SEEDS = ("0", "1", "2")
STANDARD = "pad_crop(4)|flip"
ARMS = {
    "none": {"augment": "none"},
    "standard": {"augment": STANDARD},
    "RandAugment": {"augment": f"{STANDARD}|randaugment(2, 9)"},
    "TrivialAugment": {"augment": f"{STANDARD}|trivial_augment"},
    "mixup": {"augment": STANDARD, "mix": "mixup(0.2)"},
    "CutMix": {"augment": STANDARD, "mix": "cutmix(1.0)"},
}

DATA_DIR = flags.DEFINE_string("data_dir", "", "Where CIFAR-10 lies.")
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/augmentation", "Where the runs go.")
ONLY_SEEDS = flags.DEFINE_list("seeds", [*SEEDS], "Seeds.")


def main(_) -> None:
    """Trains what has no row yet and writes the table."""
    wanted = [(arm, int(seed)) for seed in ONLY_SEEDS.value for arm in ARMS]
    done = {(row["arm"], row["seed"]) for row in ROWS.read()}
    failed = [cell for cell in wanted if cell not in done and not trained(*cell)]
    render()
    if failed:
        sys.exit(f"Not trained: {failed}.")


def trained(arm: str, seed: int) -> bool:
    """Trains one cell, from where it was left, and appends its row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{arm}-{seed}")
    given = five_minutes(MODEL) | ARMS[arm] | {"seed": seed, "data_dir": DATA_DIR.value}
    if not train(f"{arm}, seed {seed}", run, given):
        return False
    ROWS.append(row(arm, run))
    render()
    return True


def row(arm: str, run: Run) -> dict:
    """What is known of a finished run."""
    metrics, config = run.read_metrics(), run.config
    return {
        "arm": arm,
        "seed": config.seed,
        "date": time.strftime("%Y-%m-%d"),
        "model": config.model,
        "augment": config.augment,
        "mix": config.mix,
        "epochs": metrics["training"]["epochs"],
        "precision": config.mixed_precision,
        "training_accuracy": float(run.read_history()[-1]["accuracy"]),
        "validation": metrics["validation"],
    }


def render() -> None:
    """Puts the table into RESULTS.md, in the order above."""
    cells = {
        arm: sorted((row for row in ROWS.read() if row["arm"] == arm), key=lambda row: row["seed"]) for arm in ARMS
    }
    standard = {row["seed"]: accuracy(row) for row in cells["standard"]}
    ROWS.show(
        [
            "| augmentation | `--augment` | `--mix` | validation accuracy | each seed | against standard | loss | in training |",
            "|---|---|---|---|---|---|---|---|",
            *(line(arm, rows, standard) for arm, rows in cells.items() if rows),
        ]
    )


def line(arm: str, rows: list[dict], standard: dict[int, float]) -> str:
    """An augmentation's runs as Markdown: means, and standard deviations over seeds; differences are within a seed."""
    found = [accuracy(row) for row in rows]
    gains = [accuracy(row) - standard[row["seed"]] for row in rows if row["seed"] in standard]
    parts = [
        arm,
        f"`{rows[0]['augment']}`".replace("|", "\\|"),
        f"`{rows[0]['mix']}`",
        f"{spread(found)} %",
        ", ".join(f"{value:.2f}" for value in found),
        "–" if arm == "standard" or not gains else f"{spread(gains, '+')}",
        f"{statistics.mean(row['validation']['loss'] for row in rows):.3f}",
        f"{100 * statistics.mean(row['training_accuracy'] for row in rows):.1f} %",
    ]
    return f"| {' | '.join(parts)} |"


def accuracy(row: dict) -> float:
    """On the validation images, percent."""
    return 100 * row["validation"]["accuracy"]


def spread(values: list[float], sign: str = "") -> str:
    """`88.04 ± 0.21`; of one value there is no spread."""
    return f"{statistics.mean(values):{sign}.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    app.run(main)
