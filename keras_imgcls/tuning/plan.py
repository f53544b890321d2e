"""The plan of a search: what is searched, what all trials share, what is looked for. Made and checked without a framework."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from keras_imgcls.core import config as config_module
from keras_imgcls.core import options
from keras_imgcls.core.config import TrainConfig, TuneConfig
from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning import grammar, objective, space
from keras_imgcls.tuning.objective import Objective
from keras_imgcls.tuning.space import Space

# What `auto` chooses by a clock, by the data or by the machine: once for all trials, so that they can be compared.
SETTLED = ("image_size", "channels", "data_dir", "cache", "augment_on", "batch_size", "mixed_precision", "xla")
BY_RUNGS = ("asha", "hyperband")
OF_THIS_CALL = ("max_trials", "time_budget")  # may change on a resume


@dataclass(frozen=True)
class Plan:
    """A search that was checked.

    Attributes:
        config: the flags of the search.
        base: the flags that all trials share.
        space: the flags that differ.
        objective: what is looked for.
    """

    config: TuneConfig
    base: TrainConfig
    space: Space
    objective: Objective

    def settle(self, flags: dict[str, Any]) -> "Plan":
        """This plan with what `auto` chose, as `flags` of a prepared training have it, in all trials."""
        searched = {parameter.name for parameter in self.space.parameters}
        changes = {name: flags[name] for name in SETTLED if name not in searched}
        return dataclasses.replace(self, base=config_module.replace(self.base, **changes))

    def shared(self) -> str:
        """What trials have in common, in a line: nothing that is searched."""
        told = {
            "model": self.base.model,
            "image_size": f"{self.base.image_size} px",
            "batch_size": f"batches of {self.base.batch_size}",
            "mixed_precision": self.base.mixed_precision,
            "epochs": f"{self.base.epochs} epochs at most",
        }
        searched = {parameter.name for parameter in self.space.parameters}
        return ", ".join(text for name, text in told.items() if name not in searched)

    def example(self) -> TrainConfig:
        """The flags of a trial: the first value of each choice, the lower end of each range."""
        first = {p.key: (p.values or (p.low,))[0] for p in self.space.parameters if not p.condition}
        return self.space.config(self.base, first)

    @property
    def converts(self) -> bool:
        """Whether each model's int8 file has to be made to know its cost; for a limit alone an estimate mostly does."""
        return bool({"int8_kb", "latency_ms"} & set(self.objective.costs))

    @property
    def needs_costs(self) -> bool:
        """Whether anything is asked of a model before it is trained."""
        limits = self.config.max_params, self.config.max_flops, self.config.max_tflite_kb
        return bool(self.objective.costs) or any(limits)

    def rejection(self, costs: dict[str, float]) -> str:
        """Why a model of these costs isn't trained; empty where it is."""
        limits = (
            ("parameters", "max_params", ""),
            ("flops", "max_flops", " multiply-adds"),
            ("int8_kb", "max_tflite_kb", " KiB as int8"),
        )
        for cost, flag, unit in limits:
            limit = getattr(self.config, flag)
            if limit and costs[cost] > limit:
                return f"rejected: {costs[cost]:,.0f}{unit or ' parameters'}, above --{flag}={limit:g}"
        return ""


def make(config: TuneConfig) -> Plan:
    """The plan that `config` describes; plugins have to be loaded before.

    Raises:
        UserError: a flag is wrong, or does not go with another one.
    """
    options.check(config)
    goal = objective.parse(config.objective)
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(TrainConfig)}
    base = TrainConfig(
        **{
            **shared, "run_dir": "", "resume": False, "overwrite": False, "dry_run": False,
            "epochs": config.max_epochs or config.epochs, "monitor": goal.metric, "checkpoint_every": "1epoch",
        }
    )  # fmt: skip
    config_module.check(base)
    _refuse_contradictions(config, goal)
    found = grammar.parse(space.read(config.search), base)
    if config.tuner in BY_RUNGS and any(parameter.name == "epochs" for parameter in found.parameters):
        raise UserError(f"--tuner={config.tuner} chooses the epochs itself: give --max_epochs, or another tuner.")
    text = "; ".join(str(found).splitlines())
    return Plan(dataclasses.replace(config, search=text, max_epochs=base.epochs), base, found, goal)


def _refuse_contradictions(config: TuneConfig, goal: Objective) -> None:
    for flag, advice in (
        ("max_minutes", "bounds one training; --time_budget bounds a search"),
        (
            "folds",
            "is cross-validation of one recipe; --executions_per_trial repeats a trial with other seeds and splits",
        ),
        ("early_stopping", "would end trials that the tuner compares; --tuner decides when one ends"),
    ):
        if getattr(config, flag):
            raise UserError(f"--{flag} {advice}.")
    if goal.costs and config.tuner in ("bayesian", "hyperband"):
        raise UserError(f"--tuner={config.tuner} goes by one number: for a Pareto set give asha, random or grid.")
    if config.chief and config.join:
        raise UserError("--chief serves a search and --join works for one: choose one.")
    if not config.workers and not config.chief:
        raise UserError("--workers=0 is for a chief that serves others: give --chief=PORT.")


def differences(stored: TuneConfig, given: TuneConfig) -> list[str]:
    """What `given` says else than `stored`, where that would be another search; a flag at its default says nothing."""
    found = []
    for field in dataclasses.fields(TuneConfig):
        then, now = getattr(stored, field.name), getattr(given, field.name)
        if field.name == "search" and now:
            old, new = then.split("; "), "; ".join(space.read(now).splitlines())
            now = "; ".join(str(grammar.parse(new, _bare(stored))).splitlines())
            gone, come = [p for p in old if p not in now.split("; ")], [p for p in now.split("; ") if p not in old]
            found += [f"the space had {part}" for part in gone] + [f"the space now has {part}" for part in come]
        elif field.metadata["stored"] and field.name not in OF_THIS_CALL and now not in (field.default, then):
            found.append(f"--{field.name} was {then}, is {now}")
    return found


def _bare(config: TuneConfig) -> TrainConfig:
    return TrainConfig(**{field.name: getattr(config, field.name) for field in dataclasses.fields(TrainConfig)})
