"""Metadata inside a TFLite file: what goes in, what comes out, the labels. MediaPipe Tasks and model viewers read it.

A FlatBuffer (`metadata_schema.fbs` of TensorFlow Lite, identifier M001) in a buffer of the model says what the tensors
mean; the files that it names are a zip archive, not compressed, behind the model.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_imgcls import __version__
from keras_imgcls.core.errors import UserError
from keras_imgcls.inference.exported import LABELS, SERVING

BUFFER, IDENTIFIER = "TFLITE_METADATA", b"M001"
MIN_PARSER_VERSION = "1.0.0"  # every field that is written here is that old
TENSOR_AXIS_LABELS, IMAGE_PROPERTIES, NORMALIZATION_OPTIONS = 2, 2, 1
COLOR_SPACES = {1: 2, 3: 1}  # by channels: GRAYSCALE, RGB


def embed(
    model: bytes, name: str, description: str, class_names: Sequence[str], channels: int, how_served: str
) -> bytes:
    """`model`, a TFLite file of one image input and one output of probabilities, with metadata, labels and all.

    Args:
        model: the content of the file.
        name: what viewers call the model.
        description: a sentence or two about it.
        class_names: the labels, in the order of the output.
        channels: 1 (grey) or 3 (RGB).
        how_served: JSON that says how a picture becomes the input, since the schema has no words for it.
    """
    contents = schema.ModelT.InitFromPackedBuf(model, 0)
    contents.description = description
    contents.buffers.append(schema.BufferT())
    contents.buffers[-1].data = np.frombuffer(_metadata(name, description, channels), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER, len(contents.buffers) - 1
    contents.metadata = [*(contents.metadata or []), entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(contents.Pack(builder), b"TFL3")
    packed = {
        LABELS: "".join(f"{label}\n" for label in class_names),
        SERVING: how_served,
    }
    return _append(bytes(builder.Output()), packed)


def read(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The labels in a TFLite file, and what its `serving.json` says of the way to its input; see `embed`.

    Raises:
        UserError: the file holds no labels or says nothing of its input.
    """
    try:
        with zipfile.ZipFile(path) as files:
            return files.read(LABELS).decode().split("\n")[:-1], json.loads(files.read(SERVING))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} has no metadata of this package's exports: {error}.") from error


def _append(model: bytes, texts: dict[str, str]) -> bytes:
    """`model` with files behind it, stored as they are: MediaPipe maps them into memory and takes no compressed ones."""
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # ZipInfo's date is always 1980: same export, same bytes
    return file.getvalue()


def _metadata(name: str, description: str, channels: int) -> bytes:
    """The `ModelMetadata`. Slots are the positions of the fields in the schema."""
    builder = flatbuffers.Builder()
    graph = _table(
        builder,
        {2: _offsets(builder, [_input(builder, channels)]), 3: _offsets(builder, [_output(builder)])},
    )
    whole = {
        0: builder.CreateString(name),
        1: builder.CreateString(description),
        2: builder.CreateString(f"keras_imgcls {__version__}"),
        3: _offsets(builder, [graph]),
        6: _offsets(builder, [_table(builder, {0: builder.CreateString(SERVING)})]),
        7: builder.CreateString(MIN_PARSER_VERSION),
    }
    builder.Finish(_table(builder, whole), IDENTIFIER)
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, channels: int) -> int:
    """The `TensorMetadata` of the image: grey levels as they are, because the scaling is in the network."""
    properties = _table(builder, {}, {0: COLOR_SPACES[channels]})
    content = _table(builder, {1: properties}, {0: IMAGE_PROPERTIES})
    normalization = _table(builder, {0: _floats(builder, [0.0]), 1: _floats(builder, [1.0])})
    process = _table(builder, {1: normalization}, {0: NORMALIZATION_OPTIONS})
    stats = _table(builder, {0: _floats(builder, [255.0]), 1: _floats(builder, [0.0])})
    fields = {
        0: builder.CreateString("image"),
        1: builder.CreateString(f"{'RGB' if channels == 3 else 'Grey'} image, 0 to 255."),
        3: content,
        4: _offsets(builder, [process]),
        5: stats,
    }
    return _table(builder, fields)


def _output(builder: flatbuffers.Builder) -> int:
    """The `TensorMetadata` of the probabilities, with the file of labels."""
    file = {0: builder.CreateString(LABELS), 1: builder.CreateString("The classes, in the order of the output.")}
    labels = _table(builder, file, {2: TENSOR_AXIS_LABELS})
    stats = _table(builder, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])})
    fields = {
        0: builder.CreateString("probabilities"),
        1: builder.CreateString("The probability of each class."),
        5: stats,
        6: _offsets(builder, [labels]),
    }
    return _table(builder, fields)


def _table(builder: flatbuffers.Builder, offsets: dict[int, int], numbers: dict[int, int] | None = None) -> int:
    """A table: in each slot the offset of a string, vector or table made before, or a number of one byte."""
    numbers = numbers or {}
    builder.StartObject(max([-1, *offsets, *numbers]) + 1)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in numbers.items():
        builder.PrependUint8Slot(slot, number, 0)
    return builder.EndObject()


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: list[float]) -> int:
    return builder.CreateNumpyVector(np.array(values, np.float32))
