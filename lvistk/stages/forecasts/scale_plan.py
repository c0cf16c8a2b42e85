"""``lvistk plan``: what the stages of a pipeline take on N devices, from given or measured rates."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvistk import console
from lvistk.config.model import ModelSettings
from lvistk.errors import UserError
from lvistk.planning.cost import Rates, inference_gmacs, masks_made, training_gmacs
from lvistk.planning.scale import MOMENTS, Cluster, Cost, Training, inference_cost, training_cost
from lvistk.stages.forecasts.dry_run import (
    TRAININGS,
    Forecaster,
    detected_images,
    epoch_images,
    index_of,
    model_given,
    model_made,
)
from lvistk.stages.pipelines.stage_plan import StagePlan

if TYPE_CHECKING:
    from lvistk.data.synthetic import GenerateSettings


@dataclass(frozen=True)
class Given:
    """What is told and not looked up.

    images, val_images, pool_images: of the training, validation and pool data; None: counted in the files.
    categories: of the data. train_rate: images per second of one device in training. infer_rate: the same at
    inference, in one view of the training size; None: measured here.
    """

    images: int | None = None
    val_images: int | None = None
    pool_images: int | None = None
    categories: int | None = None
    train_rate: float | None = None
    infer_rate: float | None = None

    def completed(self, drawing: "GenerateSettings") -> "Given":
        """With the numbers that were not told from those of data that are yet to be drawn."""
        names = ("images", "val_images", "pool_images", "categories")
        lacking = {name: getattr(drawing, name) for name in names if getattr(self, name) is None}
        return dataclasses.replace(self, **lacking)


def show(
    plans: Sequence[StagePlan],
    given: Given,
    cluster: Cluster,
    *,
    device: str,
    title: str,
    as_json: bool = False,
) -> None:
    """Print the cost of every stage that trains or detects, and the sum of the hours."""
    planner = _Planner(given, cluster, device)
    costs = {plan.name: planner.cost(plan) for plan in plans if plan.stage.needs_device}
    if not costs:
        raise UserError(f"{title}: no stage that trains or detects")
    if as_json:
        table = {name: dataclasses.asdict(cost) for name, cost in costs.items()}
        console.say(json.dumps({"devices": cluster.devices, "stages": table}))
        return
    rows = [_row(name, cost) for name, cost in costs.items()]
    columns = ("stage", "steps", "images", "hours", "GB/device", "disk GB", "cores/device", "waits")
    console.table(f"{title} on {cluster.devices} device(s)", columns, rows)
    for name, cost in costs.items():
        if cost.remark:
            console.warn(f"{name}: {cost.remark}")
    total = sum(cost.hours for cost in costs.values())
    disk = sum(cost.storage_gb for cost in costs.values())
    console.say(f"{total:.1f} hours, {disk:.1f} GB on disk; evaluations and data sets not counted")
    console.say(f"rates: {planner.origin()}")


def _row(name: str, cost: Cost) -> list[object]:
    waits = cost.exchange + cost.checkpoints
    memory = None if cost.device_gb is None else f"{cost.device_gb:.1f}"
    return [
        *(name, cost.steps or None, f"{cost.images:.0f}", f"{cost.hours:.2f}", memory),
        *(f"{cost.storage_gb:.2f}", f"{cost.cores:.1f}", f"{waits:.0%}" if cost.steps else None),
    ]


class _Planner:
    """Costs of stages; what is not given is counted in the files and measured on this machine."""

    def __init__(self, given: Given, cluster: Cluster, device: str) -> None:
        self.given, self.cluster = given, cluster
        self._forecaster = Forecaster(device)

    def origin(self) -> str:
        """Where the rates come from, in words."""
        given = self.given
        known = [
            f"{what} {rate:g} images/s per device, given"
            for what, rate in (("training", given.train_rate), ("inference", given.infer_rate))
            if rate is not None
        ]
        if len(known) < 2:
            known.append("others measured in a few steps on images of noise, on this machine")
        return "; ".join(known)

    def cost(self, plan: StagePlan) -> Cost:
        """Of a stage that trains or detects."""
        return self._training(plan) if plan.command in TRAININGS else self._detecting(plan)

    def _training(self, plan: StagePlan) -> Cost:
        settings, model = plan.settings, self._model(plan, made=True)
        weights, trained = _weights(model, self._categories(plan), plan)
        rates = self._rates(plan, model) if self.given.train_rate is None else None
        rate = self.given.train_rate
        if rates is not None:
            batch = settings.loop.part_size
            rate = rates.training / training_gmacs(model, settings.augment, batch=batch)
        moments = MOMENTS[settings.optim.kind] + bool(settings.loop.ema_decay)
        training = Training(
            images=self._epoch_images(plan),
            epochs=settings.loop.epochs,
            max_steps=settings.loop.max_steps,
            batch=settings.loop.batch_size,
            accumulate=settings.loop.accumulate,
            rate=rate or 1.0,
            memory_gb=rates.memory_gb if rates else None,
            weights=weights,
            trained=trained,
            moments=moments,
            checkpoint_steps=settings.loop.checkpoint_steps,
            kept=settings.loop.checkpoints_kept,
            mosaic=settings.augment.mosaic_probability,
        )
        return training_cost(training, self.cluster)

    def _detecting(self, plan: StagePlan) -> Cost:
        views, model = plan.settings.views, self._model(plan, made=False)
        masks = masks_made(views, plan.settings.merge)
        middle = dataclasses.replace(views, short_edges=views.short_edges[:1], flip=False)
        work = inference_gmacs(model, views) / inference_gmacs(model, middle)
        if self.given.infer_rate is not None:
            rate = self.given.infer_rate / work
        else:
            rates = self._rates(plan, model)
            rate = rates.inference / inference_gmacs(model, views, masks=masks)
        sides = sum(short**2 for short in views.short_edges) / 480**2
        return inference_cost(
            self._detected_images(plan),
            rate=rate,
            detections=plan.settings.merge.max_detections,
            view_pixels_ratio=sides,
            devices=self.cluster.devices,
        )

    def _rates(self, plan: StagePlan, model: ModelSettings) -> Rates:
        return self._forecaster.rates(plan, model)

    def _model(self, plan: StagePlan, *, made: bool) -> ModelSettings:
        model = model_made(plan) if made else model_given(plan)
        if model is None:
            raise UserError(
                f"{plan.name}: its model is not known before import-weights has run: run that stage first"
            )
        return model

    def _epoch_images(self, plan: StagePlan) -> float:
        settings = plan.settings
        if self.given.images is None:
            _require(plan, plan.inputs.train, "--images")
            return epoch_images(plan, index_of(plan.inputs.train, plan.out))
        pseudo = bool(getattr(plan.inputs, "pseudo", ()))
        return self.given.images + pseudo * settings.selftrain.pseudo_images_per_epoch

    def _detected_images(self, plan: StagePlan) -> int:
        inputs = plan.inputs
        if plan.command == "pseudo-label" and plan.settings.source != "lvis":
            count, option, files = self.given.pool_images, "--pool-images", (inputs.pool,)
        elif plan.command == "pseudo-label":
            count, option, files = self.given.images, "--images", inputs.train
        else:
            count, option, files = self.given.val_images, "--val-images", (inputs.val,)
        if count is None:
            _require(plan, files, option)
            return detected_images(plan)[0]
        most = getattr(plan.settings, "max_images", 0)
        return min(count, most) if most and option == "--pool-images" else count

    def _categories(self, plan: StagePlan) -> int:
        if self.given.categories is not None:
            return self.given.categories
        _require(plan, plan.inputs.train, "--categories")
        return len(index_of(plan.inputs.train, plan.out).categories)


def _require(plan: StagePlan, files: Sequence[Path | None], option: str) -> None:
    """``UserError`` where data are not here and their number was not given."""
    if not files or not all(path is not None and path.exists() for path in files):
        named = ", ".join(str(path) for path in files) or "its data"
        raise UserError(f"{plan.name}: {named}: not there to be counted; give {option}")


def _weights(model: ModelSettings, categories: int, plan: StagePlan) -> tuple[int, int]:
    """Numbers of a model, and of them those that the stage trains."""
    from lvistk.stages.forecasts.measure import count_weights  # imports torch

    return count_weights(model, categories, frozen=getattr(plan.settings, "freeze", ()))
