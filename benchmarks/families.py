"""What each family makes of five minutes of CIFAR-10 on two cores: one recipe, the same time for all.

    bash bin/environment/launch benchmarks/families.py --measure               (once, on a quiet machine; 5 minutes)
    bash bin/environment/launch benchmarks/families.py --data_dir=FOLDER       (then, on any; `--only=alexnet,vgg`)

`--measure` finds the precision and the speed of each network and writes them to families.json. Training takes as many
whole epochs as the time holds at that speed, so that a busy machine changes how long a row takes and nothing in it. On a
machine without bfloat16 `--mixed_precision=float32` trains the same epochs; the table says which rows those are.
Finished rows are appended to families.jsonl and the table in RESULTS.md is made of them. A driver that was killed goes on
where it was, in the middle of a run too; rows that are there already are not trained again.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from absl import app, flags
from lock import exclusive
from trainings import BATCH, SPEEDS, Rows, five_minutes, train

from keras_imgcls.core import files
from keras_imgcls.core.console import quiet
from keras_imgcls.core.run import Run
from keras_imgcls.experiment.environment import environment
from keras_imgcls.models import classifier
from keras_imgcls.training.acceleration import choose_precision

ROWS = Rows("families")
CLASSES, SHAPE = 10, (32, 32, 3)

# So narrow and shallow that five minutes hold several epochs. Regularisers are off: nothing is learnt by heart so soon.
NETWORKS = {
    "alexnet": "alexnet(width=0.5, dense=512, dropout=0.0)",
    "vgg": "vgg11_bn(width=32, dropout=0.0)",
    "resnet": "resnet20",
    "preact": "resnet18(width=16, version='v2')",
    "wide": "wide_resnet28_10(width=32, depth=1)",
    "resnext": "resnext50_32x4d(width=16, depths=(1, 1, 1, 1), groups=8)",
    "se_resnet": "resnet18(width=16, squeeze_excite=16)",
    "inception_v1": "inception_v1(width=0.25, dropout=0.0)",
    "inception_v1_bn": "inception_v1_bn(width=0.25, dropout=0.0)",
    "inception_v3": "inception_v3(width=0.2, dropout=0.0)",
    "densenet": "densenet_bc_100(growth=12, depths=(4, 4, 4))",
    "mobilenet_v2": "mobilenet_v2(width=0.35, dropout=0.0)",
    "mobilenet_v3": "mobilenet_v3_small(dropout=0.0)",
    "efficientnet_b0": "efficientnet_b0(width=0.4, depth=0.4, dropout=0.0, stochastic_depth=0.0)",
    "efficientnet_lite0": "efficientnet_lite0(width=0.4, depth=0.4, dropout=0.0, stochastic_depth=0.0)",
    "efficientnet_v2": "efficientnet_v2_s(width=0.35, depth=0.2, dropout=0.0, stochastic_depth=0.0)",
    "convnext": "convnext_tiny(width=40, depths=(1, 1, 3, 1), stochastic_depth=0.0)",
    "speednet": "speednet93(widths=(32, 128, 128))",
}

# He et al. 2015, section 4.2, with 40 epochs in place of 182; all 50,000 images train, as in the reference repositories.
CLASSICAL = "resnet20_classical"
CLASSICAL_RECIPE = {
    "dataset": "cifar10",
    "model": "resnet20",
    "batch_size": BATCH,
    "epochs": 40,
    "augment": "pad_crop(4, mode='constant')|flip",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "schedule": "step(at=(0.5, 0.75))",
    "validation_fraction": 0.0,
}

MEASURE = flags.DEFINE_bool("measure", False, "Find precision and speed of each network; train nothing.")
ONLY = flags.DEFINE_list("only", [], "Names of rows; all by default.")
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where CIFAR-10 lies.")
RUNS_DIR = flags.DEFINE_string("runs_dir", "runs/families", "Where the runs go.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the runs.")
PRECISION = flags.DEFINE_string("mixed_precision", "", "Train in this precision and not the fastest; as many epochs.")


def main(_) -> None:
    """Measures, or trains what has no row yet and writes the table."""
    names = ONLY.value or [*NETWORKS, CLASSICAL]
    unknown = set(names) - {*NETWORKS, CLASSICAL}
    if unknown:
        sys.exit(f"Unknown rows: {', '.join(sorted(unknown))}. Known: {', '.join([*NETWORKS, CLASSICAL])}.")
    if MEASURE.value:
        with exclusive():
            measure([name for name in names if name in NETWORKS])
        return
    failed = [name for name in names if not (is_done(name) or trained(name))]
    render()
    if failed:
        sys.exit(f"Not trained: {', '.join(failed)}.")


def measure(names: list[str]) -> None:
    """Writes precision and images/s of each network to families.json."""
    for name in names:
        model = classifier.build(NETWORKS[name], SHAPE, CLASSES)
        precision, speeds = choose_precision(model, (BATCH, *SHAPE))
        print(f"{NETWORKS[name]:<76} {precision:<15} {speeds[precision]:6,.0f} images/s", flush=True)
        known = json.loads(SPEEDS.read_text()) if SPEEDS.is_file() else {"networks": {}}
        found = {"precision": precision, "images_per_second": {word: round(speed) for word, speed in speeds.items()}}
        networks = known["networks"] | {NETWORKS[name]: found}
        files.write_json(SPEEDS, {"batch_size": BATCH, "environment": environment(), "networks": networks})


def recipe(name: str) -> dict:
    """The flags of a row's training, data and run aside."""
    given = CLASSICAL_RECIPE if name == CLASSICAL else five_minutes(NETWORKS[name])
    return given | {"seed": SEED.value} | ({"mixed_precision": PRECISION.value} if PRECISION.value else {})


def trained(name: str) -> bool:
    """Trains a row's network, from where it was left, and appends the row; whether that went well."""
    run = Run(Path(RUNS_DIR.value) / f"{name}-{SEED.value}")
    if not train(name, run, recipe(name) | {"data_dir": DATA_DIR.value}):
        return False
    ROWS.append(row(name, run))
    render()
    return True


def row(name: str, run: Run) -> dict:
    """What is known of a finished run."""
    model, metrics, config = keras.models.load_model(run.model), run.read_metrics(), run.config
    described = classifier.describe(model)
    with quiet():
        converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return {
        "name": name,
        "model": config.model,
        "seed": config.seed,
        "date": time.strftime("%Y-%m-%d"),
        "epochs": metrics["training"]["epochs"],
        "precision": config.mixed_precision,
        "parameters": described.trainable_parameters,
        "macs": described.macs,
        "tflite_bytes": len(converted),
        **{split: metrics[split] for split in ("validation", "test") if split in metrics},
    }


def is_done(name: str) -> bool:
    """Whether `name` has a row of this seed and of the network as it is now."""
    model = NETWORKS.get(name, CLASSICAL_RECIPE["model"])
    return (name, model, SEED.value) in {(row["name"], row["model"], row["seed"]) for row in ROWS.read()}


def render() -> None:
    """Puts the table between its marks in RESULTS.md, networks in the order above."""
    networks = json.loads(SPEEDS.read_text())["networks"] if SPEEDS.is_file() else {}
    order = [*NETWORKS, CLASSICAL]
    lines = [
        "| network | validation | test (95 % interval) | epochs | images/s | trained in | parameters | MMACs | TFLite | seed |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(line(row, networks) for row in sorted(ROWS.read(), key=lambda row: (order.index(row["name"]), row["seed"]))),
    ]
    ROWS.show(lines)


def line(row: dict, networks: dict) -> str:
    """A row as Markdown; the speed is that of `--measure`."""
    test, validation = row["test"], row.get("validation")
    measured = networks.get(row["model"])
    cells = [
        f"`{row['model']}`" + (", classical" if row["name"] == CLASSICAL else ""),
        f"{validation['accuracy']:.2%}" if validation else "–",
        f"{test['accuracy']:.2%} ({test['accuracy_low']:.2%} to {test['accuracy_high']:.2%})",
        row["epochs"],
        f"{measured['images_per_second'][measured['precision']]:,}" if measured else "–",
        row["precision"].removeprefix("mixed_"),
        f"{row['parameters']:,}",
        f"{row['macs'] / 1e6:.1f}",
        f"{row['tflite_bytes'] / 1e6:.2f} MB",
        row["seed"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    app.run(main)
