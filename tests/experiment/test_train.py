"""What a training tells before its first step."""

from dataclasses import replace

import pytest

from keras_imgcls.core.config import TrainConfig
from keras_imgcls.experiment import train as train_module


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(("available", "warned"), [(["float32"], True), (["float32", "mixed_float16"], False)])
def test_a_precision_that_the_machine_only_imitates_is_named(tmp_path, monkeypatch, capsys, available, warned, resumed):
    """A run that goes on elsewhere would take a hundred times as long without a word."""
    config = TrainConfig(
        dataset="digits",
        model="plain_cnn(width=4)",
        epochs=1,
        steps_per_execution=1,
        mixed_precision="mixed_float16",
        run_dir=str(tmp_path / "run"),
    )
    if resumed:
        train_module.train(config)
        config = replace(config, epochs=2, resume=True)
        capsys.readouterr()
    monkeypatch.setattr(train_module, "available_precisions", lambda: available)
    train_module.train(config)
    message = "warning: this machine has no fast mixed_float16: it is imitated, and may take many times as long"
    assert (message in capsys.readouterr().err) == warned
