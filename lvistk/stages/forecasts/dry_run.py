"""What a stage or a whole run would do: from which inputs, how many steps or images, how long."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvistk import console
from lvistk.config.inference import ViewSettings
from lvistk.config.load import apply_overrides, from_table
from lvistk.config.model import ModelSettings
from lvistk.config.train import AugmentSettings, LoopSettings
from lvistk.data.images.listed_images import ListedImages
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.pool.open_images import OpenImages
from lvistk.data.training.samplers import repeat_factors
from lvistk.errors import UserError
from lvistk.planning.cost import Rates, batch_aspect, inference_gmacs, masks_made, training_gmacs
from lvistk.stages.pipelines.runner import is_finished, missing_inputs, standing_of
from lvistk.stages.pipelines.stage_plan import StagePlan

TRAININGS = ("train-repr", "finetune")
DETECTING = ("pseudo-label", "tta-infer")


@dataclass(frozen=True)
class Forecast:
    """What a stage would do.

    state: as ``lvistk status`` says, or what it waits for. work: steps or images in words.
    seconds, memory_gb: estimated; None where nothing was measured or the stage is done.
    """

    name: str
    command: str
    state: str
    work: str = ""
    seconds: float | None = None
    memory_gb: float | None = None


class Forecaster:
    """Forecasts of stages on a device; equal models are measured once.

    undrawn: folder of data that a run draws before its first stage; nothing is estimated of what reads them.
    """

    def __init__(self, device: str, *, undrawn: Path | None = None) -> None:
        self._device = device
        self._undrawn = undrawn
        self._rates: dict[str, Rates] = {}

    def forecast(self, plan: StagePlan) -> Forecast:
        """What running ``plan`` would do now."""
        lacking = _lacking(plan)
        if not lacking and self._undrawn is not None and plan.reads_below(self._undrawn):
            return Forecast(plan.name, plan.command, _waits(plan) or _before_drawing(plan))
        state = f"needs {', '.join(lacking)}" if lacking else _state(plan)
        base = Forecast(plan.name, plan.command, state)
        if state == "done" or lacking:
            return base
        if plan.command in TRAININGS:
            return self._of_training(plan, base)
        if plan.command in DETECTING:
            return self._of_detecting(plan, base)
        if plan.command == "predict":
            return self._of_predicting(plan, base)
        return base

    def _of_training(self, plan: StagePlan, base: Forecast) -> Forecast:
        settings = plan.settings
        index = index_of(plan.inputs.train, plan.out)
        loop, model = settings.loop, model_made(plan)
        steps = _epoch_steps(plan, index) * loop.epochs
        steps = min(steps, loop.max_steps) if loop.max_steps else steps
        epochs = f"{loop.epochs} epoch" + "s" * (loop.epochs > 1)
        work = f"{steps} steps of {loop.batch_size} images, {epochs}"
        if model is None:
            return dataclasses.replace(base, work=work)
        frozen = getattr(settings, "freeze", ())
        rates = self._measured(model, settings.augment, loop, index, frozen=frozen)
        aspect = _aspect(index, loop.part_size)
        each = training_gmacs(model, settings.augment, aspect=aspect, batch=loop.part_size)
        memory = rates.memory_gb * loop.batch_size / loop.accumulate
        return dataclasses.replace(
            base,
            work=work,
            seconds=steps * each * loop.batch_size / rates.training + rates.start_seconds,
            memory_gb=memory,
        )

    def _of_detecting(self, plan: StagePlan, base: Forecast) -> Forecast:
        images, index = detected_images(plan)
        if getattr(plan.settings, "fold", ""):
            images = -(-images // int(plan.settings.fold.split("/")[1]))
        return self._of_views(
            base, plan, model_given(plan), plan.settings.views, images=images, index=index
        )

    def _of_predicting(self, plan: StagePlan, base: Forecast) -> Forecast:
        from lvistk.importing.any_model import describe_any_model  # imports torch
        from lvistk.inference.default_views import chosen_views

        images, source = len(ListedImages(plan.inputs.images)), plan.sources.get("model")
        if source is not None and not is_finished(source):
            return dataclasses.replace(base, work=f"{images} images")
        model, size = describe_any_model(plan.inputs.model)
        views = chosen_views(plan.settings.views, size, many=plan.settings.tta)
        return self._of_views(base, plan, model, views, images=images, index=None)

    def _of_views(
        self,
        base: Forecast,
        plan: StagePlan,
        model: ModelSettings | None,
        views: ViewSettings,
        *,
        images: int,
        index: AnnotationIndex | None,
    ) -> Forecast:
        """Of ``images`` in ``views``; an ``index`` tells their usual shape and the categories."""
        count = len(views.short_edges) * (1 + views.flip)
        work = f"{images} images in {count} view" + "s" * (count > 1)
        if model is None:
            return dataclasses.replace(base, work=work)
        rates = self._measured(model, _largest_view(views), LoopSettings(batch_size=1), index)
        masks = masks_made(views, plan.settings.merge)
        each = inference_gmacs(model, views, masks=masks, aspect=_aspect(index))
        return dataclasses.replace(
            base,
            work=work,
            seconds=images * each / rates.inference + rates.start_seconds,
            memory_gb=rates.inference_gb * plan.settings.predict.batch_size,
        )

    def rates(self, plan: StagePlan, model: ModelSettings) -> Rates:
        """Measured rates of a stage that trains or detects with ``model``."""
        settings = plan.settings
        if plan.command in TRAININGS:
            frozen = getattr(settings, "freeze", ())
            return self._measured(model, settings.augment, settings.loop, None, frozen=frozen)
        return self._measured(
            model, _largest_view(settings.views), LoopSettings(batch_size=1), None
        )

    def _measured(
        self,
        model: ModelSettings,
        augment: AugmentSettings,
        loop: LoopSettings,
        index: AnnotationIndex | None,
        *,
        frozen: Sequence[str] = (),
    ) -> Rates:
        batch = loop.part_size
        sizes = augment.short_edges, augment.long_edge
        key = repr((model, sizes, batch, loop.precision, frozen))
        if key not in self._rates:
            from lvistk.distributed import choose_device  # imports torch
            from lvistk.stages.forecasts.measure import measure_rates

            self._rates[key] = measure_rates(
                model,
                augment,
                loop=loop,
                categories=len(index.categories) if index is not None else 80,
                device=choose_device(self._device),
                aspect=_aspect(index, batch),
                frozen=frozen,
            )
        return self._rates[key]


def _largest_view(views: ViewSettings) -> AugmentSettings:
    """Training images of the size of the largest view, which takes the most memory."""
    return AugmentSettings(short_edges=(max(views.short_edges),), long_edge=views.long_edge)


def show(
    plans: Sequence[StagePlan], *, device: str, title: str, undrawn: Path | None = None
) -> None:
    """Print what each stage would do, its inputs where it is one, and the sum.

    undrawn: folder of data that would be drawn first.
    """
    forecaster = Forecaster(device, undrawn=undrawn)
    forecasts = [forecaster.forecast(plan) for plan in plans]
    if console.shows_json():
        console.say_json([dataclasses.asdict(one) for one in forecasts])
        return
    rows = [
        (one.name, one.command, one.state, one.work, _time(one.seconds), _memory(one.memory_gb))
        for one in forecasts
    ]
    console.table(title, ("stage", "command", "state", "work", "time", "memory"), rows, left=4)
    if len(plans) == 1:
        for name, text in _inputs_in_words(plans[0]).items():
            console.say(f"{name}: {text}")
    known = [one.seconds for one in forecasts if one.seconds is not None]
    if len(known) > 1:
        console.say(
            f"about {console.seconds(sum(known))} for what is not done, evaluations not counted"
        )
    if undrawn is not None and any(plan.reads_below(undrawn) for plan in plans):
        console.say(f"the data are drawn into {undrawn} first; then a dry run tells steps and time")
    console.say("nothing was run; times are from a few steps on images of noise, measured now")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else console.seconds(seconds)


def _memory(gigabytes: float | None) -> str | None:
    return None if gigabytes is None else f"{gigabytes:.1f} GB"


def _lacking(plan: StagePlan) -> list[str]:
    """Inputs that the stage requires and that nobody gives."""
    inputs, source = plan.inputs, getattr(plan.settings, "source", "")
    lacking = [name for name in plan.stage.required if getattr(inputs, name) in (None, ())]
    has_images = bool(getattr(inputs, "images", ()))
    if source in ("openimages", "images") and inputs.pool is None:
        lacking += [] if source == "images" and has_images else ["pool"]
    if plan.command == "tta-infer" and inputs.val is None and not has_images:
        lacking.append("val")
    return lacking


def _state(plan: StagePlan) -> str:
    if waits := _waits(plan):
        return waits
    try:
        text = standing_of(plan).text()
    except UserError as error:
        return str(error)
    return "would run" if text == "not run" else "would resume" if text == "unfinished" else text


def _before_drawing(plan: StagePlan) -> str:
    """The state of a stage whose inputs cannot be compared until its data are drawn."""
    return "done, if the data are drawn as they were" if is_finished(plan) else "would run"


def _waits(plan: StagePlan) -> str:
    """The stages that ``plan`` waits for, in words; nothing where all are finished."""
    names = dict.fromkeys(one.name for one in missing_inputs(plan).values())
    return f"waits for {', '.join(names)}" if names else ""


def _inputs_in_words(plan: StagePlan) -> Mapping[str, str]:
    unread = plan.stage.unread(plan.settings, plan.inputs)
    words: dict[str, str] = {}
    for name, value in vars(plan.inputs).items():
        if name in unread or value in (None, ()):
            continue
        source = plan.sources.get(name)
        paths = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words[name] = paths if source is None else f"{paths}, the result of {source.name}"
    return words


def _epoch_steps(plan: StagePlan, index: AnnotationIndex) -> int:
    """Steps of an epoch, repeats and pseudo-labelled images included."""
    images = epoch_images(plan, index)
    return max(1, math.ceil(images / plan.settings.loop.batch_size))


def epoch_images(plan: StagePlan, index: AnnotationIndex) -> float:
    """Images of an epoch, repeats and pseudo-labelled ones included."""
    settings = plan.settings
    factors = repeat_factors(
        index.row, index.labels, categories=len(index.categories), settings=settings.sampler
    )
    images = float(factors.images.sum())
    if getattr(settings, "fold", ""):
        images *= 1 - 1 / int(settings.fold.split("/")[1])
    if getattr(plan.inputs, "pseudo", ()):
        images += settings.selftrain.pseudo_images_per_epoch
    return images


def detected_images(plan: StagePlan) -> tuple[int, AnnotationIndex | None]:
    """The number of images that are detected on, and the index that lists them."""
    inputs, source = plan.inputs, getattr(plan.settings, "source", "")
    if source == "openimages":
        pool = OpenImages.open(
            inputs.pool, list_path=inputs.pool_list, cache=cache_beside(plan.out)
        )
        return _at_most(len(pool), plan.settings.max_images), None
    if source == "images" or (inputs.images and source != "lvis"):
        count = len(ListedImages(inputs.images or (inputs.pool,)))
        return _at_most(count, getattr(plan.settings, "max_images", 0)), None
    files = inputs.train if plan.command == "pseudo-label" else (inputs.val,)
    index = index_of(files, plan.out)
    return len(index), index


def _at_most(count: int, most: int) -> int:
    """``count``, or ``most`` where that is not 0 and less."""
    return min(count, most) if most else count


def index_of(files: Sequence[Path], out: Path) -> AnnotationIndex:
    return AnnotationIndex.open(files, cache=cache_beside(out), defects="skip")


def _aspect(index: AnnotationIndex | None, batch: int = 1) -> float:
    """Longer side over shorter side of a batch."""
    if index is None or not len(index):
        return 4 / 3
    sides = np.stack([index.heights, index.widths]).astype(float)
    return batch_aspect(sides.max(axis=0) / sides.min(axis=0), batch)


def model_made(plan: StagePlan) -> ModelSettings | None:
    """Settings of the model that a training stage makes; None where they are known only later."""
    if plan.command == "train-repr":
        return plan.settings.model
    if plan.command == "finetune":
        before = model_given(plan)
        if before is None:
            return None
        return apply_overrides(before, plan.settings.model, where=plan.name)
    return None


def model_given(plan: StagePlan) -> ModelSettings | None:
    """Settings of the model that a stage is given: of its file, else of the stage that will make it."""
    source = plan.sources.get("model")
    if source is not None and not is_finished(source):
        return model_made(source)
    if plan.inputs.model is None:
        return None
    from lvistk.models.model_file import model_path, model_table  # imports torch

    table: dict[str, Any] = model_table(model_path(plan.inputs.model))
    return from_table(ModelSettings, table["settings"], where=str(plan.inputs.model))
