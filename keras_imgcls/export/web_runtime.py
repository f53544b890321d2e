"""The runtime of the web page: MediaPipe's, in one pinned version, fetched once through the user's npm and checked."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from keras_imgcls.core import files
from keras_imgcls.core.errors import UserError

# The last version that sends nothing: from 1.0 on the package reports its use to its maker.
PACKAGE = "@mediapipe/tasks-vision@0.10.35"
INTEGRITY = "HOvadwVRE6JC+45nyYhmnywnr5h/J8KZvOeUNVOG9q/0875pZgItznFB9bRTvLc264YSJqiZ1NsIpCStJw/egg=="  # SHA-512
LICENSE = "Apache-2.0, Copyright The MediaPipe Authors"
# What the page loads: file of the package, name here. Not every server knows that .mjs is JavaScript.
MEMBERS = {
    "package/vision_bundle.mjs": "vision_bundle.js",
    "package/wasm/vision_wasm_internal.js": "vision_wasm_internal.js",
    "package/wasm/vision_wasm_internal.wasm": "vision_wasm_internal.wasm",
}
LARGEST = 2**26  # bytes of a member; the largest has 11 MB


def runtime(cache_folder: Path) -> Path:
    """The folder with the files of the runtime, from `cache_folder` or, the first time, through npm.

    Raises:
        UserError: npm is missing, can't fetch the package, or gives another one than the pinned.
    """
    folder = cache_folder / "web" / PACKAGE.rpartition("/")[2]
    if not folder.is_dir():
        files.clear(folder.parent)
        with files.folder_aside(folder) as work:
            archive = _fetched(work)
            _require_pinned(archive)
            staged = work / "staged"
            _unpack(archive, staged)
            files.write_text(staged / "NOTICE.txt", f"{PACKAGE}: {LICENSE}\n")
            files.replace_folder(staged, folder)
    return folder


def _fetched(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("The web page needs npm once, to fetch the runtime: install Node.js (https://nodejs.org).")
    command = [npm, "pack", PACKAGE, "--loglevel=error", "--pack-destination", str(folder)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if result.returncode or len(archives) != 1:
        told = [line for line in result.stderr.splitlines() if line.strip()] or [f"exit code {result.returncode}"]
        raise UserError(f"npm can't fetch {PACKAGE}, which the web page needs once: {told[0].strip()}")
    return archives[0]


def _require_pinned(archive: Path) -> None:
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        raise UserError(f"npm gave another {PACKAGE} than the one that is known (SHA-512 {found}): nothing was kept.")


def _unpack(archive: Path, folder: Path) -> None:
    """Writes the wanted members, each under a name of ours: nothing in the archive says where a file goes."""
    folder.mkdir()
    with tarfile.open(archive) as contents:
        for member, name in MEMBERS.items():
            entry = contents.getmember(member)
            if not entry.isfile() or entry.size > LARGEST:
                raise UserError(f"{PACKAGE} holds {member} in a form that is not expected.")
            (folder / name).write_bytes(contents.extractfile(entry).read())
