"""How many steps of which image size fit into the hours."""

import dataclasses
from dataclasses import dataclass

from lvistk.config.inference import MergeSettings, ViewSettings
from lvistk.config.load import update
from lvistk.config.train import AugmentSettings
from lvistk.planning import rules
from lvistk.planning.basis import Basis
from lvistk.planning.cost import Rates, inference_gmacs, masks_made, training_gmacs
from lvistk.planning.model_tables import model_settings
from lvistk.planning.planned import duration
from lvistk.planning.views import single_view, tta_views

RESERVE = 0.15
"""Share of the hours that is left for indexing, evaluation, checkpoints and what else the machine does."""
FINETUNE_SHARE, AGAIN_SHARE = 0.3, 0.25
"""Steps of ``finetune`` and of a second ``train-repr`` over those of the first (the demo: a third)."""
FINETUNE_COST = 0.9
"""A step of ``finetune`` over one of ``train-repr``: no gradient in the backbone, more of the masks."""
FROM_WANTED = 3
"""A larger size is taken if at least this part of the wanted steps fits beside it."""
STAGES, STAGES_PER_ROUND = 4, 3
"""Stages that start whatever the plan, and those of each round."""


@dataclass(frozen=True)
class Steps:
    """Steps of each training, and what they and everything else take.

    size: shorter side of whole images, pixels.
    first, again, finetune: steps; again is 0 without a second round.
    step_seconds: of ``train-repr``. seconds: of the whole run.
    crop: what is trained on instead of whole images.
    """

    size: float
    first: int
    again: int
    finetune: int
    step_seconds: float
    seconds: float
    crop: rules.Crop | None = None


def planned_steps(basis: Basis, rates: Rates) -> Steps:
    """``fitting_steps``, on crops of larger images where these show more at the same cost."""
    steps = fitting_steps(basis, rates)
    crop = rules.crop(basis.fp, steps.size)
    if crop is None:
        return steps
    before, after = (_inference_seconds(basis, rates, size) for size in (steps.size, crop.size))
    seconds = steps.seconds + after - before
    return dataclasses.replace(steps, size=crop.size, crop=crop, seconds=seconds)


def fitting_steps(basis: Basis, rates: Rates) -> Steps:
    """The largest size beside which a third of the wanted steps fits.

    Else the size that shows half of the objects well enough (``rules.modest_size``), with the steps that fit,
    if these are the least that teach; else the largest size beside which the least steps fit. Where no size
    leaves time for these, they are planned at the smallest, over the hours.
    """
    wanted_size = rules.wanted_size(basis.fp).value
    sizes = [s for s in rules.SIZES if s <= wanted_size][::-1] or [rules.SIZES[0]]
    least = basis.least_steps
    budget = _budget(basis)
    tries = [steps_at(basis, rates, size) for size in sizes]
    modest = [one for one in tries if one.size == rules.modest_size(basis.fp)]
    third = max(least, basis.wanted_steps.value / FROM_WANTED)
    for enough, candidates in ((third, tries), (least, modest), (least, tries)):
        for steps in candidates:
            if steps.first >= enough and steps.seconds <= budget * 1.001:
                return steps
    return steps_at(basis, rates, sizes[-1], at_least=least)


def steps_at(basis: Basis, rates: Rates, size: float, *, at_least: float = 0) -> Steps:
    """The steps that the hours allow at a size, no more than are wanted."""
    per_step = step_seconds(basis, rates, size)
    starts = rates.start_seconds * (STAGES + STAGES_PER_ROUND * basis.rounds)
    other = _inference_seconds(basis, rates, size) + starts
    share = (basis.rounds - 1) * AGAIN_SHARE + FINETUNE_SHARE * FINETUNE_COST
    affordable = max(_budget(basis) - other, 0) / per_step / (1 + share)
    wanted = basis.wanted_steps.value
    first = max(basis.whole_epochs(min(affordable, wanted)), basis.enough_epochs(at_least))
    again = basis.whole_epochs(first * AGAIN_SHARE) if basis.rounds > 1 else 0
    finetune = basis.whole_epochs(first * FINETUNE_SHARE)
    training = per_step * (first + again + FINETUNE_COST * finetune)
    return Steps(size, first, again, finetune, per_step, training + other)


def remarks(basis: Basis, steps: Steps) -> list[str]:
    """What the user should know about hours and steps."""
    hours, asked = steps.seconds / 3600, basis.wishes.hours
    least, wanted = basis.least_steps, basis.wanted_steps.value
    lines: list[str] = []
    if hours > 1.1 * asked:
        lines.append(
            f"about {duration(hours)}, more than the {duration(asked)} asked for: fewer than "
            f"{max(least, basis.epoch_steps):.0f} steps of train-repr teach too little"
        )
    elif steps.first < wanted / FROM_WANTED:
        lines.append(
            f"{steps.first} steps fit into {duration(asked)}; {wanted:.0f} are usual: with --hours "
            f"{asked * wanted / steps.first:.1f} the model will be better"
        )
    elif hours < 0.7 * asked:
        lines.append(f"about {duration(hours)} suffice; more steps would learn the images by heart")
    if basis.wishes.start == "nothing":
        lines.append(
            "the backbone starts at random: about three times the steps of a pretrained one are needed, "
            "and a few hundred images will hardly do; give --weights FILE, or --weights imagenet, which "
            "downloads ResNet-50's"
        )
    return lines


def step_seconds(basis: Basis, rates: Rates, size: float) -> float:
    """Of a step of ``train-repr`` at a size."""
    sizes = {
        "short_edges": list(rules.training_sizes(size)),
        "long_edge": basis.long_edge(size),
    }
    augment = update(AugmentSettings(), sizes, where="plan")
    batch = int(basis.batch.value)
    work = training_gmacs(model_settings(basis), augment, aspect=basis.batch_aspect, batch=batch)
    return work * batch / rates.training


def _budget(basis: Basis) -> float:
    return basis.wishes.hours * 3600 * (1 - RESERVE)


def _inference_seconds(basis: Basis, rates: Rates, size: float) -> float:
    model = model_settings(basis)
    single = update(ViewSettings(), single_view(basis, size), where="plan")
    many = update(ViewSettings(), tta_views(basis, size), where="plan")
    merge = MergeSettings(max_detections=basis.most_detections)
    first = inference_gmacs(model, single, masks=merge.max_detections, aspect=basis.aspect)
    masks = masks_made(many, merge)
    last = inference_gmacs(model, many, masks=masks, aspect=basis.aspect)
    work = basis.wishes.val_images * (first + last)
    return (work + basis.fp.images * first * basis.may_miss) / rates.inference
