"""Contestants that are processes of their own, for what TensorFlow chooses once for a process.

Each waits while the others take their turn: at a line of standard input it works for a turn and prints its speeds.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def start(script: str, contestant: str, seconds: float, **environment: str) -> subprocess.Popen:
    """A process of `script` that waits for its turn."""
    command = [sys.executable, script, f"--worker={contestant}", f"--seconds={seconds}"]
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def take(worker: subprocess.Popen) -> list[float]:
    """The speeds that a worker prints after its turn."""
    worker.stdin.write("go\n")
    worker.stdin.flush()
    while (line := worker.stdout.readline()) and not line.startswith("speeds "):
        pass
    return [float(speed) for speed in line.split()[1:]] if line else sys.exit("a contestant has died")


def serve(turn: Callable[[], list[float]]) -> None:
    """The worker's side: a turn at each line."""
    for _ in sys.stdin:
        print("speeds", *turn(), flush=True)


def end(worker: subprocess.Popen) -> None:
    """Kills a worker: an endless iterator may keep its interpreter from ending by itself."""
    worker.kill()
    worker.wait()
