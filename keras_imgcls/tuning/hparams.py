"""TensorBoard's HParams: a session a trial, with its values and its curve."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api

from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.plan import Plan


def write(folder: Path, ready: Plan, records: Sequence[Record]) -> None:
    """Writes every trial that has a score below `folder`, anew: a search that was resumed has each trial once."""
    shutil.rmtree(folder, ignore_errors=True)
    metric = ready.objective.metric
    names = dict.fromkeys(parameter.name for parameter in ready.space.parameters)
    with tf.summary.create_file_writer(str(folder)).as_default():
        api.hparams_config(
            [api.HParam(name) for name in names], [api.Metric(metric, display_name=ready.objective.name)]
        )
    for record in records:
        if record.epochs:
            with tf.summary.create_file_writer(str(folder / record.name)).as_default():
                for epoch, row in record.epochs.items():
                    tf.summary.scalar(metric, row[metric], step=epoch)
                api.hparams(ready.space.shown(record.values), trial_id=record.name)
