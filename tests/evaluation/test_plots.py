from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from keras_imgcls.evaluation import plots


def confusion(classes, seed=0):
    random = np.random.default_rng(seed)
    return np.diag(random.integers(50, 1000, classes)) + random.poisson(2, (classes, classes))


def drawn_boxes(figure, texts):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return [text.get_window_extent(renderer) for text in texts]


@pytest.mark.parametrize("classes", [2, 10, 43, 100])
def test_every_class_is_named_and_no_name_covers_another(classes):
    names = [f"a rather long class name, number {index}" for index in range(classes)]
    figure = plots.confusion_figure(confusion(classes), names)
    axes = figure.axes[0]
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == [f"{name[:23]}…" for name in names]
    boxes = sorted(drawn_boxes(figure, labels), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 0.5 for below, above in pairwise(boxes))
    assert min(label.get_fontsize() for label in labels) >= 6


@pytest.mark.parametrize("classes", [2, 10, 43])
def test_counts_stand_in_their_cells(classes):
    counts = confusion(classes)
    figure = plots.confusion_figure(counts, [str(index) for index in range(classes)])
    axes = figure.axes[0]
    written = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axes.texts}
    assert written == {(row, column): counts[row, column] for row, column in zip(*counts.nonzero(), strict=True)}
    cell = axes.transData.transform([[0, 0], [1, 0]])
    width = abs(cell[1, 0] - cell[0, 0])
    assert all(box.width <= width for box in drawn_boxes(figure, axes.texts))


def test_a_thousand_classes_make_a_picture_of_bounded_size(tmp_path):
    plots.save(plots.confusion_figure(confusion(1000), [str(index) for index in range(1000)]), tmp_path / "a.png")
    assert max(Image.open(tmp_path / "a.png").size) < 2500


def test_names_are_text_and_no_formula(tmp_path):
    plots.save(plots.confusion_figure(np.eye(2, dtype=int), ["$\\broken{", "<b>"]), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 300


def test_the_history_shows_what_its_rows_hold(tmp_path):
    rows = [
        {"epoch": str(epoch), "loss": str(2 / epoch), "accuracy": "0.0", "val_loss": "", "learning_rate": 0}
        for epoch in (1, 2, 3)
    ]
    figure = plots.history_figure(rows)
    curves = {axes.get_title(): [line.get_xydata().tolist() for line in axes.lines] for axes in figure.axes}
    assert curves == {
        "loss": [[[1, 2], [2, 1], [3, 2 / 3]]],
        "accuracy": [[[1, 0], [2, 0], [3, 0]]],
        "learning rate": [[[1, 0], [2, 0], [3, 0]]],
    }
    plots.save(figure, tmp_path / "history.png")
    assert Image.open(tmp_path / "history.png").format == "PNG"
