"""Builds the stand-ins of test_launchers.py with the standard library alone: the real pip installs them offline.

Copied into the stand-in clone, it is that clone's build backend.
"""

import configparser
import os
import time
import zipfile
from pathlib import Path


def write_wheel(folder: Path | str, name: str, version: str, files: dict[str, str], requires: list[str] = ()) -> str:
    """Writes the wheel and gives its file name; `requires` holds lines for Requires-Dist."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    metadata += ["Provides-Extra: test", "Provides-Extra: pretrained"]
    files = {
        **files,
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    file_name = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / file_name, "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return file_name


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 660. Where HOLD names a folder, says there that it has begun and waits for the word to go on."""
    hold = os.environ.get("HOLD")
    if hold:
        Path(hold, "begun").touch()
        while not Path(hold, "go on").exists():
            time.sleep(0.02)
    setup = configparser.ConfigParser()
    setup.read("setup.cfg")
    requires = setup["options"]["install_requires"].split()
    for extra, lines in setup["options.extras_require"].items():
        requires += [f'{line}; extra == "{extra}"' for line in lines.split()]
    files = {"__editable__.keras_imgcls.pth": os.getcwd() + "\n"}
    return write_wheel(wheel_directory, setup["metadata"]["name"], setup["metadata"]["version"], files, requires)


build_wheel = build_editable
