"""Train: prepare, fit, evaluate once on the test split, and leave a run that repeats itself."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_imgcls.augment import test_time
from keras_imgcls.core import config as config_module
from keras_imgcls.core import files, lock, options
from keras_imgcls.core import run as run_module
from keras_imgcls.core.config import TrainConfig
from keras_imgcls.core.console import note, warn
from keras_imgcls.core.plugins import load_plugins
from keras_imgcls.core.run import Run
from keras_imgcls.data import groups, sheet
from keras_imgcls.evaluation import plots, pooled
from keras_imgcls.evaluation.report import evaluate_split
from keras_imgcls.experiment import prepare, resuming
from keras_imgcls.experiment.environment import environment
from keras_imgcls.experiment.parts import Parts
from keras_imgcls.experiment.prepare import Prepared
from keras_imgcls.training.acceleration import available_precisions
from keras_imgcls.training.callbacks import TensorBoard
from keras_imgcls.training.fit import Outcome, fit
from keras_imgcls.training.validation import Validator

EVALUATION_BATCH, EVALUATION_PIXELS = 500, 2**21  # 500 images of 224 px would take 3.2 GB in one layer of ResNet-50
SHEET_IMAGES = 64


def train(
    config: TrainConfig,
    model: keras.Model | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    parts: Parts | None = None,
) -> Run:
    """Trains as `config` says and returns the run.

    `model` stands in for the one that `config.model` names, `parts` makes what is trained. The test split is looked at once,
    at the end, with the weights that `model.keras` holds.

    Raises:
        UserError: anything that the user can mend, before the first step where possible.
    """
    load_plugins(config.plugin)
    parts = parts or Parts()
    run = reserve(config, check_names=model is None)
    with lock.hold(run.path):
        files.clear(run.path)
        return _train(run, config, prepare.prepare(config, model, parts), callbacks, parts)


def _train(
    run: Run, config: TrainConfig, ready: Prepared, callbacks: Sequence[keras.callbacks.Callback], parts: Parts
) -> Run:
    if not config.resume:
        run = run_module.create(run.path, config.overwrite)
    # Without a manifest it is new, or was killed before it was described.
    if not run.manifest.is_file() or not resuming.require_same(run, ready.samples.manifest, config.resume_anyway):
        _describe(run, ready)
    resuming.rewrite_flags(run, ready.config)
    _introduce(run, ready)
    outcome = fit(
        ready.model,
        ready.feed,
        ready.config,
        Validator(ready.model, _batches(ready, "validation")),
        run=run,
        resume=config.resume,
        augment=ready.augment,
        class_weights=ready.class_weights,
        callbacks=[TensorBoard(run.tensorboard, _sheet(ready)), *callbacks],
        with_auxiliary=prepare.with_auxiliary(ready.config, ready.model),
        learner_of=parts.learner,
    )
    plots.save(plots.history_figure(outcome.history), run.path / "history.png")
    files.write_json(run.metrics, _metrics(run, ready, outcome))
    return run


def reserve(config: TrainConfig, check_names: bool = True) -> Run:
    """The run that `config` will write, once it is clear that it may: asked before anything slow.

    Raises:
        UserError: the folder is taken, is no run, or can't be written.
    """
    # A model of one's own has another name, and brings weights.
    own = {} if check_names else {"model": "resnet20", "freeze_norm": False}
    config_module.check(config_module.replace(config, **own))
    path = run_module.path_of(config)
    if config.resume:
        return run_module.open_run(path, folds=True)
    run_module.require_free(path, config.overwrite)
    return Run(path)


def _describe(run: Run, ready: Prepared) -> None:
    """Writes what the run is, before its first step: `config.flags` first, which makes it a run, the manifest last."""
    files.write_text(run.flags, options.write_flagfile(ready.config))
    run.write_class_names(ready.samples.manifest.class_names)
    files.write_json(run.environment, environment())
    if ready.samples.excluded:
        files.write_csv(run.path / "excluded.csv", ("source", "reason"), ready.samples.excluded)
    ready.samples.manifest.write(run.manifest)


def _introduce(run: Run, ready: Prepared) -> None:
    manifest, config = ready.samples.manifest, ready.config
    counts = ", ".join(f"{len(manifest.ids(split)):,} {split}" for split in ("train", "validation", "test"))
    classes, size = len(manifest.class_names), config.image_size
    parameters = f"{ready.model.count_params():,} parameters"
    note(f"{ready.samples.name}: {counts}; {classes} classes; {size} px, {config.channels} channels")
    note(f"{config.model}: {parameters}; augmentation {config.augment}; {config.mixed_precision}")
    note(f"first weights: {ready.first_weights}")
    if config.mixed_precision not in available_precisions():
        slow = f"this machine has no fast {config.mixed_precision}: it is imitated, and may take many times as long"
        warn(f"{slow} as float32.")
    note(f"Run: {run.path}")


def _batches(ready: Prepared, split: str):
    if not len(ready.samples.manifest.ids(split)):
        return None
    return prepare.evaluation_batches(ready.samples, ready.store, split, evaluation_batch(ready.store.shape))


def evaluation_batch(image_shape: tuple[int, int, int]) -> int:
    """How many images are evaluated at once, so that validation takes no more memory than training."""
    return int(np.clip(EVALUATION_PIXELS // (image_shape[0] * image_shape[1]), 1, EVALUATION_BATCH))


def _sheet(ready: Prepared) -> np.ndarray:
    images, labels, ids = next(iter(ready.feed.batches(0, 0)))
    if ready.augment:
        images, labels = ready.augment(images, labels, ids, 0)
    names = ready.samples.manifest.class_names
    captions = [names[index] for index in labels.numpy().argmax(axis=1)[:SHEET_IMAGES]]
    return sheet.draw(images.numpy()[:SHEET_IMAGES], captions)


def _metrics(run: Run, ready: Prepared, outcome: Outcome) -> dict:
    results = {}
    views = test_time.build(ready.config.tta, ready.config.tta_views, ready.config.seed)
    for split in ("test", "validation"):
        batches = _batches(ready, split)
        if batches is not None:
            folder = run.evaluation / split
            evaluation = evaluate_split(ready.model, batches, ready.samples, split, folder, views)
            results[split] = evaluation.summary()
            if ready.config.fold and split == "test":  # for the pool of all folds
                pooled.keep(folder, evaluation, ready.samples.manifest.sources[evaluation.ids])
    about = {"training": outcome.summary(), "excluded": len(ready.samples.excluded)}
    return {**results, **about, "groups": groups.counts(ready.samples)}
