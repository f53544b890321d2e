"""int8 that holds its accuracy: quantization after training, and where that loses too much, remedies and a statement."""

from dataclasses import dataclass
from pathlib import Path

from keras_imgcls.core.console import note
from keras_imgcls.export import fallback, litert, tflite
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
        agreement: the fraction of images on which both choose the same class.
        count: how many images there are.
    """

    model: bytes
    lost: int
    agreement: float
    count: int

    @property
    def holds(self) -> bool:
        """Whether it loses no more than it may."""
        return self.lost <= max(LARGEST_LOSS * self.count, LEAST_IMAGES)

    @property
    def text(self) -> str:
        """What it loses, in words."""
        change = f"loses {self.lost / self.count:.1%} of accuracy" if self.lost > 0 else "loses nothing"
        return f"{change}, agrees on {self.agreement:.1%}"


def write(trained: Trained, path: Path) -> None:
    """Writes the int8 file; see `tflite.int8`. Where that loses more than a point on validation images, layers stay float.

    What was done is in `trained.statements`.

    Raises:
        UserError: an operation is unknown to plain TFLite in int8, or there are no images to calibrate with.
    """
    attempt = measure(trained, tflite.int8(trained))
    statement = f"quantized after training with {len(trained.calibration)} calibration images it {attempt.text}"
    if not attempt.holds:
        note(f"  {statement}: looking for the layers that int8 hurts …")
        attempt, remedy = with_float_layers(trained, attempt)
        statement = f"{statement}; {remedy}"
    trained.statements[NAME] = f"{statement} ({attempt.count} {trained.validation.split} images)"
    tflite.require_quantization(attempt.model)
    tflite.save(trained, attempt.model, path)


def with_float_layers(trained: Trained, quantized: Attempt) -> tuple[Attempt, str]:
    """The first file that holds with 1, 2, 4 … of the most sensitive places in float, else the best; and what was done."""
    ranked = fallback.Sensitivity(trained)
    best, kept = quantized, 0
    for count in ranked.counts():
        attempt = measure(trained, ranked.quantize(count))
        if (attempt.lost, -attempt.agreement) < (best.lost, -best.agreement):
            best, kept = attempt, count
        if best.holds:
            break
    if not kept:
        return best, "layers in float did not help"
    layers = ranked.kept(kept)
    return best, f"with {', '.join(layers)} in float it {best.text}"


def measure(trained: Trained, model: bytes) -> Attempt:
    """What a file loses on the validation images."""
    expected = trained.validation
    chosen = litert.probabilities(model, expected.images).argmax(axis=1)
    right = chosen == expected.truth
    agrees = chosen == expected.probabilities.argmax(axis=1)
    return Attempt(model, int(expected.right.sum()) - int(right.sum()), float(agrees.mean()), len(chosen))
