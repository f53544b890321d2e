import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.commands import predict
from keras_imgcls.core.config import PredictConfig
from keras_imgcls.core.errors import UserError


def picture(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    """Five images with names that break careless writers, and one file that is none."""
    names = ["a, b.png", "=1+1.png", "line\nbreak.png", 'quote".png', "ünïcode.png"]
    paths = [picture(tmp_path / name, seed) for seed, name in enumerate(names)]
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return [*paths, str(tmp_path / "torn.png")]


def printed(capsys, tiny_run, source, format, topk=3):
    code = predict.run(
        PredictConfig(run_dir=str(tiny_run.path), source=str(source), format=format, topk=topk, batch_size=2)
    )
    return code, *capsys.readouterr()


def test_csv_holds_every_name_and_every_rank(capsys, tiny_run, predictor, photos, tmp_path):
    code, out, err = printed(capsys, tiny_run, tmp_path, "csv")
    header, *rows = csv.reader(io.StringIO(out))
    assert header == ["path", "rank", "label", "probability", "error"]
    assert [row[0] for row in rows if row[1] in ("1", "")] == sorted(photos)
    for path in photos[:-1]:
        own = [row for row in rows if row[0] == path]
        assert [row[1] for row in own] == ["1", "2", "3"] and {row[4] for row in own} == {""}
        expected = predictor.predict([path])[0]
        assert [row[2] for row in own] == [predictor.class_names[index] for index in (-expected).argsort()[:3]]
        np.testing.assert_allclose([float(row[3]) for row in own], np.sort(expected)[::-1][:3], atol=2e-6)
    (torn,) = [row for row in rows if row[0] == photos[-1]]
    assert torn[1:4] == ["", "", ""] and torn[4]
    assert code == 1 and "1 of 6 images can't be read: see the error column." in err


def test_json_lines(capsys, tiny_run, photos):
    code, out, _ = printed(capsys, tiny_run, photos[2], "json", topk=1)
    (row,) = map(json.loads, out.splitlines())
    assert code == 0 and row["path"] == photos[2] and row["rank"] == 1 and row["error"] is None
    code, out, _ = printed(capsys, tiny_run, photos[-1], "json")
    (row,) = map(json.loads, out.splitlines())
    assert code == 1 and row["rank"] is row["label"] is row["probability"] is None and row["error"]


def test_the_table_is_aligned_and_one_line_a_row(capsys, tiny_run, photos, tmp_path):
    _, out, _ = printed(capsys, tiny_run, tmp_path, "table", topk=2)
    lines = out.splitlines()
    assert len(lines) == 1 + 2 * 5 + 1
    assert any(r"line\nbreak.png" in line for line in lines)
    column = lines[0].index("label")
    assert all(line[column:].startswith(("label", "digit ", " ")) for line in lines)


def test_more_ranks_than_classes(capsys, tiny_run, photos):
    _, out, _ = printed(capsys, tiny_run, photos[0], "csv", topk=99)
    probabilities = [float(row["probability"]) for row in csv.DictReader(io.StringIO(out))]
    assert len(probabilities) == 10 and sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_a_name_that_is_no_utf8_passes_through(capfdbinary, tiny_run, tmp_path):
    name = bytes(tmp_path) + b"/\xff\xfe.png"
    with open(name, "wb") as file:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    assert predict.run(PredictConfig(run_dir=str(tiny_run.path), source=str(tmp_path), format="csv", topk=1)) == 0
    assert capfdbinary.readouterr().out.splitlines()[1].startswith(name + b",1,digit ")


@pytest.mark.parametrize(
    "config, message",
    [
        (PredictConfig(source="a.png"), r"Which run\? Give --run_dir=RUN"),
        (PredictConfig(run_dir="missing", source="a.png"), "There is no run directory missing"),
        (PredictConfig(run_dir="{run}"), r"Which images\? Give --source"),
        (PredictConfig(run_dir="{run}", source="{run}"), r"There are no images in "),
    ],
)
def test_what_is_missing_is_said(tiny_run, config, message):
    filled = PredictConfig(
        run_dir=config.run_dir.format(run=tiny_run.path), source=config.source.format(run=tiny_run.path)
    )
    with pytest.raises(UserError, match=message):
        predict.run(filled)
