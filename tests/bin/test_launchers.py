"""bin/ and bin/environment/, run for real in a stand-in clone: real bash, real venvs, the real pip, and no network."""

import configparser
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = Path(getattr(sys, "_base_executable", sys.executable))
VERBS = sorted(path.name for path in (ROOT / "bin").iterdir() if path.is_file())
NO_SUCH_VERSION = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"

SETUP_CFG = """\
[metadata]
name = keras_imgcls
version = 0.1.0

[options]
python_requires = >=3.11,<3.14
install_requires =
    tiny>=1.0

[options.extras_require]
pretrained =
    weights
test =
    pytest
"""
# Stands for keras_imgcls and for pytest: says how it was run, then does what its second argument asks.
MAIN = """\
import json, os, sys, time
run = dict(python=sys.executable, file=__file__, arguments=sys.argv[1:], folder=os.getcwd(), pid=os.getpid())
print(json.dumps(run), flush=True)
if sys.argv[2:3] == ["exit"]:
    sys.exit(int(sys.argv[3]))
while sys.argv[2:3] == ["wait"]:
    time.sleep(0.02)
"""

spec = spec_from_file_location("backend", Path(__file__).with_name("backend.py"))
backend = module_from_spec(spec)
spec.loader.exec_module(backend)


def write_executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(scope="session")
def pristine_venv(tmp_path_factory) -> Path:
    """A venv with pip in it, to be copied: ensurepip takes seconds."""
    if BASE.exists() and find_spec("ensurepip"):
        folder = tmp_path_factory.mktemp("pristine") / "venv"
        subprocess.run([BASE, "-m", "venv", folder], check=True)
        return folder
    pytest.skip("this Python has no venv to set up")


class Clone:
    """A stand-in clone in a path with spaces, and a PATH on which only python3.11, python3 and python work.

    `built` counts the environments that were begun. python3.11 stands for whichever supported Python runs the tests.
    """

    def __init__(self, folder: Path, pristine_venv: Path):
        self.root = folder / "a clone"
        self.venv = self.root / ".venv"
        self.programs = folder / "programs"
        self.wheels = folder / "wheels"
        self.elsewhere = folder / "else where"
        self.hold = folder / "hold"
        for path in (self.root / "keras_imgcls", self.programs, self.wheels, self.elsewhere, self.hold):
            path.mkdir(parents=True)
        shutil.copytree(ROOT / "bin", self.root / "bin", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(Path(__file__).with_name("backend.py"), self.root)
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (self.root / "setup.cfg").write_text(SETUP_CFG)
        (self.root / "keras_imgcls/__main__.py").write_text(MAIN)
        backend.write_wheel(self.wheels, "tiny", "1.0", {"tiny.py": ""})
        backend.write_wheel(self.wheels, "weights", "1.0", {"weights.py": ""})
        backend.write_wheel(self.wheels, "pytest", "9.0", {"pytest.py": MAIN})
        self._counter = folder / "built"
        self._counter.touch()
        for name in ("python3.13", "python3.12"):
            write_executable(self.programs / name, NO_SUCH_VERSION)
        stand_in = f"""#!/bin/sh
if [ "$2 $3" = "-m venv" ]; then
    echo built >>"{self._counter}"
    mkdir -p "$4" && exec cp -Rp "{pristine_venv}/." "$4"
fi
case "$*" in *_base_executable*) # which would lead past this file
    "{BASE}" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
    exec echo "$0" ;;
esac
exec "{BASE}" "$@"
"""
        for name in ("python3.11", "python3", "python"):
            write_executable(self.programs / name, stand_in)
        self.environ = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }

    @property
    def built(self) -> int:
        return len(self._counter.read_text().splitlines())

    def edit_setup(self, old: str, new: str) -> None:
        path = self.root / "setup.cfg"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def start(self, *arguments: str, program: str | Path = "bin/train", folder: Path | None = None, **environ: str):
        return subprocess.Popen(
            [self.root / program, *arguments],
            cwd=folder or self.elsewhere,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **options) -> tuple[int, dict | None, str]:
        """Exit code, what the stand-in said of its run, and standard error."""
        return finish(self.start(*arguments, **options))

    def leftovers(self) -> set[str]:
        return {path.name for path in self.root.glob(".venv*")} - {".venv.lock"}


def finish(process: subprocess.Popen) -> tuple[int, dict | None, str]:
    out, err = process.communicate()
    return process.returncode, json.loads(out) if out else None, err


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def clone(tmp_path, pristine_venv) -> Clone:
    return Clone(tmp_path, pristine_venv)


@pytest.fixture(scope="module")
def standing(tmp_path_factory, pristine_venv) -> Clone:
    """A clone whose environment is set up, for the tests that do not change it."""
    clone = Clone(tmp_path_factory.mktemp("standing"), pristine_venv)
    code, _, err = clone.run()
    assert code == 0, err
    return clone


@pytest.fixture
def ready(clone) -> Clone:
    """A clone whose environment is set up."""
    code, _, err = clone.run()
    assert code == 0, err
    return clone


def make_active(clone: Clone, pristine_venv: Path, versions: dict[str, str]) -> dict[str, str]:
    """What activating an environment with these distributions (and what the check itself needs) sets."""
    import packaging

    active = clone.root.parent / "active"
    shutil.copytree(pristine_venv, active, symlinks=True)
    site = next(active.glob("lib/python3*/site-packages"))
    shutil.copytree(Path(packaging.__file__).parent, site / "packaging")
    for name, version in versions.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PATH": f"{active}/bin:{clone.environ['PATH']}", "VIRTUAL_ENV": str(active)}


# --- From the launcher to Python


def test_the_launchers_are_the_verbs():
    assert {"train", "evaluate", "predict", "export", "data", "models", "view", "test"} <= set(VERBS)
    commands = {path.stem for path in (ROOT / "keras_imgcls/commands").glob("[a-z]*.py")}
    assert commands <= set(VERBS)


def test_every_launcher_runs_its_verb_where_the_user_is(standing):
    for verb in set(VERBS) - {"test"}:
        code, run, err = standing.run("--a=1", "two words", "", program=f"bin/{verb}")
        assert (code, err) == (0, "")
        assert run["arguments"] == [verb, "--a=1", "two words", ""]
        assert run["folder"] == str(standing.elsewhere)
        assert run["file"] == str(standing.root / "keras_imgcls/__main__.py")
        assert Path(run["python"]).parent == standing.venv / "bin"


def test_links_relative_paths_and_hostile_surroundings(standing):
    ours = str(standing.root / "keras_imgcls/__main__.py")
    link = standing.elsewhere / "link"
    link.symlink_to(Path("..") / "chain")
    (standing.root.parent / "chain").symlink_to(standing.root / "bin/train")
    # Another clone's folders and a module named like one of the standard library, where the user stands.
    (standing.elsewhere / "bin/environment").mkdir(parents=True)
    (standing.elsewhere / "keras_imgcls").mkdir()
    (standing.elsewhere / "keras_imgcls/__main__.py").write_text("raise SystemExit('the wrong code ran')")
    (standing.elsewhere / "json.py").write_text("raise SystemExit('the wrong json was imported')")
    assert standing.run(program=link)[1]["file"] == ours
    # CDPATH makes `cd bin` go elsewhere.
    environ = standing.environ | {"CDPATH": str(standing.elsewhere)}
    for folder, program in ((".", "bin/train"), ("bin", "train"), ("bin", "../bin/train")):
        out = subprocess.check_output(["bash", program], cwd=standing.root / folder, env=environ)
        assert json.loads(out)["file"] == ours
    # A PYTHONPATH of the user's stays, behind the clone.
    (standing.elsewhere / "json.py").unlink()
    assert standing.run(PYTHONPATH=str(standing.elsewhere))[1]["file"] == ours


def test_exit_codes_and_signals_pass_through(standing):
    assert standing.run("exit", "7")[0] == 7
    process = standing.start("wait")
    run = json.loads(process.stdout.readline())
    assert run["pid"] == process.pid  # exec: no shell stays in between
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM


# --- Setting up


def test_a_real_environment_is_made_once_and_holds_the_distribution(clone):
    """Without the stand-in for `python -m venv`, past shims of versions that are not set up, to the end."""
    (clone.programs / "python3.11").unlink()
    (clone.programs / "python3.11").symlink_to(BASE)
    code, run, err = clone.run()
    assert code == 0, err
    assert len(err.splitlines()) == 2 and f"setting up {clone.venv}" in err and "ready after" in err
    assert Path(run["python"]) == clone.venv / "bin/python"
    ask = "import importlib.metadata as m; print(*(m.version(name) for name in ('keras_imgcls', 'tiny', 'weights')))"
    answer = subprocess.run([clone.venv / "bin/python", "-I", "-c", ask], capture_output=True, text=True)
    assert answer.stdout == "0.1.0 1.0 1.0\n"
    assert clone.leftovers() == {".venv"}
    assert clone.run()[::2] == (0, "")


def test_the_extra_joins_and_stays(ready):
    code, run, err = ready.run("-k", "x y", program="bin/test")
    assert code == 0 and "ready after" in err
    assert (run["arguments"][-2:], run["folder"]) == (["-k", "x y"], str(ready.root))
    assert run["file"].startswith(str(ready.venv))
    assert ready.built == 2
    assert ready.run()[2] == ready.run(program="bin/test")[2] == ""
    ready.edit_setup("0.1.0", "0.1.1")
    assert ready.run()[0] == 0  # bin/train renews it, and bin/test still finds its extra
    assert ready.run(program="bin/test")[2] == ""
    assert ready.built == 3


@pytest.mark.slow
def test_a_changed_setup_or_place_or_a_vanished_python_makes_it_anew(ready):
    (ready.venv / "litter").touch()
    ready.edit_setup("tiny>=1.0", "tiny>=1.1")
    backend.write_wheel(ready.wheels, "tiny", "1.1", {"tiny.py": ""})
    assert "ready after" in ready.run()[2]
    assert not (ready.venv / "litter").exists()
    python = ready.venv / "bin/python"
    python.unlink()
    python.symlink_to(ready.root / "no such python")
    assert "ready after" in ready.run()[2]
    ready.root = ready.root.rename(ready.root.with_name("moved clone"))
    assert "ready after" in ready.run()[2]
    assert ready.built == 4
    assert ready.leftovers() == {".venv"}


def test_a_failed_first_install_leaves_nothing_and_names_what_failed(clone):
    clone.edit_setup("tiny>=1.0", "tiny>=1.0\n    not-to-be-had>=2")
    code, run, err = clone.run()
    assert (code, run) == (1, None)
    assert "No matching distribution found for not-to-be-had>=2" in err
    assert str(clone.root / ".venv.log") in err
    assert clone.leftovers() == {".venv.log"}
    clone.edit_setup("\n    not-to-be-had>=2", "")
    assert clone.run()[0] == 0
    assert clone.leftovers() == {".venv"}


def test_a_failed_renewal_keeps_the_old_one_but_does_not_use_it(ready):
    ready.edit_setup("tiny>=1.0", "tiny>=3")
    for _ in range(2):
        code, run, err = ready.run()
        assert (code, run) == (1, None)
        assert "No matching distribution found for tiny>=3" in err
    assert ready.leftovers() == {".venv", ".venv.log"}
    ready.edit_setup("tiny>=3", "tiny>=1.0")  # git checkout of what was there before: it fits again
    assert ready.run()[::2] == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_install_ends_pip_and_leaves_nothing(clone, number):
    process = clone.start(HOLD=str(clone.hold))
    wait_for(clone.hold / "begun", process)
    process.send_signal(number)
    code, run, err = finish(process)
    assert (code, run) == (128 + number, None)
    assert "interrupted" in err
    assert clone.leftovers() == {".venv.log"}
    with open(clone.root / ".venv.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free: the pip that shared it is gone
    assert clone.run()[0] == 0


def test_a_renewal_that_was_killed_waits_for_its_pip_and_is_made_good(ready):
    ready.edit_setup("0.1.0", "0.1.1")
    process = ready.start(HOLD=str(ready.hold))
    wait_for(ready.hold / "begun", process)
    process.kill()
    process.wait()
    assert ready.leftovers() == {".venv", ".venv.old", ".venv.log"}
    after = ready.start()  # the killed one's pip still writes into .venv
    assert "waiting for it" in after.stderr.readline()
    (ready.hold / "go on").touch()
    code, _, err = finish(after)
    assert code == 0 and "ready after" in err
    assert ready.leftovers() == {".venv"}
    assert ready.built == 3


@pytest.mark.slow
def test_a_killed_renewal_gives_the_old_one_back_where_it_fits_again(ready):
    ready.edit_setup("0.1.0", "0.1.1")
    process = ready.start(HOLD=str(ready.hold))
    wait_for(ready.hold / "begun", process)
    process.kill()
    process.wait()
    (ready.hold / "go on").touch()
    ready.edit_setup("0.1.1", "0.1.0")
    code, _, err = ready.run()
    assert code == 0 and "ready after" not in err
    assert ready.leftovers() - {".venv.log"} == {".venv"}
    assert ready.built == 2


def test_starts_at_the_same_time_build_once(clone):
    first = clone.start(HOLD=str(clone.hold))
    wait_for(clone.hold / "begun", first)
    others = [clone.start() for _ in range(3)]
    assert ["waiting for it" in process.stderr.readline() for process in others] == [True] * 3
    (clone.hold / "go on").touch()
    assert [finish(process)[0] for process in (first, *others)] == [0] * 4
    assert clone.built == 1
    assert clone.leftovers() == {".venv"}


@pytest.mark.slow
def test_starts_in_a_burst_build_once(clone):
    processes = [clone.start() for _ in range(6)]
    assert [finish(process)[0] for process in processes] == [0] * 6
    assert clone.built == 1


def test_an_environment_of_somebody_else_is_left_alone(clone):
    clone.venv.mkdir()
    (clone.venv / "precious").touch()
    code, run, err = clone.run()
    assert (code, run) == (1, None)
    assert "not of our making" in err
    assert (clone.venv / "precious").exists()


def test_without_a_fitting_python_it_names_what_it_found(clone):
    for name in ("python3.11", "python"):
        write_executable(clone.programs / name, NO_SUCH_VERSION)
    old_python = '#!/bin/sh\n[ "$2" = -s ] || exit 1\n'
    write_executable(clone.programs / "python3", f"{old_python}echo 3.9\necho /usr/bin/python3.9\n")
    code, _, err = clone.run()
    assert code == 1
    assert "needs Python 3.11, 3.12 or 3.13" in err
    assert "python3.13 does not run" in err and "python3 is 3.9" in err
    write_executable(clone.programs / "python3", "#!/bin/sh\necho 3.12\nexit 1\n")
    assert "python3 is 3.12 but lacks venv (Debian, Ubuntu: apt install python3.12-venv)" in clone.run()[2]
    assert clone.leftovers() == set()


# --- The active environment


def test_an_active_environment_that_will_do_is_used(clone, pristine_venv):
    active = make_active(clone, pristine_venv, {"keras_imgcls": "0.1.0", "tiny": "1.2"})
    code, run, err = clone.run(**active)
    assert (code, err, clone.built) == (0, "", 0)
    assert run["python"].startswith(active["VIRTUAL_ENV"])
    assert run["file"] == str(clone.root / "keras_imgcls/__main__.py")
    # bin/test asks for more than there is
    assert clone.run(program="bin/test", **active)[1]["python"].startswith(str(clone.venv))


def test_an_active_environment_comes_before_a_venv(standing, pristine_venv):
    active = make_active(standing, pristine_venv, {"keras_imgcls": "0.1.0", "tiny": "1.2"})
    assert standing.run(**active)[1]["python"].startswith(active["VIRTUAL_ENV"])
    assert standing.run(PATH=active["PATH"])[1]["python"].startswith(active["VIRTUAL_ENV"])
    assert standing.run()[1]["python"].startswith(str(standing.venv))


def test_an_active_environment_that_lacks_something_is_passed_over_with_a_word(clone, pristine_venv):
    active = make_active(clone, pristine_venv, {"keras_imgcls": "0.1.0", "tiny": "0.9"})
    code, run, err = clone.run(**active)
    assert code == 0 and run["python"].startswith(str(clone.venv))
    assert f"not using {active['VIRTUAL_ENV']}/bin/python3: tiny>=1.0: has 0.9" in err
    assert clone.run(**active)[2] == ""


def test_an_egg_info_that_lies_in_the_clone_does_not_count(clone, pristine_venv):
    active = make_active(clone, pristine_venv, {"tiny": "1.0"})
    egg_info = clone.root / "keras_imgcls.egg-info"
    egg_info.mkdir()
    (egg_info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: keras_imgcls\nVersion: 0.1.0\n")
    code, run, _ = clone.run(folder=clone.root, PYTHONPATH=str(clone.root), **active)
    assert code == 0 and run["python"].startswith(str(clone.venv))


@pytest.mark.slow
def test_an_activated_venv_of_the_clone_is_judged_by_its_stamp(ready):
    ready.environ["PATH"] = f"{ready.venv}/bin:{ready.environ['PATH']}"
    ready.environ["VIRTUAL_ENV"] = str(ready.venv)
    assert ready.run()[::2] == (0, "")
    ready.edit_setup("0.1.0", "0.1.1")
    assert "ready after" in ready.run()[2]


def satisfied(python: Path, setup_cfg: Path, *extra: str) -> tuple[int, str]:
    answer = subprocess.run(
        [python, "-E", ROOT / "bin/environment/satisfied.py", setup_cfg, *extra],
        capture_output=True,
        text=True,
        cwd=setup_cfg.parent,
    )
    return answer.returncode, answer.stdout.strip()


def test_bounds_markers_and_extras_are_checked(clone, pristine_venv):
    active = make_active(clone, pristine_venv, {"keras_imgcls": "0.1.0", "tiny": "1.5rc1"})
    python, setup_cfg = Path(active["VIRTUAL_ENV"], "bin/python3"), clone.root / "setup.cfg"

    def verdict(requires: str, *extra: str, python_requires: str = ">=3.11") -> str:
        text = SETUP_CFG.replace("tiny>=1.0", requires).replace(">=3.11,<3.14", python_requires)
        setup_cfg.write_text(text)
        code, out = satisfied(python, setup_cfg, *extra)
        assert (code == 0) == (out == str(python))
        return "" if code == 0 else out

    assert verdict("tiny>=1.0") == ""
    assert verdict("tiny>=1.0,<1.6") == ""
    assert verdict("tiny>=1.5") == "tiny>=1.5: has 1.5rc1"
    assert verdict("tiny\n    absent>=2") == "absent>=2 is not installed"
    assert verdict('tiny\n    absent; python_version < "3"') == ""
    assert verdict('tiny\n    absent; python_version >= "3"').startswith("absent;")
    assert verdict("tiny", "test") == "pytest is not installed"
    assert verdict("tiny", python_requires=">=3.99").startswith("python>=3.99: is 3.")


# --- The package


def test_the_versions_that_the_launchers_look_for_are_those_of_setup_cfg():
    from packaging.specifiers import SpecifierSet

    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    requires = SpecifierSet(setup["options"]["python_requires"])
    looked_for = " ".join(f"python3.{minor}" for minor in range(30, 0, -1) if f"3.{minor}.0" in requires)
    assert f"for name in {looked_for} python3 python;" in (ROOT / "bin/environment/build.sh").read_text()


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_recipes_and_the_command(tmp_path):
    if not find_spec("setuptools"):
        pytest.skip("setuptools is not installed")
    source = tmp_path / "source"
    keep = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "runs", "tests", "benchmarks")
    shutil.copytree(ROOT, source, ignore=keep)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--use-pep517",
        "-w",
        tmp_path,
    ]
    subprocess.run([*command, source], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("keras_imgcls-*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry_points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    package = {path.relative_to(ROOT) for path in (ROOT / "keras_imgcls").rglob("*.py")}
    recipes = {path.relative_to(ROOT) for path in (ROOT / "keras_imgcls/recipes").glob("*.flags")}
    assert {path.as_posix() for path in package | recipes} <= names
    assert {name.split("/")[0] for name in names} <= {
        "keras_imgcls",
        next(n for n in names if "METADATA" in n).split("/")[0],
    }
    assert "keras-imgcls = keras_imgcls.__main__:main" in entry_points
