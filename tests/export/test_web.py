"""The web page in a real browser: Chromium, headless, with a request to any other host as a failure."""

import contextlib
import functools
import http.server
import json
import shutil
import threading
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_imgcls
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import resize_image
from keras_imgcls.export import web
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
    keras_imgcls.export(trained, web=True, formats="tflite,tflite_int8", max_accuracy_drop=1.0, min_agreement_int8=0.0)
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
        page.on("requestfailed", lambda request: request.failure == "csp" and asked.remove(request.url))  # never sent
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
    """The first `count` results: heading and {label: probability}."""
    page.locator(".result").nth(count - 1).wait_for()
    found = []
    for result in page.query_selector_all(".result")[:count]:
        lines = [item.query_selector_all("bdi, span") for item in result.query_selector_all(".labels li")]
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
    for (heading, labels), expected in zip(answers(page, 3), predictor.predict(paths), strict=True):
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
    assert (
        page.inner_text("#results .problem")
        == "torn.png is no picture that this browser can read. JPEG, PNG, GIF and WebP are."
    )


def test_a_missing_model_is_told(browser, run, tmp_path):
    shutil.copytree(run.export / "web", tmp_path / "export" / "web")
    (tmp_path / "export" / "web" / "model.tflite").unlink()
    with served(tmp_path) as address, opened(browser, address, ready=".problem") as page:
        assert page.inner_text("#status").startswith("The model can't be loaded: model.tflite is missing.")
        assert page.is_disabled("#files") and page.is_disabled("#camera")


def changed(run, folder, **facts):
    """A copy of the page below `folder`, whose card says `facts`."""
    page = folder / "export" / "web"
    shutil.copytree(run.export / "web", page)
    card = json.loads((page / "card.json").read_text())
    (page / "card.json").write_text(json.dumps({**card, **facts}))
    worker = resources.files("keras_imgcls.export").joinpath("web_page", "service_worker.js")
    (page / "service_worker.js").write_text(worker.read_text())
    web.list_files(page)
    return folder


def test_a_damaged_model_is_told(browser, run, tmp_path):
    changed(run, tmp_path)
    (tmp_path / "export" / "web" / "model.tflite").write_text("<!doctype html>")  # what some servers send for any path
    with served(tmp_path) as address, opened(browser, address, ready=".problem") as page:
        assert page.inner_text("#status").startswith(
            "The model can't be started: its file or the runtime's is damaged."
        )


def test_unsure_below_the_confidence_of_the_run(browser, run, tmp_path):
    picture(COLOURS["blue"], 8).save(tmp_path / "d.png")
    changed(run, tmp_path, min_confidence=1.0)
    with served(tmp_path) as address, opened(browser, address) as page:
        page.set_input_files("#files", tmp_path / "d.png")
        ((heading, labels),) = answers(page, 1)
        assert heading == ("unsure" if max(labels.values()) < 1 else "blue")
        assert page.text_content("#announcement").startswith(f"d.png: {heading}, ")
        assert "below 100.0%" in page.text_content("#facts")


def test_many_pictures_keep_their_order_and_are_read_out_once(page, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(50)]
    for number, path in enumerate(paths):
        picture(COLOURS["blue"], number).save(path)
    said = "document.getElementById('announcement')"
    evaluated(
        page,
        f"window.said = []; new MutationObserver(() => window.said.push({said}.textContent))"
        f".observe({said}, {{ childList: true }})",
    )
    page.set_input_files("#files", paths[:49])
    page.set_input_files("#files", paths[49:])  # while the others are under way
    page.locator(".result").nth(49).wait_for()
    order = [
        hint.inner_text().strip("\u2068").partition("\u2069")[0] for hint in page.query_selector_all(".result .hint")
    ]
    assert order == [path.name for path in (paths[49], *paths[:49])]
    page.wait_for_selector("#progress:empty", state="attached")
    assert evaluated(page, "window.said.length") == 2
    assert evaluated(page, "window.said[0]") == "49 pictures are done."


def test_long_names_in_any_script_and_many_classes_fit_on_a_phone(browser, run, tmp_path):
    names = ["שלום", "長" * 60, "w" * 200, *(f"class {number}" for number in range(997))]
    changed(run, tmp_path, name="ש" * 100, classes=names)
    with served(tmp_path) as address, opened(browser, address) as page:
        page.set_viewport_size({"width": 390, "height": 800})
        evaluated(page, "document.getElementById('card').open = true")
        assert page.inner_text("#about").startswith("Tells 1000 classes apart.")
        assert all(name in page.inner_text("#facts") for name in names)
        assert evaluated(page, "document.documentElement.scrollWidth <= window.innerWidth")


def test_a_photo_larger_than_a_strip_is_seen_whole(page, run, tmp_path):
    """A hundred rows at a time: green above, blue below, so that a lost part would change the answer."""
    photo = Image.new("RGB", (42_000, 300), COLOURS["green"])
    photo.paste(COLOURS["blue"], (0, 150, 42_000, 300))
    photo.save(tmp_path / "wide.png")
    page.set_input_files("#files", tmp_path / "wide.png")
    predictor = load_exported(run.export / "model_int8.tflite")
    ((_, labels),) = answers(page, 1)
    expected = dict(zip(predictor.class_names, predictor.predict([tmp_path / "wide.png"])[0], strict=True))
    assert labels == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "missing", ["WebAssembly", "createImageBitmap", "HTMLScriptElement.prototype.noModule", "WebAssembly.validate"]
)
def test_an_old_browser_is_told_in_a_sentence(browser, run, missing):
    gone = "window.WebAssembly.validate = () => false" if "validate" in missing else f"delete window.{missing}"
    with served(run.path) as address, browser.new_context() as context:
        context.add_init_script(gone)
        page = context.new_page()
        page.goto(f"{address}/export/web/")
        page.wait_for_selector(".problem")
        assert page.inner_text("#status").startswith("This browser is too old to run the model.")


def test_the_policy_is_in_force(page):
    """Neither markup nor code that got into the page could send a picture away."""
    found = evaluated(
        page,
        """new Promise(async (resolve) => {
        const found = [];
        document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.injected = true";
        document.body.append(script);
        const markup = { innerHTML: "<p onclick='window.injected = true' style='color: red'>" };
        document.body.append(Object.assign(document.createElement("div"), markup));
        document.body.lastChild.firstChild.click(); // some browsers look at a handler when it is first wanted
        new Image().src = "https://other.invalid/picture";
        await fetch("https://other.invalid/", { method: "POST", body: "picture" }).catch(() => found.push("refused"));
        navigator.sendBeacon("https://other.invalid/", "picture");
        setTimeout(() => resolve([...found, window.injected]), 300);
        })""",
    )
    assert set(found) == {
        "refused",
        "script-src-elem",
        "script-src-attr",
        "style-src-attr",
        "img-src",
        "connect-src",
        None,
    }
    assert found.count("connect-src") == 2


def test_by_keyboard_alone(page):
    """Tab goes through what can be done, each with a ring; Enter opens the choice of files."""
    page.on(
        "filechooser", lambda _: None
    )  # the first listener takes its way to the page beside the keys: long before Enter
    stops = []
    for _ in range(3):
        page.keyboard.press("Tab")
        stops.append(evaluated(page, "document.activeElement.id || document.activeElement.tagName"))
    assert stops == ["files", "camera", "SUMMARY"]
    page.focus("#files")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert evaluated(page, "getComputedStyle(document.querySelector('.button')).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    assert chooser.value.is_multiple()


CONTRASTS = """(() => {
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => numbers(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return (numbers(colour)[3] ?? 1) ? colour : ground(node.parentElement);
};
const ratio = (node) => {
    const [low, high] = [getComputedStyle(node).color, ground(node)].map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
};
const texts = [...document.body.querySelectorAll("*")].filter((node) =>
    node.checkVisibility() && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
return texts.map((node) => [node.outerHTML.slice(0, 80), ratio(node)]);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page, tmp_path, scheme):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    (tmp_path / "torn.png").write_bytes(b"no picture")
    picture(COLOURS["green"], 7).save(tmp_path / "c.png")
    page.emulate_media(color_scheme=scheme)
    page.set_input_files("#files", [tmp_path / "torn.png", tmp_path / "c.png"])
    answers(page, 1)
    evaluated(page, "document.getElementById('card').open = true; document.getElementById('update').hidden = false")
    found = evaluated(page, CONTRASTS)
    assert len(found) > 15
    assert [text for text, ratio in found if ratio < 4.5] == []


def test_a_new_version_takes_over_whole(browser, run, tmp_path):
    """A page that nobody used shows it by itself; one in use says so and keeps its answers."""
    picture(COLOURS["blue"], 8).save(tmp_path / "d.png")
    place = changed(run, tmp_path / "served", name="first")
    with served(place) as address, opened(browser, address) as page:
        evaluated(page, "navigator.serviceWorker.ready.then(() => true)")
        for name in ("second", "third"):
            shutil.rmtree(place)
            changed(run, place, name=name)
            if name == "third":
                page.set_input_files("#files", tmp_path / "d.png")
                answers(page, 1)
                evaluated(page, "navigator.serviceWorker.ready.then((one) => one.update()).then(() => true)")
                page.click("#update button")
            else:
                page.reload()
            page.get_by_role("heading", name=name).wait_for()
            page.wait_for_selector("#files:not([disabled])", state="attached")
        assert evaluated(page, "caches.keys().then((names) => names.length)") == 1


def test_half_a_new_version_is_not_kept(browser, run, tmp_path):
    """While files are being copied to a server, what there is of the new version doesn't match its list."""
    place = changed(run, tmp_path / "served", name="first")
    with served(place) as address, opened(browser, address) as page:
        evaluated(page, "navigator.serviceWorker.ready.then(() => true)")
        changed(run, tmp_path / "next", name="second")
        shutil.copy(tmp_path / "next/export/web/service_worker.js", place / "export/web/service_worker.js")
        evaluated(
            page,
            """navigator.serviceWorker.ready.then((one) => one.update()).then((one) => new Promise((resolve) => {
            const check = () => (one.installing ? setTimeout(check, 50) : resolve(true));
            check();
            }))""",
        )
        page.reload()
        page.get_by_role("heading", name="first").wait_for()


def test_two_pages_of_one_server_keep_their_own_files(browser, run, tmp_path):
    changed(run, tmp_path, name="one")
    changed(run, tmp_path / "deep" / "er", name="two")
    with contextlib.ExitStack() as server:
        address = server.enter_context(served(tmp_path))
        with opened(browser, address) as page:
            evaluated(page, "navigator.serviceWorker.ready.then(() => true)")
            page.goto(f"{address}/deep/er/export/web/")
            evaluated(page, "navigator.serviceWorker.ready.then(() => true)")
            server.close()
            for path, name in (("", "one"), ("/deep/er", "two")):
                page.goto(f"{address}{path}/export/web/index.html?from=home")
                page.get_by_role("heading", name=name).wait_for()
                page.wait_for_selector("#files:not([disabled])", state="attached")


def test_the_float_model_runs_too(browser, run, tmp_path):
    """`--web_model=float`: what the page says and runs is the float file."""
    predictor = keras_imgcls.load_run(run.path)
    shutil.copytree(run.export, tmp_path / "export")
    shutil.rmtree(tmp_path / "export" / "web")
    results = [SimpleNamespace(artefact="model.tflite", accuracy=1.0, accuracy_low=0.9, accuracy_high=1.0, images=9)]
    web.write(run, predictor, tmp_path / "export", results, run.export / "web" / "runtime", "float")
    assert (tmp_path / "export/web/model.tflite").read_bytes() == (run.export / "model.tflite").read_bytes()
    picture(COLOURS["blue"], 8).save(tmp_path / "d.png")
    with served(tmp_path) as address, opened(browser, address) as page:
        page.set_input_files("#files", tmp_path / "d.png")
        expected = dict(zip(predictor.class_names, predictor.predict([tmp_path / "d.png"])[0], strict=True))
        assert answers(page, 1)[0][1] == pytest.approx(expected, abs=0.001)


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
        predictor = load_exported(run.export / "model_int8.tflite")
        solid = np.full((1, SIZE, SIZE, 3), COLOURS["blue"], np.uint8)
        expected = predictor.class_names[predictor.predict(solid)[0].argmax()]
        for place in ("#live .labels li:first-child", "#announcement"):  # Chromium's first frames may be empty ones
            page.wait_for_selector(f"{place}:has-text('{expected}')", state="attached")
        assert page.is_hidden("#turn") and page.is_hidden("#camera")  # there is one camera, and it is on
        evaluated(
            page,
            "window.spoken = 0; new MutationObserver(() => { window.spoken += 1; })"
            ".observe(document.getElementById('announcement'), { childList: true, characterData: true, subtree: true })",
        )
        page.wait_for_timeout(2500)  # longer than what lies between two sentences
        assert evaluated(page, "window.spoken") == 0
        for _ in range(2):
            page.keyboard.press("Escape")
            page.wait_for_selector("#viewfinder", state="hidden")
            assert evaluated(page, "document.activeElement.id") == "camera"
            page.keyboard.press("Enter")
            page.wait_for_selector("#live .labels li")
        page.click("#stop")
        page.wait_for_selector("#viewfinder", state="hidden")
        evaluated(page, "document.getElementById('camera').click(); document.getElementById('stop').click()")
        page.wait_for_timeout(500)
        assert evaluated(page, "document.getElementById('video').srcObject === null")  # allowed after it was stopped


def test_each_camera_has_its_turn(browser, run):
    """Chromium's two cameras don't say whether they are in front or behind."""
    arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=device-count=2"]
    device = "document.getElementById('video').srcObject?.getVideoTracks()[0].getSettings().deviceId"
    with (
        browser.browser_type.launch(executable_path=CHROMIUM, args=arguments) as chromium,
        served(run.path) as address,
        opened(chromium, address) as page,
    ):
        page.click("#camera")
        page.wait_for_selector("#live .labels li")
        first = evaluated(page, device)
        for back in (False, True):
            page.click("#turn")
            for _ in range(100):
                now = evaluated(page, device)
                if now is not None and (now == first) == back:
                    break
                page.wait_for_timeout(100)
            assert now is not None and (now == first) == back


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
            f"""import("./resize.js").then(({{ resized }}) => {{
            const data = new Uint8ClampedArray({image.ravel().tolist()});
            const row = (place) => data.subarray({4 * shape[1]} * place, {4 * shape[1]} * (place + 1));
            const picture = {{ width: {shape[1]}, height: {shape[0]}, row }};
            return Array.from(resized(picture, {SIZE}, "{method}", "{interpolation}").data);
            }})""",
        )
        pixels = np.array(found).reshape(SIZE, SIZE, 4)[..., :3]
        assert np.abs(pixels - expected).max() <= 1


@pytest.mark.slow
def test_photos_get_the_same_labels_as_by_predict(browser, tmp_path, shared_data):
    """186 flowers, 9 orientations of EXIF, 5 scans. Probabilities differ by what two JPEG decoders differ in: a few levels."""
    flowers = shared_data("flowers")
    trained = keras_imgcls.train(
        "plain_cnn",
        flowers,
        image_size=64,
        resize="squash",
        interpolation="bilinear",
        epochs=3,
        augment="none",
        run_dir=str(tmp_path / "run"),
        mixed_precision="float32",
    )
    keras_imgcls.export(trained, web=True, formats="tflite_int8", max_accuracy_drop=1.0, min_agreement_int8=0.0)
    folders = (flowers, shared_data("exif_orientation"), shared_data("brain_mri"))
    paths = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))][:200]
    assert len(paths) == 200
    expected = load_exported(trained.export / "model_int8.tflite")
    probabilities = expected.predict(paths)
    with served(trained.path) as address, opened(browser, address) as page:
        page.set_input_files("#files", paths)
        found = answers(page, len(paths))
    best = [expected.class_names[row.argmax()] for row in probabilities]
    assert np.mean([heading == name for (heading, _), name in zip(found, best, strict=True)]) >= 0.99
    shown = np.array([[labels[name] for name in expected.class_names] for _, labels in found])
    assert np.quantile(np.abs(shown - probabilities), 0.99) < 0.02


def test_a_grey_model_has_no_page(tiny_run):
    with pytest.raises(UserError, match="takes RGB models only"):
        keras_imgcls.export(tiny_run, web=True)
