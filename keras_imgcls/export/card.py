"""The model card: what the model is, in one page of Markdown beside its exports, from what the run recorded.

Sections follow Mitchell et al. 2019, Model Cards for Model Reporting. What the run doesn't know is called "not stated".
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from keras_imgcls.core import files
from keras_imgcls.core.console import duration
from keras_imgcls.core.run import Run
from keras_imgcls.data.manifest import SPLITS

UNKNOWN = "not stated"
LISTED = 20  # classes that are named with their counts; of more, the rest is counted


def text(run: Run, parity: dict[str, Any], intended_use: str = "") -> str:
    """The card of `run` as Markdown.

    Args:
        run: what was trained.
        parity: what `parity.json` holds.
        intended_use: what the model is for, in the words of who exports it.
    """
    samples = _samples(run)
    sections = {
        f"Model card: {_plain(run.config.model)}": _what(run),
        "Intended use": _plain(intended_use) or f"{UNKNOWN} (`bin/export --intended_use=…`)",
        "Limits": _limits(run),
        "Data": _data(run, samples, parity),
        "Accuracy": _accuracy(run),
        "Training": _training(run),
        "Exports": _exports(parity),
        "Quantization": _quantization(parity),
    }
    title, *others = sections.items()
    parts = [f"# {title[0]}\n\n{title[1]}", *(f"## {name}\n\n{content}" for name, content in others if content)]
    return "\n\n".join(parts) + "\n"


def _what(run: Run) -> str:
    config, names = run.config, run.class_names
    colour = {1: "grey", 3: "RGB"}.get(config.channels, UNKNOWN)
    weights = config.pretrained or config.init_from or "random"
    rows = [
        ("architecture", f"{config.model}, weights at first: {weights}"),
        ("input", f"{config.image_size} x {config.image_size} pixels, {colour}, grey levels 0-255"),
        ("a picture becomes its input by", f"{config.resize}, {config.interpolation} interpolation"),
        ("output", f"probabilities of {len(names)} classes, one of which is taken to be right"),
        ("called unsure", f"below {config.min_confidence:g}" if config.min_confidence else "never"),
        ("licence", UNKNOWN),
    ]
    return _table(("", ""), rows)


def _limits(run: Run) -> str:
    """What follows from the way the model was made and measured, and nothing else."""
    lines = [
        "It answers one of its classes for every picture, also for one that shows none of them.",
        "Its accuracy was measured on images of the data below; for other sources it is not known.",
    ]
    if run.config.channels == 1:
        lines.append(
            "It takes grey images; MediaPipe's ImageClassifier, which takes RGB only, doesn't run its TFLite files."
        )
    weakest = _weakest_class(run)
    if weakest:
        lines.append(weakest)
    return "\n".join(f"- {line}" for line in lines)


def _weakest_class(run: Run) -> str:
    path = run.evaluation / "test" / "classes.csv"
    scores = [row for row in _csv_rows(path) if row["recall"]] if path.is_file() else []
    if not scores:
        return ""
    worst = min(scores, key=lambda row: float(row["recall"]))
    of = f"{worst['support']} images of {_plain(worst['class'])}"
    return f"Lowest recall on the test split: {float(worst['recall']):.1%} of {of}."


def _data(run: Run, samples: Sequence[dict[str, str]], parity: dict[str, Any]) -> str:
    config = run.config
    digest = f"`{files.digest(run.manifest)}`" if run.manifest.is_file() else UNKNOWN
    rows = [
        ("source", config.dataset or config.data_dir or UNKNOWN),
        ("SHA-256 of `manifest.csv` (sources, labels, splits)", digest),
        ("SHA-256 of the images at the export", _code(parity.get("data_sha256"))),
        ("files left out because they can't be decoded", run.read_metrics().get("excluded", UNKNOWN)),
        ("licence, collection, consent", UNKNOWN),
    ]
    counts = Counter((row["label"], row["split"]) for row in samples)
    splits = [name for name in SPLITS if any(row["split"] == name for row in samples)]
    names = run.class_names
    classes = [(name, *(counts[name, split] for split in splits)) for name in names[:LISTED]]
    if len(names) > LISTED:
        rest = (sum(counts[name, split] for name in names[LISTED:]) for split in splits)
        classes.append((f"{len(names) - LISTED} others", *rest))
    return f"{_table(('', ''), rows)}\n\n{_table(('class', *splits), classes)}"


def _accuracy(run: Run) -> str:
    metrics, rows = run.read_metrics(), []
    for split in ("test", "validation"):
        values = metrics.get(split)
        if values:
            interval = f"{values['accuracy_low']:.2%} to {values['accuracy_high']:.2%}"
            more = _more(run, split)
            rows.append((split, f"{values['accuracy']:.2%}", interval, more, f"{values['loss']:.4f}", values["count"]))
    if not rows:
        return UNKNOWN
    header = ("split", "accuracy", "95 % interval", "balanced accuracy", "cross-entropy, nats", "images")
    chosen = " Validation chose the weights." if "validation" in metrics else ""
    return f"{_table(header, rows)}\n\nOf the Keras model, without test-time augmentation.{chosen}"


def _more(run: Run, split: str) -> str:
    path = run.evaluation / split / "metrics.json"
    value = json.loads(path.read_text(encoding="utf-8")).get("balanced_accuracy") if path.is_file() else None
    return UNKNOWN if value is None else f"{value:.2%}"


def _training(run: Run) -> str:
    training = run.read_metrics().get("training", {})
    environment = json.loads(run.environment.read_text(encoding="utf-8")) if run.environment.is_file() else {}
    rows = [
        ("precision of training", run.config.mixed_precision),
        ("precision of `model.keras`", "float32"),
        ("epochs", training.get("epochs", UNKNOWN)),
        ("time", duration(training["seconds"]) if "seconds" in training else UNKNOWN),
        *((name, value) for name, value in environment.items()),
    ]
    flags = run.flags.read_text(encoding="utf-8").strip()
    fence = "`" * (max(map(len, re.findall("`+", flags)), default=2) + 1)
    command = f"Trained by `bin/train --flagfile=config.flags`, where `config.flags` is:\n\n{fence}\n{flags}\n{fence}"
    return f"{_table(('', ''), rows)}\n\n{command}"


def _exports(parity: dict[str, Any]) -> str:
    header = ("file", "size", "agreement with Keras", "largest difference", "accuracy (95 %)")
    rows = [
        (
            entry["artefact"],
            f"{entry['size'] / 1e6:,.2f} MB",
            f"{entry['agreement']:.2%}",
            f"{entry['largest_difference']:.1e}",
            f"{entry['accuracy']:.2%} ({entry['accuracy_low']:.1%} to {entry['accuracy_high']:.1%})",
        )
        for entry in parity["artefacts"]
    ]
    about = (
        f"Exported on {parity['date']}. Each was run in a fresh interpreter on {parity['images']:,} images of the "
        f"{parity['split']} split, of which the Keras model has {parity['keras_accuracy']:.2%} right. The difference is "
        "that of any probability. More, with times and operations, is in `parity.json`."
    )
    return f"{about}\n\n{_table(header, rows)}"


def _quantization(parity: dict[str, Any]) -> str:
    """What is int8, what stayed float, and why."""
    statement = parity.get("statements", {}).get("tflite_int8")
    if not statement:
        return ""
    return (
        "In `model_int8.tflite` weights are int8, per channel, and activations int8 in the ranges that training images gave "
        "them; pixels and probabilities are bytes. Where that loses too much on images that are not those of the table above, "
        f"the network is fine-tuned with fake quantization, or layers stay float. Here: {_plain(statement)}."
    )


def _code(text: str | None) -> str:
    return f"`{text}`" if text else UNKNOWN


def _samples(run: Run) -> list[dict[str, str]]:
    return _csv_rows(run.manifest) if run.manifest.is_file() else []


def _csv_rows(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(cell: object) -> str:
    """Text that stays in its cell whatever it holds."""
    return " ".join(str(cell).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
