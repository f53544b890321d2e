"""The web page in a real browser: Chromium, headless, with a request to any other host as a failure."""

import contextlib
import functools
import http.server
import json
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_imgcls
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import resize_image
from keras_imgcls.inference.exported import load_exported

pytestmark = pytest.mark.web

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKUP = "<img src=x onerror=alert(1)>"
COLOURS = {MARKUP: (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}
SIZE = 32
LAUNCH = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    with playwright.sync_playwright() as started, started.chromium.launch(**LAUNCH) as chromium:
        yield chromium


def picture(colour, number, size=(48, 40)):
    noise = np.random.default_rng(number).integers(-30, 31, (*size, 3))
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def run(tmp_path_factory, browser):
    """A run on three colours, exported with its page; the name of one class is markup."""
    folder = tmp_path_factory.mktemp("web")
    for name, colour in COLOURS.items():
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            picture(colour, number).save(folder / "photos" / name / f"{number}.png")
    trained = keras_imgcls.train(
        "plain_cnn", folder / "photos", image_size=SIZE, epochs=4, augment="none", batch_size=4, optimizer="adamw",
        learning_rate=0.003, run_dir=str(folder / "run"), mixed_precision="float32", min_confidence=0.5,
    )  # fmt: skip
    keras_imgcls.export(trained, web=True, formats="tflite_int8", max_accuracy_drop=1.0, min_agreement_int8=0.0)
    return trained


@contextlib.contextmanager
def served(folder):
    """The address below which `folder` is served, on a path of its own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def opened(browser, address, ready="#files:not([disabled])"):
    """A page at `address` that has loaded its model; asserts that it asked no other host for anything."""
    with browser.new_context() as context:
        page, asked, failed = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(error))
        page.on("dialog", lambda dialog: failed.append(dialog.message))
        page.goto(f"{address}/export/web/")
        page.wait_for_selector(ready, state="attached")
        yield page
        assert not [url for url in asked if not url.startswith((address, "blob:", "data:"))]
        assert not failed


@pytest.fixture
def page(browser, run):
    with served(run.path) as address, opened(browser, address) as page:
        yield page


def answers(page, count):
    """The newest `count` results: heading and {label: probability}."""
    page.wait_for_selector(f".result:nth-child({count})")
    found = []
    for result in page.query_selector_all(".result")[:count]:
        lines = [item.query_selector_all("span span") for item in result.query_selector_all(".labels li")]
        labels = {label.inner_text(): float(share.inner_text().rstrip("%")) / 100 for label, share in lines}
        found.append((result.query_selector("h2").inner_text(), labels))
    return found


def evaluated(page, expression):
    """The value of a promise, past the page's policy, as a debugger may."""
    session = page.context.new_cdp_session(page)
    result = session.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
    assert "exceptionDetails" not in result, result
    return result["result"].get("value")


def test_chosen_files_get_the_labels_that_predict_gives(page, run, tmp_path):
    paths = []
    for number, colour in enumerate(COLOURS.values()):
        paths.append(tmp_path / f"{number}.png")
        picture(colour, 100 + number, (70, 90)).save(paths[-1])
    page.set_input_files("#files", paths)
    predictor = load_exported(run.export / "model_int8.tflite")
    for (heading, labels), expected in zip(answers(page, 3), predictor.predict(paths)[::-1], strict=True):
        best = predictor.class_names[expected.argmax()]
        assert heading == (best if expected.max() >= 0.5 else "unsure")
        assert set(labels) == set(COLOURS)
        for name, probability in zip(predictor.class_names, expected, strict=True):
            assert labels[name] == pytest.approx(probability, abs=0.02)


def test_markup_in_a_class_name_is_text(page, tmp_path):
    picture(COLOURS[MARKUP], 5).save(tmp_path / "a.png")
    page.set_input_files("#files", tmp_path / "a.png")
    assert MARKUP in answers(page, 1)[0][1]
    assert not page.query_selector_all("img")


def test_what_the_model_is_stands_on_the_page(page, run):
    card = json.loads((run.export / "web" / "card.json").read_text())
    about = page.inner_text("#about")
    assert about.startswith(f"Tells 3 classes apart. Right on {card['accuracy']:.1%} of {card['images']} test pictures")
    assert f"{card['accuracy_low']:.1%} to {card['accuracy_high']:.1%}" in about


def test_dropped_files_are_classified(page, tmp_path):
    picture(COLOURS["blue"], 7).save(tmp_path / "b.png")
    contents = (tmp_path / "b.png").read_bytes()
    evaluated(
        page,
        f"""(() => {{
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array({list(contents)})], "b.png", {{ type: "image/png" }}));
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", {{ dataTransfer: transfer, bubbles: true }}));
    }})()""",
    )
    assert "blue" in answers(page, 1)[0][1]


def test_a_broken_picture_is_named_and_the_others_are_done(page, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG no picture")
    picture(COLOURS["green"], 7).save(tmp_path / "c.png")
    page.set_input_files("#files", [tmp_path / "torn.png", tmp_path / "c.png"])
    assert len(answers(page, 1)) == 1
    assert page.inner_text("#results .problem") == "torn.png is no picture that this browser can read."


def test_a_missing_model_is_told(browser, run, tmp_path):
    shutil.copytree(run.export / "web", tmp_path / "export" / "web")
    (tmp_path / "export" / "web" / "model.tflite").unlink()
    with served(tmp_path) as address, opened(browser, address, ready=".problem") as page:
        assert page.inner_text("#status").startswith("The model can't be loaded: model.tflite is missing.")
        assert page.is_disabled("#files") and page.is_disabled("#camera")


def test_it_works_offline_after_the_first_visit(browser, run, tmp_path):
    picture(COLOURS["blue"], 8).save(tmp_path / "d.png")
    with contextlib.ExitStack() as server:
        address = server.enter_context(served(run.path))
        with opened(browser, address) as page:
            evaluated(page, "navigator.serviceWorker.ready.then(() => true)")
            server.close()
            page.reload()
            page.wait_for_selector("#files:not([disabled])", state="attached")
            page.set_input_files("#files", tmp_path / "d.png")
            assert "blue" in answers(page, 1)[0][1]


def test_the_camera_is_classified_frame_by_frame(browser, run, tmp_path):
    """Chromium's camera plays a prepared film of one colour."""
    film = tmp_path / "blue.y4m"
    planes = [np.asarray(plane) for plane in Image.new("RGB", (64, 48), COLOURS["blue"]).convert("YCbCr").split()]
    frame = planes[0].tobytes() + planes[1][::2, ::2].tobytes() + planes[2][::2, ::2].tobytes()
    film.write_bytes(b"YUV4MPEG2 W64 H48 F10:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + frame) * 5)
    fake = [f"--use-fake-{part}-for-media-stream" for part in ("ui", "device")]
    arguments = ["--no-sandbox", *fake, f"--use-file-for-fake-video-capture={film}"]
    with (
        browser.browser_type.launch(executable_path=CHROMIUM, args=arguments) as chromium,
        served(run.path) as address,
        opened(chromium, address) as page,
    ):
        page.click("#camera")
        page.wait_for_selector("#live .labels li")
        predictor = load_exported(run.export / "model_int8.tflite")
        solid = np.full((1, SIZE, SIZE, 3), COLOURS["blue"], np.uint8)
        expected = predictor.class_names[predictor.predict(solid)[0].argmax()]
        assert page.query_selector("#live .labels li span span").inner_text() == expected
        page.click("#stop")
        page.wait_for_selector("#viewfinder", state="hidden")


def test_a_refused_camera_is_told_in_a_sentence(browser, run):
    with served(run.path) as address, opened(browser, address) as page:
        page.click("#camera")
        page.wait_for_selector(".problem")
        text = page.inner_text("#status")
        assert text.startswith(("The camera was refused.", "There is no camera on this device."))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest", "mediapipe"])
@pytest.mark.parametrize("method", ["squash", "crop", "pad"])
def test_pixels_are_those_of_training(page, method, interpolation):
    """The page's own resize against the one door, on noise, larger and smaller than the model's input."""
    for shape in ((90, 61), (20, 33)):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 4), dtype=np.uint8)
        image[..., 3] = 255
        expected = resize_image(tf.constant(image[..., :3]), SIZE, method, interpolation).numpy().astype(int)
        found = evaluated(
            page,
            f"""import("./resize.js").then(({{ resized }}) => Array.from(resized(
            new ImageData(new Uint8ClampedArray({image.ravel().tolist()}), {shape[1]}, {shape[0]}),
            {SIZE}, "{method}", "{interpolation}").data))""",
        )
        pixels = np.array(found).reshape(SIZE, SIZE, 4)[..., :3]
        assert np.abs(pixels - expected).max() <= 1


@pytest.mark.slow
def test_photos_get_the_same_labels_as_by_predict(browser, tmp_path, shared_data):
    """186 flowers and 9 orientations of EXIF. Probabilities differ by what two JPEG decoders differ in: a few levels."""
    flowers = shared_data("flowers")
    trained = keras_imgcls.train(
        "plain_cnn",
        flowers,
        image_size=64,
        epochs=3,
        augment="none",
        run_dir=str(tmp_path / "run"),
        mixed_precision="float32",
    )
    keras_imgcls.export(trained, web=True, formats="tflite_int8", max_accuracy_drop=1.0, min_agreement_int8=0.0)
    paths = [path for folder in (flowers, shared_data("exif_orientation")) for path in sorted(folder.rglob("*.jpg"))][
        :200
    ]
    expected = load_exported(trained.export / "model_int8.tflite")
    probabilities = expected.predict(paths)
    with served(trained.path) as address, opened(browser, address) as page:
        page.set_input_files("#files", paths)
        found = answers(page, len(paths))[::-1]
    best = [expected.class_names[row.argmax()] for row in probabilities]
    assert np.mean([heading == name for (heading, _), name in zip(found, best, strict=True)]) >= 0.99
    shown = np.array([[labels[name] for name in expected.class_names] for _, labels in found])
    assert np.quantile(np.abs(shown - probabilities), 0.99) < 0.02


def test_a_grey_model_has_no_page(tiny_run):
    with pytest.raises(UserError, match="takes RGB models only"):
        keras_imgcls.export(tiny_run, web=True)
