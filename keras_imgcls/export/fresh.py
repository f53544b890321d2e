"""Fresh: exports run by a new interpreter that has this package nowhere."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from keras_imgcls.core.children import ending
from keras_imgcls.core.errors import UserError
from keras_imgcls.export import metadata
from keras_imgcls.export.reference import Reference

MEDIAPIPE = "by MediaPipe"
ADVICE = "end what else needs memory, or export fewer --formats at once; an earlier export stands"


@dataclass(frozen=True, eq=False)
class Answers:
    """What an export says of the images of a reference.

    Attributes:
        way: which of its inputs was used; empty where it has one.
        probabilities: of shape (n, k).
        chosen: the label of each, by the labels that the export has.
        class_names: those labels.
        operations: how often its graph has which operation; empty where the format doesn't say.
        milliseconds: by the number of threads, how long each of some images took, one at a time.
        faults: what is wrong with it whatever it answers.
        judged: whether it has to reach the limits; else it is reported.
    """

    way: str
    probabilities: np.ndarray
    chosen: np.ndarray
    class_names: tuple[str, ...]
    operations: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[int, np.ndarray] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    judged: bool = True


def saved_model(folder: Path, expected: Reference, work: Path) -> list[Answers]:
    """What the SavedModel in `folder` says, by each of its signatures; `work` is a folder to work in.

    Raises:
        UserError: it can't be run.
    """
    answers = _saved_model(folder, expected.images, expected.encoded, work / "all", threads=2)
    alone = _saved_model(folder, expected.images[:1], expected.encoded[:1], work / "one", threads=1)  # for its time
    milliseconds = {1: alone["milliseconds"], 2: answers["milliseconds"]}
    names = tuple(answers["class_names"].tolist())
    return [
        Answers("pixels", answers["probabilities"], answers["chosen"], names, milliseconds=milliseconds),
        Answers("files", answers["byte_probabilities"], answers["byte_chosen"], names),
        _best(answers["best_labels"], answers["best_probabilities"], expected, names),
    ]


def _best(labels: np.ndarray, values: np.ndarray, expected: Reference, names: tuple[str, ...]) -> Answers:
    """What `classify` says: its labels and their probabilities; of classes that it leaves out, nothing is held against it."""
    probabilities = expected.probabilities.copy()
    place = {name: index for index, name in enumerate(expected.class_names)}
    known = np.isin(labels, expected.class_names)
    rows, columns = known.nonzero()
    probabilities[rows, [place[name] for name in labels[known]]] = values[rows, columns]
    descending = (np.diff(values, axis=1) <= 0).all()
    faults = () if known.all() and descending else ("its labels are not those of the run, the most probable first",)
    return Answers("classify", probabilities, labels[:, 0], names, faults=faults)


def _saved_model(
    folder: Path, images: np.ndarray, encoded: list[bytes], work: Path, threads: int
) -> dict[str, np.ndarray]:
    files_folder = work / "files"
    files_folder.mkdir(parents=True)
    for number, content in enumerate(encoded):
        (files_folder / f"{number:08}").write_bytes(content)
    options = (str(threads),)
    answers = run("fresh_saved_model.py", folder, store(images, work), files_folder, work=work, options=options)
    require_absent(answers, ("keras_imgcls",))
    return answers


def tflite(path: Path, expected: Reference, work: Path) -> list[Answers]:
    """What a TFLite file says of the raw files, made its input as it says itself; `work` is a folder to work in.

    Its labels are those of the `labels.txt` beside it.

    Raises:
        UserError: it can't be run.
    """
    _, served = metadata.read(path)
    images = expected.pixels(served["resize"], served["interpolation"])
    answers = _tflite("", path, images, work)
    if not np.array_equal(images, expected.images):
        fault = f"pixels resized as it says ({served['resize']}, {served['interpolation']}) are not those of training"
        answers = replace(answers, faults=(*answers.faults, fault))
    return [answers]


def tflite_and_phone(path: Path, expected: Reference, work: Path) -> list[Answers]:
    """As `tflite`; and what a phone gets, on which MediaPipe's ImageClassifier makes the input of raw files its own way.

    It takes RGB only. Where all files have the model's size there is nothing to resize, and nothing more to say.
    """
    answers = tflite(path, expected, work)
    if expected.images.shape[-1] != 3:
        return answers
    images = expected.pixels("squash", "mediapipe")
    if np.array_equal(images, expected.images):
        return answers
    return [*answers, replace(_tflite(MEDIAPIPE, path, images, work), milliseconds={}, judged=False)]


def _tflite(way: str, path: Path, images: np.ndarray, work: Path) -> Answers:
    operations = census(path.read_bytes())
    flex = [name for name in operations if name.startswith("Flex")]
    runtime = "tensorflow" if flex else "ai_edge_litert"  # LiteRT's package has no TensorFlow operations
    labels = path.with_name("labels.txt")
    try:
        answers = run("fresh_tflite.py", path, labels, store(images, work), work=work, options=(runtime,))
    except UserError as error:
        if not flex or "Select TensorFlow op" not in str(error):
            raise
        raise UserError(
            f"{path.name} has {', '.join(flex)}, which TensorFlow {tf.__version__} for Python doesn't run: it can't be "
            "proven here."
        ) from error
    require_absent(answers, ("keras_imgcls", *(() if flex else ("tensorflow", "keras"))))
    names = tuple(answers["class_names"].tolist())
    faults = () if metadata.read(path)[0] == list(names) else ("the labels inside are not those beside it",)
    milliseconds = {threads: answers[f"milliseconds_{threads}"] for threads in (1, 2)}
    return Answers(way, answers["probabilities"], answers["chosen"], names, operations, milliseconds, faults)


def onnx(path: Path, expected: Reference, work: Path) -> list[Answers]:
    """What an ONNX file says of the pixels; `work` is a folder to work in.

    Raises:
        UserError: it can't be run.
    """
    answers = run("fresh_onnx.py", path, store(expected.images, work), work=work)
    require_absent(answers, ("keras_imgcls", "tensorflow", "keras"))
    names = tuple(answers["class_names"].tolist())
    milliseconds = {threads: answers[f"milliseconds_{threads}"] for threads in (1, 2)}
    return [Answers("", answers["probabilities"], answers["chosen"], names, milliseconds=milliseconds)]


def plain_keras(path: Path, expected: Reference, work: Path) -> list[Answers]:
    """What a `.keras` file with the `labels.txt` beside it says of the pixels; `work` is a folder to work in.

    Raises:
        UserError: it can't be run.
    """
    answers = run("fresh_keras.py", path, path.with_name("labels.txt"), store(expected.images, work), work=work)
    require_absent(answers, ("keras_imgcls",))
    return [Answers("", answers["probabilities"], answers["chosen"], tuple(answers["class_names"].tolist()))]


def census(model: bytes) -> dict[str, int]:
    """How often a TFLite file has which operation, most frequent first."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    contents = schema.Model.GetRootAs(model, 0)
    counts: dict[str, int] = {}
    for graph in map(contents.Subgraphs, range(contents.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = contents.OperatorCodes(operator.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = code.CustomCode().decode() if code.CustomCode() else names[number]
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def store(images: np.ndarray, work: Path) -> Path:
    """`images` as a file in `work`."""
    np.save(work / "images.npy", images)
    return work / "images.npy"


def run(script: str, *arguments: Path, work: Path, options: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """What a script of this folder answers, run by a new interpreter, elsewhere, and on the CPU.

    Raises:
        UserError: it failed.
    """
    program = Path(__file__).with_name(script).resolve()
    answers = work / "answers.npz"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # -P: modules are not looked for in the script's folder, nor in the working one.
    places = [*(argument.resolve() for argument in arguments), answers.resolve()]
    command = [sys.executable, "-P", program, *places, *options]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [""])[-1]
        told = f"The export {arguments[0].name} can't be run in a fresh interpreter, which"
        raise UserError(f"{told} {ending(result.returncode, ADVICE, last)}")
    with np.load(answers, allow_pickle=False) as stored:
        return dict(stored)


def require_absent(answers: dict[str, np.ndarray], packages: Sequence[str]) -> None:
    """Holds that none of `packages` was imported.

    Raises:
        UserError: with the names of those that were.
    """
    found = sorted(set(packages) & set(answers["imported"].tolist()))
    if found:
        raise UserError(f"An export is to be run without {', '.join(packages)}, but {', '.join(found)} was imported.")
