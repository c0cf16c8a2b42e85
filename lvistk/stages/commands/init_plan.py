"""A plan for data and this machine: what to start from, and rates that are measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lvistk import console
from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.config.load import to_table, update
from lvistk.config.model import ModelSettings
from lvistk.config.train import AugmentSettings, LoopSettings
from lvistk.errors import UserError
from lvistk.planning.backbones import (
    Backbone,
    local_backbones,
    named_backbone,
    shipped_backbone,
)
from lvistk.planning.cost import BACKBONE_GMACS, OTHER_GMACS, Rates, batch_aspect
from lvistk.planning.fingerprint import Fingerprint
from lvistk.planning.machine import Machine, OtherWork, this_machine
from lvistk.planning.plan import make_plan
from lvistk.planning.planned import Plan, Wishes

HOURS = {"cpu": 2.0, "cuda": 8.0}
"""Of a run, where none are given."""
GUESSED = {"cpu": Rates(20.0, 25.0), "cuda": Rates(6000.0, 8000.0)}
"""Rates before the measurement, which choose what is measured."""

BUSY = 0.25
"""Share of the processors that other work may take before it is told."""


@dataclass(frozen=True)
class InitPlan:
    """The plan, the machine it is for, the measured rates, and what it starts from in words."""

    plan: Plan
    machine: Machine
    rates: Rates
    start: str


def plan_for(
    fingerprint: Fingerprint,
    *,
    data: Path,
    categories: Path,
    val_images: int,
    pool: bool,
    hours: float | None,
    weights: str | None,
    checkpoint: Path | None,
    device: str,
) -> InitPlan:
    """The plan of a data set whose folder is ``data``; ``categories`` is its annotation file."""
    machine = this_machine(device)
    if checkpoint is not None and weights is not None:
        raise UserError("--from and --weights: give one, a detector or a backbone to start from")
    if hours is not None and not 0 < hours < math.inf:
        raise UserError(f"--hours {hours:g}: give a time above 0")
    backbone = None if checkpoint else _backbone(weights, data, machine)
    start = _detector(checkpoint, categories) if checkpoint else {}
    wishes = Wishes(
        hours=hours or HOURS[machine.kind],
        backbone=backbone,
        checkpoint=checkpoint,
        **start,
        categories=str(categories),
        pool=pool,
        val_images=val_images,
    )
    rates = GUESSED[machine.kind]
    plan = make_plan(fingerprint, machine, wishes, rates)
    measured: list[Any] = []
    others = OtherWork()
    while (sizes := plan.settings("augment")["short_edges"]) not in measured and len(measured) < 3:
        measured.append(sizes)
        rates = _measured(plan, fingerprint, machine, device=device)
        plan = make_plan(fingerprint, machine, wishes, rates)
    if machine.kind == "cpu" and (share := others.share()) > BUSY:
        console.warn(
            f"other work took {share:.0%} of the processors while rates were measured, and the plan is for "
            "what it left; init plans more when they are free"
        )
    return InitPlan(plan, machine, rates, _start(wishes))


def _measured(plan: Plan, fingerprint: Fingerprint, machine: Machine, *, device: str) -> Rates:
    from lvistk.distributed import choose_device
    from lvistk.stages.forecasts.measure import measure_rates

    augment = update(AugmentSettings(), plan.settings("augment"), where="plan")
    console.say(f"measuring a few steps at a shorter side of {augment.short_edges[1]} px")
    loop = update(LoopSettings(), plan.settings("loop"), where="plan")
    return measure_rates(
        update(ModelSettings(), plan.settings("model"), where="plan"),
        augment,
        loop=loop,
        categories=fingerprint.categories,
        device=choose_device(device),
        aspect=batch_aspect(fingerprint.aspects, loop.part_size),
    )


def _backbone(weights: str | None, data: Path, machine: Machine) -> Backbone | None:
    """The backbone that was named; else one whose weights lie here, a small one for a CPU."""
    if weights == "none":
        return None
    if weights is not None:
        return named_backbone(weights)
    known = local_backbones(data) + local_backbones(Path.cwd())

    def cost(one: Backbone) -> float:
        return BACKBONE_GMACS.get(one.name, OTHER_GMACS)

    if machine.kind == "cpu":
        return min(known, key=cost) if known else shipped_backbone()
    fitting = [one for one in known if cost(one) <= OTHER_GMACS * 2]
    return max(fitting, key=cost) if fitting else None


def _start(wishes: Wishes) -> str:
    if wishes.checkpoint is not None:
        return f"the detector {wishes.checkpoint}, through import-weights"
    if wishes.backbone is None:
        return "random weights; --weights FILE or --weights imagenet (a download) would help much"
    one = wishes.backbone
    more = (
        "; ImageNet weights (--weights FILE, or imagenet, a download) learn more from real images"
    )
    return f"backbone {one.name}: {one.origin}" + (more if one.width != 1 else "")


def _detector(checkpoint: Path, categories: Path) -> dict[str, Any]:
    """What ``Wishes`` wants to know of a checkpoint. Where it knows none of the categories, or not what its
    own are called, all but the rows of categories is taken over."""
    try:
        labels, settings = "by_name", _imported(checkpoint, categories, "by_name")
    except UserError as error:
        labels, settings = "leave_out", _imported(checkpoint, categories, "leave_out")
        console.warn(f"{error}; the plan starts the rows of all categories anew")
    model = _changes(to_table(settings), to_table(ModelSettings()))
    return {"checkpoint_model": model, "checkpoint_labels": labels}


def _imported(
    checkpoint: Path, categories: Path, labels: Literal["by_name", "leave_out"]
) -> ModelSettings:
    from lvistk.importing.importer import import_checkpoint

    inputs = ImportWeightsInputs(checkpoint=checkpoint, categories=categories)
    return import_checkpoint(ImportWeightsSettings(labels=labels), inputs).model.settings


def _changes(table: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``table`` is not as in ``default``, nested."""
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = _changes(value, default[key])
            if inner:
                changes[key] = inner
        elif value != default[key] and value is not None:
            changes[key] = value
    return changes
