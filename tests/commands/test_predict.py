import csv
import dataclasses
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_imgcls.commands import predict
from keras_imgcls.core.config import PredictConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.export import saved_model
from tests.data.test_frames import film
from tests.inference.tiny import NAMES, make_run


def picture(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    """Five images with names that break careless writers, and one file that is none."""
    names = ["a, b.png", "=1+1.png", "line\nbreak.png", 'quote".png', "ünïcode\r\x1b[2J.png"]
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
    assert any(r"ünïcode\r\x1b[2J.png" in line for line in lines) and "\x1b" not in out and "\r" not in out
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


def rows(capsys, tiny_run, code=0, **options):
    """The rows of `predict --format=csv`, with an index by name."""
    config = PredictConfig(**{"run_dir": str(tiny_run.path), "format": "csv", "batch_size": 2, "topk": 1, **options})
    assert predict.run(config) == code
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def feed(monkeypatch, content):
    """Puts `content` (bytes) on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_standard_input_names_files_as_they_are(capsys, tiny_run, photos, monkeypatch, separator):
    chosen = [path for path in photos[:-1] if separator == b"\0" or "\n" not in path]
    feed(monkeypatch, separator.join(os.fsencode(path) for path in chosen) + separator)
    assert [row["path"] for row in rows(capsys, tiny_run, source="-")] == chosen


def test_nothing_on_standard_input_is_said(tiny_run, monkeypatch):
    feed(monkeypatch, b"\n")
    with pytest.raises(UserError, match="Standard input names no images"):
        predict.run(PredictConfig(run_dir=str(tiny_run.path), source="-"))


def test_below_min_confidence_the_one_label_is_unsure(capsys, tiny_run, predictor, photos, tmp_path):
    confident = predictor.predict(photos[:-1]).max(axis=1)
    least = float(np.median(confident)) + 1e-6
    found = rows(capsys, tiny_run, 1, source=str(tmp_path), topk=3, min_confidence=least)
    for path, best in zip(photos[:-1], confident, strict=True):
        own = [row for row in found if row["path"] == path]
        assert [row["label"] == "unsure" for row in own] == ([True] if best < least else [False] * 3)
        assert float(own[0]["probability"]) == pytest.approx(best, abs=2e-6)


def test_min_confidence_is_the_runs_unless_given(capsys, tmp_path):
    run = make_run(tmp_path / "run", min_confidence=1.0)
    path = picture(tmp_path / "a.png")
    assert [row["label"] for row in rows(capsys, run, source=path)] == ["unsure"]
    assert rows(capsys, run, source=path, min_confidence=0.0)[0]["label"].startswith("digit ")


def test_a_class_called_unsure_is_not_confused(capsys, tmp_path):
    run = make_run(tmp_path / "run", names=("unsure", *NAMES[1:]))
    assert rows(capsys, run, source=picture(tmp_path / "a.png"))
    with pytest.raises(UserError, match="A class is called 'unsure'"):
        rows(capsys, run, source=str(tmp_path / "a.png"), min_confidence=0.5)


def test_embeddings_have_a_row_for_each_image(capsys, tiny_run, predictor, photos, tmp_path):
    found = rows(capsys, tiny_run, 1, source=str(tmp_path), embeddings=str(tmp_path / "features.npy"))
    stored = np.load(tmp_path / "features.npy")
    readable = [bool(row["label"]) for row in found]
    assert len(stored) == len(found) == 6 and np.isnan(stored).all(axis=1).tolist() == [not yes for yes in readable]
    paths = [row["path"] for row in found if row["label"]]
    np.testing.assert_allclose(stored[readable], predictor.embed(paths)[1], atol=1e-4)


@pytest.mark.parametrize("format", ["csv", "json", "table"])
def test_frames_have_times(capsys, tiny_run, tmp_path, format):
    film(tmp_path / "a.mp4", 4)
    source = f"{tmp_path / 'a.mp4'},{picture(tmp_path / 'b.png')}"
    config = PredictConfig(run_dir=str(tiny_run.path), source=source, format=format, topk=1, frame_step=3, smoothing=2)
    assert predict.run(config) == 0
    lines = capsys.readouterr().out.splitlines()
    if format == "csv":
        assert lines[0] == "path,rank,label,probability,error,time"
        assert [line.rpartition(",")[2] for line in lines[1:]] == ["0.0", "0.3", ""]
    elif format == "json":
        assert [json.loads(line)["time"] for line in lines] == [0.0, 0.3, None]
    else:
        assert lines[0].split() == ["path", "time", "rank", "label", "probability", "error"]
        assert "     0.300     1  digit " in lines[2]


def test_an_exported_file_stands_in_for_the_run(capsys, tiny_run, predictor, photos, tmp_path):
    saved_model.write(predictor, tmp_path / "saved_model" / "1")
    by_run = rows(capsys, tiny_run, source=photos[0], topk=3)
    by_file = rows(capsys, tiny_run, source=photos[0], topk=3, run_dir="", exported=str(tmp_path / "saved_model"))
    for one, other in zip(by_run, by_file, strict=True):
        assert one["label"] == other["label"]
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=2e-6)


@pytest.mark.parametrize(
    "config, message",
    [
        (PredictConfig(source="a.png"), r"Which run\? Give --run_dir=RUN"),
        (PredictConfig(run_dir="missing", source="a.png"), "There is no run directory missing"),
        (
            PredictConfig(run_dir="a", exported="b"),
            "--run_dir names a run and --exported a file in its place: choose one",
        ),
        (PredictConfig(run_dir="{run}", embeddings="a.csv"), r"--embeddings names a \.npy file; received 'a\.csv'"),
        (PredictConfig(run_dir="{run}"), r"Which images\? Give --source"),
        (PredictConfig(run_dir="{run}", source="{run}"), r"There are no images in "),
    ],
)
def test_what_is_missing_is_said(tiny_run, config, message):
    places = {name: getattr(config, name).format(run=tiny_run.path) for name in ("run_dir", "source")}
    filled = dataclasses.replace(config, **places)
    with pytest.raises(UserError, match=message):
        predict.run(filled)
