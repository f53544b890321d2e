"""What others read in our TFLite files: Google's own schema classes, plain zip, and MediaPipe's ImageClassifier."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_imgcls import __version__
from keras_imgcls.core.errors import UserError
from keras_imgcls.data.decode import read_image
from keras_imgcls.export import metadata, tflite
from keras_imgcls.inference.exported import load_exported
from tests.export.test_export import NAMES, SHAPE, make_predictor, make_trained

FILES = {
    "float": tflite.write,
    "float16": tflite.write_float16,
    "dynamic": tflite.write_dynamic,
    "int8": lambda trained, path: tflite.save(trained, tflite.int8(trained), path),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    trained = make_trained(make_predictor(resize="pad", interpolation="area"))
    for name, write in FILES.items():
        write(trained, folder / f"{name}.tflite")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_schema_of_google_reads_it(files, name):
    schema = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    from tensorflow.lite.python import schema_py_generated as model_schema

    content = (files / f"{name}.tflite").read_bytes()
    model = model_schema.ModelT.InitFromPackedBuf(content, 0)
    (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    buffer = bytes(model.buffers[entry.buffer].data)
    assert schema.ModelMetadata.ModelMetadataBufferHasIdentifier(buffer, 0)
    read = schema.ModelMetadataT.InitFromPackedBuf(buffer, 0)
    assert read.description == b"Classifies images of 8 x 8 pixels as one of 10 classes."
    assert read.version == f"keras_imgcls {__version__}".encode() and read.minParserVersion == b"1.0.0"
    (graph,) = read.subgraphMetadata
    (image,), (probabilities,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert image.content.contentPropertiesType == schema.ContentProperties.ImageProperties
    assert image.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB
    (process,) = image.processUnits
    assert process.optionsType == schema.ProcessUnitOptions.NormalizationOptions
    assert (list(process.options.mean), list(process.options.std)) == ([0.0], [1.0])
    assert (list(image.stats.min), list(image.stats.max)) == ([0.0], [255.0])
    (labels,) = probabilities.associatedFiles
    assert labels.name == b"labels.txt" and labels.type == schema.AssociatedFileType.TENSOR_AXIS_LABELS


@pytest.mark.parametrize("name", FILES)
def test_labels_and_the_way_to_the_input_are_files_inside(files, name):
    with zipfile.ZipFile(files / f"{name}.tflite") as packed:
        assert packed.read("labels.txt").decode() == "".join(f"{name}\n" for name in NAMES)
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
    labels, served = metadata.read(files / f"{name}.tflite")
    assert labels == list(NAMES) and (served["resize"], served["interpolation"]) == ("pad", "area")


def test_our_own_predictor_reads_it(files):
    exported, ours = load_exported(files / "int8.tflite"), make_predictor(resize="pad", interpolation="area")
    photos = np.random.default_rng(3).integers(0, 256, (20, 9, 17, 3), np.uint8)
    np.testing.assert_allclose(exported.predict(photos), ours.predict(photos), atol=0.1)


def test_a_file_without_metadata_is_said(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"no archive")
    with pytest.raises(UserError, match="x.tflite has no metadata of this package's exports: File is not a zip file"):
        metadata.read(tmp_path / "x.tflite")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = tflite.convert(make_trained())
    first, second = (metadata.embed(model, "a", "b", NAMES, 3, "{}") for _ in range(2))
    assert first == second


def classify(path, images, labels=NAMES):
    """What MediaPipe's ImageClassifier says of RGB images of any size: scores of shape (n, classes)."""
    mediapipe = pytest.importorskip("mediapipe")
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    options = vision.ImageClassifierOptions(base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(path)))
    answers = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for image in images:
            if isinstance(image, np.ndarray):
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
            else:
                image = mediapipe.Image.create_from_file(str(image))
            (head,) = classifier.classify(image).classifications
            scores = {category.category_name: category.score for category in head.categories}
            answers.append([scores[label] for label in labels])
    return np.array(answers)


@pytest.mark.parametrize("name", FILES)
def test_image_classifier_of_mediapipe_answers_as_our_predictor(files, name, tmp_path):
    """On PNG files that have the model's size already."""
    pictures = np.random.default_rng(2).integers(0, 256, (30, *SHAPE), np.uint8)
    expected = make_predictor().predict(pictures)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    scores = classify(files / f"{name}.tflite", [tmp_path / f"{number}.png" for number in range(30)])
    largest = np.abs(scores - expected).max()
    assert largest < {"float": 1e-5, "float16": 1e-2}.get(name, 0.1)
    ordered = np.sort(expected, axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > 2 * largest
    assert sure.sum() >= 15, "too close to call: nothing would be caught"
    assert np.array_equal(scores.argmax(axis=1)[sure], expected.argmax(axis=1)[sure])


@pytest.mark.parametrize("name", ["float", "int8"])
def test_photos_are_resized_by_mediapipe_as_our_interpolation_of_that_name_does(files, name, shared_data):
    """Photos of many sizes, 20 times as large as the model: the strictest test of where pixels are taken from."""
    photos = [read_image(path, 3) for path in sorted(shared_data("flowers").glob("val/*/*.jpg"))]
    scores = classify(files / f"{name}.tflite", photos)
    as_there = make_predictor(resize="squash", interpolation="mediapipe")
    expected = np.concatenate([as_there.predict(photo[None]) for photo in photos])
    agreement = (scores.argmax(axis=1) == expected.argmax(axis=1)).mean()
    assert agreement >= (0.99 if name == "float" else 0.9), "a network with random weights, cut in 256ths"
    assert len(np.unique(scores.argmax(axis=1))) >= 4
    antialiased = np.concatenate([make_predictor().predict(photo[None]) for photo in photos])
    assert (scores.argmax(axis=1) == antialiased.argmax(axis=1)).mean() < agreement


def test_int8_takes_bytes_and_gives_256ths(files):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(files / "int8.tflite"))
    (image,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    assert (probabilities["dtype"], probabilities["quantization"]) == (np.uint8, (1 / 256, 0))


def test_an_input_that_is_not_exactly_bytes_is_refused():
    trained = make_trained()
    trained.calibration = trained.calibration[:-1] // 2  # no white, and half the light
    with pytest.raises(
        UserError, match=r"Expected uint8 of quantization \(1\.0, 0\) at .*, the converter gave uint8 of"
    ):
        tflite.int8(trained)


def test_weights_are_quantized_per_channel(files):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(files / "int8.tflite"))
    scales = [details["quantization_parameters"]["scales"] for details in interpreter.get_tensor_details()]
    assert max(map(len, scales)) == 12, "the convolution has 12 filters"
    assert tf.int8.as_numpy_dtype in {details["dtype"] for details in interpreter.get_tensor_details()}
