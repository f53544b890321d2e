"""Evaluate: how good the model of a run is, on a split of its data or on other data."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_imgcls import startup
from keras_imgcls.core import config as config_module
from keras_imgcls.core.config import EvaluateConfig
from keras_imgcls.core.console import Progress, note, warn
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.run import open_run

if TYPE_CHECKING:
    from keras_imgcls.evaluation.metrics import Evaluation

USAGE = """Evaluate the model of a run.

  bin/evaluate --run_dir=RUN
  bin/evaluate --run_dir=RUN --split=validation
  bin/evaluate --run_dir=RUN --data_dir=other_photos

Writes RUN/evaluation/NAME/: metrics.json, predictions.csv, classes.csv, confusion_matrix.csv, confusion_matrix.png.
Another folder without train/test folders of its own is taken whole, one with them by its test split."""
CONFIG = EvaluateConfig


def run(config: EvaluateConfig) -> int:
    """Evaluates, writes the report, prints it."""
    title, evaluation, folder = _evaluated(config)
    from keras_imgcls.evaluation import report

    note(f"{title}\n\n{report.text(evaluation)}\n\nReport: {folder}")
    return 0


def evaluate(config: EvaluateConfig) -> "Evaluation":
    """Evaluates and writes the report."""
    return _evaluated(config)[1]


def _evaluated(config: EvaluateConfig) -> tuple[str, "Evaluation", Path]:
    run = open_run(config.run_dir)
    require_folder_name(config.name)
    load_plugins(config.plugin or run.config.plugin)
    tta = config.tta or run.config.tta
    config_module.check_tta(tta)
    startup.tensorflow(config.tensorflow_log)
    from keras_imgcls.augment import test_time
    from keras_imgcls.evaluation import held_out, report
    from keras_imgcls.inference.predictor import load_run

    model = load_run(run.path, config.trust_file).model
    if held_out.is_own(run, config.dataset, config.data_dir):
        split = name = config.split
        samples, ids = held_out.own_samples(run, split, config.on_bad_image)
    else:
        samples, ids, split = held_out.other_samples(
            run, config.dataset, config.data_dir, config.split, config.on_bad_image
        )
        name = other_name(config.dataset, config.data_dir, split)
        seen = held_out.seen_in_training(run, samples, ids)
        if seen:
            warn(f"{seen:,} of {len(ids):,} images have names of training images: if they are those, it is no test.")
    folder = run.evaluation / (config.name or name)
    batches = _shown(held_out.batches(run, samples, ids, config.batch_size), len(ids))
    views = test_time.build(tta, config.tta_views if config.tta else run.config.tta_views, run.config.seed)
    return f"{samples.name}, {split}", report.evaluate_split(model, batches, samples, split, folder, views), folder


def _shown(batches: Iterable[tuple], images: int) -> Iterator[tuple]:
    """`batches`, with progress on standard error."""
    progress, done = Progress(images, "evaluate", sys.stderr), 0
    for batch in batches:
        yield batch
        done += len(batch[0])
        progress.update(done)
    progress.clear()


def require_folder_name(name: str) -> None:
    """Raises UserError where `--name` would lead out of `RUN/evaluation`."""
    if name and (Path(name).name != name or name in (".", "..")):
        raise UserError(f"--name is the name of one folder below RUN/evaluation, received '{name}'.")


def other_name(dataset: str, data_dir: str, split: str) -> str:
    """A folder name for another dataset's results, never one that the run's own splits have: `photos-test`."""
    place = Path(data_dir).resolve()
    folder = f"{place.parent.name}-{place.name}" if place.name in ("train", "validation", "test") else place.name
    text = (dataset or folder) if split in ("test", "all") else f"{dataset or folder}-{split}"
    return "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in text).strip(".-") or "other"
