"""How much of the scores' differences each flag explains: permutation importance in a random forest."""

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from keras_imgcls.tuning.journal import Record
from keras_imgcls.tuning.plan import Plan

LEAST_TRIALS = 8  # below it a forest tells noise


def importance(ready: Plan, records: Sequence[Record], scores: Sequence[float]) -> dict[str, float]:
    """Share of each parameter (by key) in what a forest over the trials explains, 0 to 1; empty for fewer than 8 trials.

    Ranges count by their (logarithmic) value, choices by their place in the list. The epochs that a trial was given are among the
    features, so that what a rung took is not blamed on a flag; their share is left out.
    """
    if len(records) < LEAST_TRIALS:
        return {}
    features = np.array(
        [[*(place(p, r.values.get(p.key)) for p in ready.space.parameters), max(r.epochs)] for r in records]
    )
    forest = RandomForestRegressor(200, random_state=0).fit(features, scores)
    shares = permutation_importance(forest, features, scores, n_repeats=10, random_state=0).importances_mean[:-1]
    shares = np.maximum(shares, 0)
    total = shares.sum() or 1.0
    return {p.key: float(share / total) for p, share in zip(ready.space.parameters, shares, strict=True)}


def place(parameter, value) -> float:
    """Where `value` stands between the ends of `parameter`, 0 to 1; -0.1 where it is not active."""
    if value is None:
        return -0.1
    if parameter.kind == "choice":
        return parameter.values.index(value) / (len(parameter.values) - 1)
    low, high = parameter.low, parameter.high
    if parameter.logarithmic:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low))
