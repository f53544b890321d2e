"""What a search found against the plain recipe that it began with: both trained anew by three seeds, read on the test split.

    bash bin/environment/launch benchmarks/search_gain.py --search_dir=RUN      (a search that bin/tune has ended)

The plain recipe is what stood in the flags of the search, the found one its best.flags; both train for the search's
--max_epochs on the same part of the training images. A seed draws split, part, order and weights. Seed 0 is the search's own:
its validation images chose the recipe, the test images nothing. The choice was made from one search, whose own luck no number
here tells.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from trainings import Rows, train

from keras_imgcls.core import files, options
from keras_imgcls.core.run import Run
from keras_imgcls.tuning import plan
from keras_imgcls.tuning.folder import Folder

ROWS = Rows("search_gain")
ARMS, SEEDS = ("plain", "found"), ("0", "1", "2")

SEARCH_DIR = flags.DEFINE_string("search_dir", "runs/search", "The search.")
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/search_gain", "Where the runs go.")
ONLY_SEEDS = flags.DEFINE_list("seeds", [*SEEDS], "Seeds.")


def main(_) -> None:
    """Trains what has no row yet and writes the table."""
    recipes = {arm: Path(RUNS_DIR.value) / f"{arm}.flags" for arm in ARMS}
    search = Folder(SEARCH_DIR.value)
    recipes["plain"].parent.mkdir(parents=True, exist_ok=True)
    files.write_text(recipes["plain"], options.write_flagfile(plan.make(search.config()).base))
    files.write_text(recipes["found"], search.best_flags.read_text(encoding="utf-8"))
    done = {(row["arm"], row["seed"]) for row in ROWS.read()}
    wanted = [(arm, int(seed)) for seed in ONLY_SEEDS.value for arm in ARMS]
    failed = [cell for cell in wanted if cell not in done and not trained(*cell, recipes[cell[0]])]
    render()
    if failed:
        sys.exit(f"Not trained: {failed}.")


def trained(arm: str, seed: int, recipe: Path) -> bool:
    """Trains one cell, from where it was left, and appends its row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{arm}-{seed}")
    if not train(f"{arm}, seed {seed}", run, {"flagfile": recipe, "seed": seed}):
        return False
    metrics = run.read_metrics()
    about = {"arm": arm, "seed": seed, "date": time.strftime("%Y-%m-%d"), "model": run.config.model}
    ROWS.append(about | {name: metrics[name] for name in ("validation", "test")} | metrics["training"])
    render()
    return True


def render() -> None:
    """Puts the table into RESULTS.md; the last line is the difference within a seed, in points."""
    found = {(row["arm"], row["seed"]): row for row in ROWS.read()}
    lines = ["| recipe | test accuracy | each seed (95 % interval) | validation accuracy |", "|---|---|---|---|"]
    for arm in ARMS:
        rows = [found[cell] for cell in sorted(found) if cell[0] == arm]
        if rows:
            each = ", ".join(interval(row["test"]) for row in rows)
            means = [spread([100 * row[split]["accuracy"] for row in rows]) for split in ("test", "validation")]
            lines.append(f"| {arm}, `{rows[0]['model']}` | {means[0]} % | {each} | {means[1]} % |")
    seeds = [seed for arm, seed in sorted(found) if arm == "found" and ("plain", seed) in found]
    gains = {split: [difference(found, split, seed) for seed in seeds] for split in ("test", "validation")}
    if gains["test"]:
        each = ", ".join(f"{gain:+.2f}" for gain in gains["test"])
        lines.append(
            f"| difference, points | {spread(gains['test'], '+')} | {each} | {spread(gains['validation'], '+')} |"
        )
    ROWS.show(lines)


def difference(found: dict, split: str, seed: int) -> float:
    """How many points of accuracy the found recipe has more, by the same seed."""
    found_rate, plain_rate = (found[arm, seed][split]["accuracy"] for arm in ("found", "plain"))
    return 100 * (found_rate - plain_rate)


def interval(split: dict) -> str:
    """`81.20 (80.43 to 81.95)`, Wilson's."""
    low, rate, high = (100 * split[name] for name in ("accuracy_low", "accuracy", "accuracy_high"))
    return f"{rate:.2f} ({low:.2f} to {high:.2f})"


def spread(values: list[float], sign: str = "") -> str:
    """`88.04 ± 0.21`, mean and standard deviation; of one value there is no deviation."""
    return f"{statistics.mean(values):{sign}.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    app.run(main)
