"""Web: a static folder with a page that runs the model in a browser, for any file server under any path."""

import base64
import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path

from PIL import Image, ImageDraw

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError
from keras_imgcls.core.run import Run
from keras_imgcls.export.formats import FORMATS
from keras_imgcls.export.parity import Parity
from keras_imgcls.inference.base import BasePredictor

MODELS = {"int8": "tflite_int8", "float": "tflite"}
MODEL = "model.tflite"
ICON_SIZES = (192, 512)  # pixels; what home screens ask for
ICON_GROUND, ICON_BARS = "#1f5fbf", ((0.62, "#ffffff"), (0.38, "#a9c8f5"), (0.22, "#6f9fe6"))


def require(channels: int, formats: list[str], web_model: str) -> None:
    """Raises UserError where no page can be made: of a grey model, or without the file that it runs."""
    if channels != 3:
        raise UserError("The web page's runtime takes RGB models only: train with --channels=3.")
    if MODELS[web_model] not in formats:
        raise UserError(f"--web needs the format {MODELS[web_model]}: leave --formats empty, or name it there.")


def write(
    run: Run, predictor: BasePredictor, export: Path, results: list[Parity], runtime: Path, web_model: str
) -> None:
    """Writes `web/` into the folder `export`, whose model files have been proven: `results` say how good each is."""
    folder, source = export / "web", FORMATS[MODELS[web_model]].path
    folder.mkdir()
    for file in resources.files("keras_imgcls.export").joinpath("web_page").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    shutil.copytree(runtime, folder / "runtime")
    shutil.copyfile(export / source, folder / MODEL)
    proven = next(result for result in results if result.artefact == source)
    card = _card(run, predictor, json.loads((export / "parity.json").read_text(encoding="utf-8")), proven)
    files.write_json(folder / "card.json", card)
    files.write_json(folder / "manifest.webmanifest", _manifest(card["name"]))
    for size in ICON_SIZES:
        _icon(size).save(folder / f"icon-{size}.png")
    list_files(folder)


def _card(run: Run, predictor: BasePredictor, parity: dict, proven: Parity) -> dict:
    """What the page says of the model and needs to feed it; the accuracy is that of the file on the page."""
    config = run.config
    dataset = config.dataset or Path(config.data_dir).resolve().name
    return {
        "name": dataset,
        "dataset": dataset,
        "network": config.model,
        "classes": list(predictor.class_names),
        "model": MODEL,
        "image_size": predictor.image_shape[0],
        "resize": predictor.resize,
        "interpolation": predictor.interpolation,
        "min_confidence": predictor.min_confidence,
        "accuracy": proven.accuracy,
        "accuracy_low": proven.accuracy_low,
        "accuracy_high": proven.accuracy_high,
        "images": proven.images,
        "split": parity["split"],
        "date": parity["date"],
    }


def _manifest(name: str) -> dict:
    icons = [{"src": f"icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png"} for size in ICON_SIZES]
    return {"name": name, "short_name": name, "start_url": ".", "display": "standalone", "icons": icons}


def _icon(size: int) -> Image.Image:
    """Three bars, as the page shows answers."""
    icon = Image.new("RGB", (size, size), ICON_GROUND)
    pen, height = ImageDraw.Draw(icon), 0.13 * size
    for number, (length, colour) in enumerate(ICON_BARS):
        top = size * (0.24 + 0.2 * number)
        pen.rounded_rectangle((0.19 * size, top, (0.19 + length) * size, top + height), height / 2, colour)
    return icon


def list_files(folder: Path) -> None:
    """Tells the service worker which files to keep, with their checksums, under a name that changes with any of them."""
    worker = folder / "service_worker.js"
    listed = sorted(path for path in folder.rglob("*") if path.is_file() and path != worker)
    checksums = {_address(path.relative_to(folder)): _checksum(path.read_bytes()) for path in listed}
    version = hashlib.sha256(json.dumps(checksums).encode()).hexdigest()[:16]
    text = worker.read_text(encoding="utf-8")
    text = text.replace('const VERSION = "";', f'const VERSION = "{version}";')
    files.write_text(worker, text.replace("const FILES = {};", f"const FILES = {json.dumps(checksums, indent=2)};"))


def _address(path: Path) -> str:
    return "." if path.name == "index.html" else path.as_posix()


def _checksum(contents: bytes) -> str:
    """As browsers write them: W3C Subresource Integrity."""
    return "sha256-" + base64.b64encode(hashlib.sha256(contents).digest()).decode()
