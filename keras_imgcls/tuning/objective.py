"""What a search is after: one metric, or a set of trials that none beats in accuracy and cost at once. No framework is needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_imgcls.core.errors import UserError, nearest

# name -> (column of an epoch's report, whether more is better)
METRICS = {
    "accuracy": ("val_accuracy", True),
    "balanced_accuracy": ("val_balanced_accuracy", True),
    "log_loss": ("val_loss", False),
}
COSTS = ("parameters", "flops", "int8_kb", "latency_ms")


@dataclass(frozen=True)
class Objective:
    """The metric that is looked at in every epoch, and the costs it is weighed against (mostly none)."""

    name: str
    costs: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The column of an epoch's report, which is also what chooses a run's `model.keras`."""
        return METRICS[self.name][0]

    @property
    def largest(self) -> bool:
        """Whether more is better."""
        return METRICS[self.name][1]

    def sign(self, value: float) -> float:
        """`value` so that more is better."""
        return value if self.largest else -value


def parse(text: str) -> Objective:
    """The objective in `accuracy`, or in `accuracy, int8_kb` for a Pareto set.

    Raises:
        UserError: an unknown name, or not one metric first.
    """
    name, *costs = [part.strip() for part in text.split(",")]
    for word, known in ((name, tuple(METRICS)), *((cost, COSTS) for cost in costs)):
        if word not in known:
            raise UserError(
                f"--objective is one of {', '.join(METRICS)}, and for a Pareto set one or more of {', '.join(COSTS)} "
                f"behind it; received '{text}'.{nearest(word, (*METRICS, *COSTS))}"
            )
    return Objective(name, tuple(costs))


def fronts(points: Sequence[tuple[float, ...]]) -> list[int]:
    """For each point (more is better in each number) its front: 0 where no other dominates it, 1 where only those do, …"""
    found: list[int] = [-1] * len(points)
    front = 0
    while -1 in found:
        left = [index for index, at in enumerate(found) if at == -1]
        best = [i for i in left if not any(_dominates(points[j], points[i]) for j in left)]
        for index in best:
            found[index] = front
        front += 1
    return found


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
