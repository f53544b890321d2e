import hashlib
import os
import resource
import subprocess

import pytest

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"good")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("good")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match=rf"Can't write {path}: File too large"):
            files.write_text(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


def test_digest_is_sha256(tmp_path):
    files.write_text(tmp_path / "a", "abc")
    assert files.digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_json_refuses_what_json_has_no_word_for(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_and_what_a_live_one_writes_is_not(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    alive = os.getppid()
    for process in (gone.pid, alive):
        (tmp_path / f".model.keras.{process}.0123abcd.part.keras").touch()
        (tmp_path / f".export.{process}.0123abcd.new").mkdir()
    (tmp_path / f".evaluation.v1.{gone.pid}.0123abcd.old").mkdir()
    (tmp_path / ".mine.part").touch()
    files.clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f".model.keras.{alive}.0123abcd.part.keras",
        f".export.{alive}.0123abcd.new",
        "evaluation.v1",  # caught between the two renames
        ".mine.part",
    }
