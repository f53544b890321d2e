"""The search: workers that ask the oracle for trials until it has no more, time is over, or nothing works."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from keras_imgcls.core import files, lock
from keras_imgcls.core.config import TuneConfig
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning import oracles, plan, report
from keras_imgcls.tuning.board import Board
from keras_imgcls.tuning.executor import Executor, LocalExecutor, TrialFailed
from keras_imgcls.tuning.folder import Folder
from keras_imgcls.tuning.journal import Journal, Record, records
from keras_imgcls.tuning.plan import Plan
from keras_imgcls.tuning.trials import Trials

FAILURES = 5  # trials that all fail, before a search is given up
IDLE_SECONDS = 0.2


def search(
    config: TuneConfig, folder: Folder, executors: Sequence[Executor], serve: Callable | None = None
) -> list[Record]:
    """Searches in `folder`, from its beginning or from where its journal ends; returns what is known of each trial.

    Args:
        config: the flags, checked, as `search.flags` has them.
        folder: made before.
        executors: one for each trial at a time; none for a chief that only serves. They are closed at the end.
        serve: `(oracle, stop) -> None`, which serves workers on other machines until they are done.

    Raises:
        UserError: the data can't be read, every trial failed, or the disk is full: a resume goes on with all trials.
    """
    ready = plan.make(config)
    first = executors[0] if executors else LocalExecutor(config.tensorflow_log)
    with lock.hold(folder.path), contextlib.ExitStack() as stack:
        for executor in (first, *executors[1:]):
            stack.callback(executor.close)
        ready, classes = settle(ready, folder, first)
        oracle, past = _oracle_so_far(ready, folder)
        board = Board(ready.objective, config.max_trials, config.workers, past)
        stack.callback(board.close)
        trials = Trials(ready, classes, folder, board, deadline(config))
        workers = [(f"worker{index}", oracle, executor) for index, executor in enumerate(executors)]
        reporter = report.Reporter(folder, ready)
        try:
            work(trials, workers, serve and (lambda: serve(oracle, trials.stop)), reporter.look)
        except KeyboardInterrupt:
            reporter.write()
            raise
        board.close()
        return _finish(ready, folder, first)


def _oracle_so_far(ready: Plan, folder: Folder) -> tuple[Any, list[Record]]:
    """The oracle where the journal ends, and what is known of the trials until then."""
    journal = Journal(folder.journal)
    journal.repair()
    events = journal.events()
    oracle = oracle_of(ready, folder)
    oracle.replay(events)
    oracle.open_session()
    past = records([*events, {"event": "session"}])
    if past:
        waiting = sum(record.status == "waiting" for record in past)
        note(f"Resumed: {len(past)} trials are known, {waiting} of them were interrupted and go on.")
    return oracle, past


def oracle_of(ready: Plan, folder: Folder) -> Any:
    """The oracle of a plan, knowing nothing yet."""
    config = ready.config
    return oracles.make(
        config.tuner, ready.space, ready.objective, folder.path,
        max_trials=config.max_trials, max_epochs=ready.base.epochs, seed=config.seed, median=config.median_stopping,
    )  # fmt: skip


def settle(ready: Plan, folder: Folder, executor: Executor) -> tuple[Plan, int]:
    """The plan with what `auto` chose, and the number of classes; chosen once, and kept in `settled.json`.

    Raises:
        UserError: the data can't be read, or nothing validates.
    """
    if not folder.settled.is_file():
        flags = vars(ready.example()) | {"run_dir": str(folder.trial("none"))}
        try:
            found = executor.run({"job": "settle", "flags": flags, "log": str(folder.log("settle").absolute())})
        except TrialFailed as failed:
            raise UserError(str(failed)) from failed
        if not found["images"]["validation"]:
            raise UserError("A search needs validation images to score its trials by: give --validation_fraction.")
        files.write_json(folder.settled, found)
    found = json.loads(folder.settled.read_text(encoding="utf-8"))
    settled = ready.settle(found["flags"])
    note(f"All trials: {settled.shared()}.")
    return settled, found["classes"]


def work(
    trials: Trials,
    workers: Sequence[tuple[str, Any, Executor]],
    serve: Callable[[], None] | None = None,
    look: Callable[[], None] | None = None,
) -> None:
    """Lets each worker (its name, its oracle, its executor) train trials, all at once, until there are no more.

    Meanwhile another thread serves workers elsewhere by `serve`, and this one looks at the search by `look`, many times a second.
    """
    errors: list[BaseException] = []

    def guarded(job: Callable, *arguments: Any) -> None:
        try:
            job(*arguments)
        except BaseException as error:
            errors.append(error)
            trials.stop.set()

    jobs = [(_work, trials, *worker) for worker in workers] + ([(serve,)] if serve else [])
    threads = [threading.Thread(target=guarded, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
            if trials.over:  # when time is over, a chief is to know it too
                trials.stop.set()
            if look:
                look()
    finally:
        trials.stop.set()
    if errors:
        raise errors[0]


def _work(trials: Trials, name: str, oracle: Any, executor: Executor) -> None:
    while not trials.over:
        trial = oracle.create_trial(name)
        if trial.status == "STOPPED":
            return
        if trial.status == "IDLE":
            time.sleep(IDLE_SECONDS)
            continue
        trials.run(oracle, trial, executor)
        if trials.failed >= FAILURES and not trials.ended:
            note(f"The first {trials.failed} trials all failed: the search is given up.")
            trials.stop.set()


def _finish(ready: Plan, folder: Folder, executor: Executor) -> list[Record]:
    """Ends the best trial where it stands and writes what is to be seen of the search."""
    found = records(Journal(folder.journal).events())
    best = report.best(found, ready.objective)
    if best is None:
        report.write(folder, ready, found)
        reasons = {record.reason: record.name for record in found if record.reason}
        told = "; ".join(f"{name}: {reason}" for reason, name in list(reasons.items())[:3])
        raise UserError(f"No trial came to the end of an epoch. {told or 'Give more --time_budget.'}")
    run = _best_execution(ready, folder, best)
    flags = vars(ready.space.config(ready.base, best.values)) | {"run_dir": str(run.absolute())}
    try:
        executor.run({"job": "conclude", "flags": flags, "log": str(folder.log(best.name).absolute())})
    except TrialFailed as failed:
        raise UserError(f"The best trial, {best.name}, can't be evaluated: {failed}") from failed
    folder.choose(run)
    report.write(folder, ready, found)
    return found


def _best_execution(ready: Plan, folder: Folder, best: Record) -> Any:
    """The run of a trial's best execution."""
    runs = [folder.trial(best.name, index) for index in range(ready.config.executions_per_trial)]
    metric, sign = ready.objective.metric, ready.objective.sign
    return max(runs, key=lambda run: max(sign(float(row[metric])) for row in report.history(run)))


def deadline(config: TuneConfig) -> float:
    """When `--time_budget` is over, on the monotonic clock."""
    return time.monotonic() + 60 * config.time_budget if config.time_budget else math.inf
