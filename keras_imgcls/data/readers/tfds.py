"""TFDS: any image classification set of TensorFlow Datasets, from a prepared folder or by download."""

import json
import os
import re
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from keras_imgcls.core.config import DataOptions
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.data.samples import Samples

DEFAULT_FOLDER = "~/tensorflow_datasets"
HOST = ("storage.googleapis.com", 443)
PATIENCE = 3.0  # seconds that the network has to answer


class Unavailable(UserError):
    """A set is neither prepared nor can it be downloaded; `tried` says what was done to find it."""

    def __init__(self, name: str, tried: list[str]) -> None:
        """Joins what was tried with what can be done."""
        super().__init__(
            f"tfds:{name} wasn't found. Tried: {'; '.join(tried)}. Give --data_dir=FOLDER with a prepared TFDS folder "
            f"(FOLDER/{name}/VERSION/dataset_info.json), or connect this machine to the network."
        )
        self.tried = tried


class Wanted(NamedTuple):
    """The parts of `NAME/CONFIG:VERSION`; the last two may be empty."""

    name: str
    config: str
    version: str


def read_tfds(options: DataOptions) -> Samples:
    """The set that `--dataset=tfds:NAME` (`tfds:NAME/CONFIG:VERSION`) names.

    A prepared folder below `--data_dir` or `~/tensorflow_datasets` is taken as it is, without the code that made it;
    else the set is downloaded. Images of one size become an array, others are written to `--cache_dir` once, encoded.

    Raises:
        UserError: an unknown set, one without an image and a label, or one that can't be had.
    """
    return read_named(options.dataset.removeprefix("tfds:"), options)


def read_named(text: str, options: DataOptions, by_id: bool = False) -> Samples:
    """The set called `text`. With `by_id` its rows follow its feature `id`, which counts the samples, not its files.

    Raises:
        Unavailable: it is neither prepared nor can it be downloaded.
        UserError: anything else that is wrong with it.
    """
    wanted = _parse(text)
    own = Path(options.data_dir).expanduser() if options.data_dir else None
    default = Path(os.environ.get("TFDS_DATA_DIR", DEFAULT_FOLDER)).expanduser()
    folders = [folder for folder in (own, default) if folder is not None]
    prepared = next((path for folder in folders if (path := find_prepared(folder, wanted))), None)
    if prepared is None:
        tried = [f"no prepared TFDS folder of {text} in {folder}" for folder in folders]
        prepared = _download(text, wanted, folders[0], tried)
    from keras_imgcls.data.readers import tfds_records

    return tfds_records.read(prepared, options, by_id)


def find_prepared(folder: Path, wanted: Wanted) -> Path | None:
    """The newest prepared version of a set in `folder`, which is TFDS' folder, the set's own, or that of a version.

    Raises:
        UserError: there are several configurations and none is asked for.
    """
    patterns = ("dataset_info.json", "*/dataset_info.json", "*/*/dataset_info.json")
    places = [path for base in (folder / wanted.name, folder) for pattern in patterns for path in base.glob(pattern)]
    found = [(path.parent, _described(path)) for path in places if not path.parent.name.startswith("incomplete")]
    found = [(path, described) for path, described in found if _fits(described, wanted)]
    configs = sorted({described.config for _, described in found})
    if len(configs) > 1:
        choices = ", ".join(f"tfds:{wanted.name}/{config}" for config in configs)
        raise UserError(f"{folder} has several configurations of {wanted.name}: choose one of {choices}.")
    return max(found, key=lambda pair: _version_key(pair[1].version))[0] if found else None


def reachable(host: str, port: int, seconds: float = PATIENCE) -> bool:
    """Whether `host` answers within `seconds`, its name's look-up included, which no socket's timeout covers."""
    answers = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            answers.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def _parse(text: str) -> Wanted:
    match = re.fullmatch(r"(\w+)(?:/([\w.+-]+))?(?::([\d.]+))?", text)
    if not match:
        raise UserError(
            f"A TFDS set is named tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION; received 'tfds:{text}'."
        )
    return Wanted(*(part or "" for part in match.groups()))


def _described(path: Path) -> Wanted:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        return Wanted(info["name"], info.get("configName", ""), info["version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Wanted("", "", "")


def _fits(described: Wanted, wanted: Wanted) -> bool:
    return described.name == wanted.name and all(
        not want or have == want for have, want in zip(described[1:], wanted[1:], strict=True)
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _download(text: str, wanted: Wanted, folder: Path, tried: list[str]) -> Path:
    """Downloads and prepares a set in `folder`, once the network has answered; TFDS would try for minutes."""
    proxy = urllib.request.getproxies().get("https")
    host, port = (urlsplit(proxy).hostname, urlsplit(proxy).port or 443) if proxy else HOST
    import tensorflow_datasets

    known = tensorflow_datasets.list_builders(with_community_datasets=False)
    if wanted.name not in known:
        raise UserError(f"TFDS knows no set '{wanted.name}', and {tried[0]}.{nearest(wanted.name, known)}")
    if not reachable(host, port):
        raise Unavailable(text, [*tried, f"a download: {host} doesn't answer"])
    note(f"Downloading {text} by TFDS into {folder}.")
    if not sys.stdout.isatty():
        tensorflow_datasets.disable_progress_bar()
    try:
        builder = tensorflow_datasets.builder(text, data_dir=folder)
        builder.download_and_prepare()
    except Exception as error:  # TFDS passes on what its sets, requests and the file system raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise Unavailable(text, [*tried, f"a download: {type(error).__name__}: {reason}"]) from error
    return Path(builder.data_path)
