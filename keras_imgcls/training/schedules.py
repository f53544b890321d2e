"""Schedules: `(peak learning rate, total steps) -> learning rate at a step`, a function of the step alone.

The peak is a scalar variable, which only what is called at each step may read. The step is the optimizer's own counter, so
that a resumed run is where it was.
"""

from collections.abc import Sequence

import keras
from keras import ops

from keras_imgcls.core.errors import UserError
from keras_imgcls.core.registry import SCHEDULES


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of progress through the run (0 at the first step, 1 at the end)."""

    def __init__(self, peak: float | keras.Variable, total_steps: int, multiplier) -> None:
        """Stores the peak rate, the number of steps, and a function from progress to a multiple of the peak."""
        self.peak, self.total_steps, self.multiplier = peak, total_steps, multiplier

    def __call__(self, step):
        """The learning rate at `step`."""
        return self.peak * self.multiplier(ops.cast(step, "float32") / float(self.total_steps))

    def get_config(self) -> dict:
        """The numbers of the schedule; it is rebuilt from the run's flags, never from a file."""
        return {"peak": float(self.peak), "total_steps": self.total_steps}


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a variable, which a rollback lowers; times 1 no bit changes."""

    def __init__(self, schedule: Schedule, factor: keras.Variable) -> None:
        """Stores the schedule and the variable."""
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        """The learning rate at `step`."""
        return self.schedule(step) * self.factor.value

    def get_config(self) -> dict:
        """That of the schedule; it is rebuilt from the run's flags, never from a file."""
        return self.schedule.get_config()


@SCHEDULES.register
def constant(learning_rate, total_steps):
    """The same learning rate throughout."""
    return Schedule(learning_rate, total_steps, lambda progress: ops.ones_like(progress))


@SCHEDULES.register
def warmup_cosine(learning_rate, total_steps, warmup=0.05, end=0.0):
    """Linear warm-up over the share `warmup` of the run, then half a cosine to `end` (Loshchilov & Hutter 2017)."""
    _require_share("warmup_cosine", warmup=warmup, end=end)
    first = _first_step(warmup, total_steps)

    def multiplier(progress):
        falling = ops.clip((progress - warmup) / max(1.0 - warmup, 1e-9), 0.0, 1.0)
        cosine = end + (1.0 - end) * 0.5 * (1.0 + ops.cos(falling * 3.141592653589793))
        return ops.minimum((progress + first) / max(warmup, 1e-9), cosine) if warmup else cosine

    return Schedule(learning_rate, total_steps, multiplier)


@SCHEDULES.register
def one_cycle(learning_rate, total_steps, warmup=0.23, start=0.2, end=0.07):
    """Linear from `start` to 1 over the share `warmup`, then linear to `end` (the speed runs' triangle; Smith 2018)."""
    _require_share("one_cycle", warmup=warmup, start=start, end=end)

    def multiplier(progress):
        rising = start + (1.0 - start) * progress / max(warmup, 1e-9)
        falling = 1.0 + (end - 1.0) * (progress - warmup) / max(1.0 - warmup, 1e-9)
        return ops.where(progress < warmup, rising, ops.maximum(falling, end))

    return Schedule(learning_rate, total_steps, multiplier)


@SCHEDULES.register
def step(learning_rate, total_steps, at=(0.5, 0.75), factor=0.1):
    """Multiplied by `factor` at each of the shares `at` of the run (He et al. 2015: a tenth at one half and three quarters)."""
    _require_share("step", factor=factor, **{f"at[{index}]": share for index, share in enumerate(_sequence(at))})

    def multiplier(progress):
        drops = sum(ops.cast(progress >= share, "float32") for share in _sequence(at))
        return ops.power(ops.cast(factor, "float32"), drops)

    return Schedule(learning_rate, total_steps, multiplier)


def _first_step(warmup: float, total_steps: int) -> float:
    """The warm-up counts the first step too, so that it is not taken with a learning rate of 0."""
    return 1.0 / total_steps if warmup else 0.0


def _sequence(value) -> Sequence[float]:
    return value if isinstance(value, (tuple, list)) else (value,)


def _require_share(name: str, **values: float) -> None:
    for argument, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise UserError(f"{name} takes {argument} between 0 and 1; received {value!r}.")
