"""The runtime of the web page comes through npm once, is checked, and nothing half-written stays."""

import base64
import hashlib
import io
import subprocess
import tarfile

import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.export import web_runtime

NPM = """#!/bin/sh
# A stand-in for npm that packs what the test prepared, and is as silent as npm where it is told to be.
case "$*" in *--silent*) exec 2>/dev/null;; esac
echo "$@" >> "{log}"
[ -e "{archive}" ] || {{ echo "npm error code ENOTFOUND" >&2; exit 1; }}
for word; do folder=$word; done
cp "{archive}" "$folder/package.tgz"
"""


def archive(members):
    contents = io.BytesIO()
    with tarfile.open(fileobj=contents, mode="w:gz") as file:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return contents.getvalue()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that gives `package.tgz`, and what it was called with."""
    program, log = tmp_path / "bin" / "npm", tmp_path / "log"
    program.parent.mkdir()
    program.write_text(NPM.format(log=log, archive=tmp_path / "package.tgz"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def prepare(tmp_path, monkeypatch, members):
    contents = archive(members)
    (tmp_path / "package.tgz").write_bytes(contents)
    digest = base64.b64encode(hashlib.sha512(contents).digest()).decode()
    monkeypatch.setattr(web_runtime, "INTEGRITY", digest)


WHOLE = {**dict.fromkeys(web_runtime.MEMBERS, b"code"), "package/../../escaped.js": b"no"}


def test_it_is_fetched_once_and_only_what_the_page_needs_is_kept(tmp_path, monkeypatch, npm):
    prepare(tmp_path, monkeypatch, WHOLE)
    folder = web_runtime.runtime(tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == sorted(["NOTICE.txt", *web_runtime.MEMBERS.values()])
    assert web_runtime.runtime(tmp_path / "cache") == folder
    calls = npm.read_text().splitlines()
    assert len(calls) == 1 and calls[0].startswith(f"pack {web_runtime.PACKAGE} ")
    assert list((tmp_path / "cache" / "web").iterdir()) == [folder]


def test_another_package_than_the_pinned_one_is_refused(tmp_path, npm):
    (tmp_path / "package.tgz").write_bytes(archive(WHOLE))
    with pytest.raises(UserError, match=r"npm gave another @mediapipe/tasks-vision@0.10.35 than the one that is known"):
        web_runtime.runtime(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "web").iterdir())


def test_what_npm_says_is_told_in_one_line(tmp_path, npm):
    with pytest.raises(
        UserError, match=r"npm can't fetch .*, which the web page needs once: npm error code ENOTFOUND$"
    ):
        web_runtime.runtime(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "web").iterdir())


def test_what_a_killed_fetch_left_goes(tmp_path, monkeypatch, npm):
    prepare(tmp_path, monkeypatch, WHOLE)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "cache" / "web" / f".tasks-vision@0.10.35.{gone.pid}.01234567.new" / "staged").mkdir(parents=True)
    folder = web_runtime.runtime(tmp_path / "cache")
    assert list((tmp_path / "cache" / "web").iterdir()) == [folder]


def test_without_npm_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"needs npm once, to fetch the runtime: install Node.js"):
        web_runtime.runtime(tmp_path / "cache")


def test_a_link_in_place_of_a_file_is_refused(tmp_path, monkeypatch, npm):
    contents = io.BytesIO()
    with tarfile.open(fileobj=contents, mode="w:gz") as file:
        for name in web_runtime.MEMBERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(entry)
    (tmp_path / "package.tgz").write_bytes(contents.getvalue())
    digest = base64.b64encode(hashlib.sha512(contents.getvalue()).digest()).decode()
    monkeypatch.setattr(web_runtime, "INTEGRITY", digest)
    with pytest.raises(UserError, match="in a form that is not expected"):
        web_runtime.runtime(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "web").iterdir())
