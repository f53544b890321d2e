"""Export: every artefact is written aside, proven, and only then put in place, all of them together."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from keras_imgcls.core import files, lock
from keras_imgcls.core.config import ExportConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import CannotWrite, UserError, nearest
from keras_imgcls.core.run import Run
from keras_imgcls.export import card, parity, web, web_runtime
from keras_imgcls.export.formats import FORMATS, Format
from keras_imgcls.export.parity import Limits, Parity
from keras_imgcls.export.reference import Reference, contents_digest, reference
from keras_imgcls.export.trained import Trained
from keras_imgcls.inference.predictor import load_run

DEFAULT = tuple(name for name, form in FORMATS.items() if not form.extra)


def export_run(run: Run, config: ExportConfig) -> list[Parity]:
    """Writes `RUN/export` anew and returns how its artefacts compare with the Keras model.

    Where one has failures, nothing is kept of the new export and an earlier one stays. A good one replaces the earlier
    folder as a whole: files of an older model don't stay beside newer ones.

    Raises:
        UserError: the run has no model or no data, an artefact can't be made or run, or the folder can't be written.
    """
    formats = chosen_formats(config.formats)
    predictor = load_run(run.path, config.trust_file)
    if config.web:  # asked for before the minutes that follow
        web.require(predictor.image_shape[2], formats, config.web_model)
        runtime = web_runtime.runtime(files.cache_folder(""))
    trained = Trained(
        run,
        predictor,
        config.allow_select_ops,
        config.samples,
        int8=config.int8,
        int8_epochs=config.int8_epochs,
        min_agreement_int8=config.min_agreement_int8,
    )
    expected = reference(run, predictor, config.samples)
    try:
        with lock.hold(run.path, ".export.lock"), files.folder_aside(run.export) as folder:
            files.clear(run.path)
            staged = folder / "export"
            write(trained, staged, formats)
            results = verify(staged, expected, config)
            if not any(result.failures for result in results):
                summary = _summary(trained, expected, config, results)
                files.write_json(staged / "parity.json", summary)
                files.write_text(staged / "MODEL_CARD.md", card.text(run, summary, config.intended_use))
                if config.web:
                    web.write(run, predictor, staged, results, runtime, config.web_model)
                files.replace_folder(staged, run.export)
            return results
    except (OSError, CannotWrite, tf.errors.OpError) as error:  # TensorFlow says of a full disk that it is exhausted
        raise CannotWrite(f"Can't write {run.export}: {_reason(error, run)}.") from error


def _reason(error: Exception, run: Run) -> str:
    """The system's reason, without names of files that are gone; whether it was of the temporary folder."""
    text, temporary = str(error).rpartition("}} ")[2], tempfile.gettempdir()
    of_system = getattr(error.__cause__ if isinstance(error, CannotWrite) else error, "strerror", None)
    reason = of_system or text.rpartition("; ")[2].partition(" [Op:")[0]
    elsewhere = f"{temporary}/" in text.replace(str(run.path), "")
    return f"on the way there, in {temporary}: {reason}" if elsewhere else reason


def require_parity(results: list[Parity]) -> None:
    """Raises UserError, with every failure, where an artefact is not good enough."""
    failures = [f"{result.artefact}: {failure}" for result in results for failure in result.failures]
    if failures:
        raise UserError(f"Nothing was kept of this export. {'; '.join(failures)}.")


def chosen_formats(names: str) -> list[str]:
    """The names in `--formats`, or all that need no extra where it is empty.

    Raises:
        UserError: one of them is unknown.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip()] or list(DEFAULT)
    for name in chosen:
        if name not in FORMATS:
            raise UserError(f"Unknown format '{name}'.{nearest(name, FORMATS)} Known: {', '.join(FORMATS)}.")
    return list(dict.fromkeys(chosen))


def write(trained: Trained, folder: Path, formats: Sequence[str] = DEFAULT) -> None:
    """Writes `labels.txt` and the artefacts of `formats` to `folder`."""
    files.write_text(folder / "labels.txt", "".join(f"{name}\n" for name in trained.predictor.class_names))
    for name in formats:
        note(f"{FORMATS[name].path}: writing …")
        FORMATS[name].write(trained, folder / FORMATS[name].path)
        if name in trained.statements:
            note(f"  {trained.statements[name]}")


def verify(folder: Path, expected: Reference, config: ExportConfig) -> list[Parity]:
    """Runs what `write` made, each in a fresh interpreter, and compares."""
    results = []
    for form in FORMATS.values():
        if (folder / form.path).exists():
            note(f"{form.path}: answering {len(expected.images):,} {expected.split} images …")
            results += check(folder / form.path, form, expected, config)
    return results


def check(path: Path, form: Format, expected: Reference, config: ExportConfig) -> list[Parity]:
    """The parity of one artefact, once for each of its inputs."""
    min_agreement = config.min_agreement_int8 if form.quantized else config.min_agreement
    limits = Limits(min_agreement, config.max_accuracy_drop, form.max_difference)
    with tempfile.TemporaryDirectory() as work:
        answers = form.answers(path, expected, Path(work))
    name = form.path.partition("/")[0]
    return [parity.compare(name, path, each, expected, limits) for each in answers]


def _summary(trained: Trained, expected: Reference, config: ExportConfig, results: list[Parity]) -> dict:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "split": expected.split,
        "images": len(expected.images),
        "data_sha256": contents_digest(trained.run, expected.data) if expected.data else None,
        "keras_accuracy": float(expected.right.mean()),
        "min_agreement": config.min_agreement,
        "min_agreement_int8": config.min_agreement_int8,
        "max_accuracy_drop": config.max_accuracy_drop,
        "statements": trained.statements,
        "artefacts": [result.summary() for result in results],
    }
