"""Prints this interpreter's path if keras_imgcls and all that SETUP_CFG requires are installed in it; else exits 1.

    python -E satisfied.py SETUP_CFG [EXTRA]

Where keras_imgcls is installed but a requirement is not met, prints which: its user expects it to be chosen.
Without `packaging` (Keras requires it) the import fails, which is the right answer too.
"""

import configparser
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement


def shortfall(requirement: Requirement) -> str | None:
    """What is wrong with the installed distribution, or None."""
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement} is not installed"
    return None if requirement.specifier.contains(installed, prereleases=True) else f"{requirement}: has {installed}"


def main(setup_cfg: str, extra: str = "") -> int:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(setup_cfg, encoding="utf-8")
    version(setup["metadata"]["name"])  # raises where the distribution is not installed
    lines = setup["options"]["install_requires"].splitlines()
    if extra:
        lines += setup["options.extras_require"][extra].splitlines()
    python = Requirement("python" + setup["options"]["python_requires"])
    if not python.specifier.contains(platform.python_version(), prereleases=True):
        print(f"{python}: is {platform.python_version()}")
        return 1
    shortfalls = [found for line in lines if line.strip() if (found := shortfall(Requirement(line)))]
    print("; ".join(shortfalls) or sys.executable)
    return 1 if shortfalls else 0


sys.exit(main(*sys.argv[1:]))
