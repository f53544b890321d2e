"""int8 that holds its accuracy: quantization after training, and where that loses too much, remedies and a statement."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from keras_imgcls.core.console import note
from keras_imgcls.evaluation.paired import is_below
from keras_imgcls.export import fallback, litert, quantization_aware, tflite
from keras_imgcls.export.trained import Trained

NAME = "tflite_int8"
LARGEST_LOSS = 0.01  # of accuracy, on validation images: beyond it a remedy is tried
LEAST_IMAGES = 2  # that many images lost are chance, however few there are


@dataclass(frozen=True, eq=False)
class Attempt:
    """A quantized file and what it loses on validation images.

    Attributes:
        model: its content, without metadata.
        lost: how many more images it has wrong than the Keras model.
        right: how many it has right.
        agreement: the fraction of images on which both choose the same class.
        count: how many images there are.
        way: how it was made, in words.
        least_agreement: the agreement that its gate asks for.
    """

    model: bytes
    lost: int
    right: int
    agreement: float
    count: int
    way: str = ""
    least_agreement: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it loses no more than it may, and its gate will let it pass."""
        disagrees = is_below(round(self.agreement * self.count), self.count, self.least_agreement)
        return self.lost <= max(LARGEST_LOSS * self.count, LEAST_IMAGES) and not disagrees

    @property
    def rank(self) -> tuple[bool, int, float]:
        """The less the better: whether it fails, images lost (to have gained some is chance), disagreement."""
        return not self.holds, max(self.lost, 0), -self.agreement

    @property
    def text(self) -> str:
        """How it was made and what it loses, in words."""
        change = f"loses {self.lost / self.count:.1%}" if self.lost > 0 else "loses nothing"
        return f"{self.way} it {change} (accuracy {self.right / self.count:.1%}, agrees on {self.agreement:.1%})"


def write(trained: Trained, path: Path) -> None:
    """Writes the int8 file; see `tflite.int8`. Where that loses more than a point, remedies are tried.

    So they are where it agrees with the Keras model on fewer images than its gate asks for; all by validation images.
    `trained.int8` says which; the best file is kept. What was tried, what came of it and what was kept is in
    `trained.statements`.

    Raises:
        UserError: an operation is unknown to plain TFLite in int8, or there are no images to calibrate with.
    """
    way = f"quantized after training with {len(trained.calibration)} calibration images"
    attempts = [measure(trained, tflite.int8(trained), way)]
    if trained.int8 == "quantization_aware" or (trained.int8 == "auto" and not attempts[0].holds):
        note(f"  {attempts[0].text}")
        attempts.append(with_fine_tuning(trained))
    if trained.int8 in ("auto", "float_layers") and not any(attempt.holds for attempt in attempts):
        note(f"  {attempts[-1].text}: looking for the layers that int8 hurts …")
        attempts.append(with_float_layers(trained, attempts[0]))
    best = min(attempts, key=lambda attempt: attempt.rank)  # of equal ones the first
    trained.statements[NAME] = _statement(trained, attempts, best)
    tflite.require_quantization(best.model)
    tflite.save(trained, best.model, path)


def with_fine_tuning(trained: Trained) -> Attempt:
    """The file of the network after quantization-aware fine-tuning; see `quantization_aware`."""
    view = quantization_aware.fine_tuned(trained, trained.int8_epochs)
    model = quantization_aware.convert(trained, view)
    floating = quantization_aware.in_float(model, view)
    way = f"after {trained.int8_epochs} epoch{'s' * (trained.int8_epochs > 1)} of quantization-aware fine-tuning"
    return measure(trained, model, f"{way}, with {', '.join(floating)} in float," if floating else way)


def with_float_layers(trained: Trained, quantized: Attempt) -> Attempt:
    """The first file that holds with 1, 2, 4 … of the most sensitive places in float, else the best.

    Where none is better than `quantized`, it is that one again.
    """
    ranked = fallback.Sensitivity(trained)
    best, kept = quantized, 0
    for count in ranked.counts():
        attempt = measure(trained, ranked.quantize(count))
        if attempt.rank < best.rank:
            best, kept = attempt, count
        if best.holds:
            break
    way = f"with {', '.join(ranked.kept(kept))} in float" if kept else "layers in float did not help:"
    return dataclasses.replace(best, way=way)


def measure(trained: Trained, model: bytes, way: str = "") -> Attempt:
    """What a file loses on the validation images."""
    expected = trained.validation
    chosen = litert.probabilities(model, expected.images).argmax(axis=1)
    right = int((chosen == expected.truth).sum())
    agrees = chosen == expected.probabilities.argmax(axis=1)
    lost = int(expected.right.sum()) - right
    return Attempt(model, lost, right, float(agrees.mean()), len(chosen), way, trained.min_agreement_int8)


def _statement(trained: Trained, attempts: list[Attempt], best: Attempt) -> str:
    number = attempts.index(best)
    kept = "" if len(attempts) == 1 else f"; kept: the {('first', 'second', 'third')[number]}"
    images = f"{best.count} {trained.validation.split} images, the Keras model {trained.validation.right.mean():.1%}"
    return f"{'; '.join(attempt.text for attempt in attempts)}{kept} ({images})"
