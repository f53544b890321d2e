"""A sheet of images with captions, for previews and TensorBoard."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 96  # least side of a shown image, pixels: captions of a dozen letters fit below it
LARGEST = 192
TEXT = 13
GAP = 6


def draw(images: np.ndarray, captions: Sequence[str], columns: int = 0) -> np.ndarray:
    """The sheet as uint8 of shape (height, width, 3).

    Small images are enlarged by a whole factor, so that each pixel stays a square; large ones are reduced.

    Args:
        images: uint8 of shape (n, height, width, 1 or 3), n at least 1.
        captions: a line for each image, cut where it is longer than its image is wide.
        columns: images in a row. 0: as many as make the sheet about square.
    """
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    height, width = _shown_size(*images.shape[1:3])
    rows = math.ceil(len(images) / columns)
    line = GAP + height + TEXT + 3
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), rows * line + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + number % columns * (width + GAP), GAP + number // columns * line
        picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        enlarged = width >= picture.width
        picture = picture.resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)
        sheet.paste(picture, (left, top))
        pen.text((left, top + height), _cut(caption, width, font), fill="black", font=font)
    return np.asarray(sheet)


def _shown_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    if longest <= LARGEST:
        factor = max(1, CELL // longest)
        return height * factor, width * factor
    return max(1, round(height * LARGEST / longest)), max(1, round(width * LARGEST / longest))


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
