"""``finetune`` with ``features.views``: RoI features computed once, heads trained on them.

Backbone, neck and RPN are frozen, so that what they make of a sample is the same in every epoch. View v is
epoch v of the plain training: its samples, RoIs and batches. A file holds one batch of one rank.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lvistk import console, distributed
from lvistk.artifacts import StageFolder
from lvistk.config.train import FeatureSettings
from lvistk.data.training.loader import TrainLoader
from lvistk.data.training.samplers import stream
from lvistk.engine.precision import autocast
from lvistk.errors import UserError
from lvistk.masks.instance_masks import FrameMasks
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.pooled_rois import BOTH, PooledRois
from lvistk.models.tensor_file import read_table, read_tensors, write_tensors
from lvistk.stages.specifications.finetune import FinetuneSettings
from lvistk.structures.targets import Targets

FOLDER = "features"
ORDER = 6
"""Stream of the order of batches after the first turn; beside those of samples and samplers."""
FROZEN = ("backbone", "neck", "rpn")


class PooledBatches:
    """Batches of a training whose features were pooled before (the loop's ``Batches``)."""

    def __init__(self, loader: TrainLoader, folder: Path, *, settings: FinetuneSettings) -> None:
        self._loader, self._folder = loader, folder
        self._views, self._seed = settings.features.views, settings.seed
        self._whole = settings.loop.part_size
        self.skipped = loader.skipped

    def len_epoch(self, epoch: int) -> int:
        """Samples of an epoch, over all ranks: those of its view."""
        return self._loader.len_epoch(epoch % self._views)

    def epoch(
        self, epoch: int, start_sample: int = 0
    ) -> Iterator[tuple[PooledRois, list[Targets]]]:
        """This rank's batches, in the view's order at first and in another one each later turn."""
        turn, view = divmod(epoch, self._views)
        order = np.arange(self.len_epoch(epoch) // self._whole)
        if turn:
            order = stream(self._seed, epoch, ORDER).permutation(order)
        for number in order[start_sample // self._whole :]:
            yield _read(_path(self._folder, view, int(number)), turn=turn)

    def close(self) -> None:
        """End the loader's workers."""
        self._loader.close()


def pool_features(
    model: MaskRCNN,
    loader: TrainLoader,
    stage: StageFolder,
    *,
    settings: FinetuneSettings,
    device: torch.device,
) -> PooledBatches:
    """Pool every view's RoIs into ``features`` below the stage folder; what is there stays.

    Errors: ``UserError`` where the model's heads need more than pooled features, and where the disk has no
    room for them.
    """
    masks = _require_poolable(model, settings)
    batches = PooledBatches(loader, stage.file(FOLDER), settings=settings)
    shared = "box_features" in settings.freeze or "box_head" in settings.freeze
    model.to(device).eval()
    whole = settings.loop.part_size
    counts = [loader.len_epoch(view) // whole for view in range(settings.features.views)]
    with console.progress("pool features", sum(counts)) as line:
        for view, count in enumerate(counts):
            first = _first_missing(stage.file(FOLDER), view, count)
            line.advance(first)
            for number, (batch, targets) in enumerate(
                loader.epoch(view, first * whole) if first < count else (), start=first
            ):
                with autocast(settings.loop.precision, device=device):
                    rois = model.pooled_rois(
                        batch.to(device),
                        [target.to(device) for target in targets],
                        masks=masks,
                        shared_layers=shared,
                    )
                path = _path(stage.file(FOLDER), view, number)
                _write(path, rois, targets, settings.features)
                if view == number == 0:
                    _require_room(path, sum(counts), images=len(targets))
                line.advance()
    distributed.barrier()
    return batches


def remove_features(stage: StageFolder) -> None:
    """Delete what ``pool_features`` wrote, once it is not needed any more."""
    distributed.barrier()
    if console.is_main_process():
        shutil.rmtree(stage.file(FOLDER), ignore_errors=True)


def _require_poolable(model: MaskRCNN, settings: FinetuneSettings) -> bool:
    """Whether masks are trained; ``UserError`` where pooled features are not enough."""
    trains_masks = model.settings.mask.enabled and "mask" not in settings.freeze
    reasons = {
        f"freeze without {', '.join(FROZEN)}": not {*FROZEN} <= {*settings.freeze},
        "a cascade, whose boxes move as its heads learn": len(model.settings.cascade.ious) > 1,
        "model.box.deform_pool, whose bins move": model.settings.box.deform_pool != "none",
        "model.mask.deform_pool, whose bins move": trains_masks
        and model.settings.mask.deform_pool != "none",
        "model.mask.boundary, whose features are four times as large": trains_masks
        and model.settings.mask.boundary,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"features.views does not go with {reason}; set features.views=0")
    return trains_masks


def _require_room(path: Path, files: int, *, images: int) -> None:
    """Say how much disk all files take; ``UserError`` where it is not free."""
    size = path.stat().st_size
    needed = size * files * distributed.world_size()
    free = shutil.disk_usage(path.parent).free
    console.say(
        f"pooled features: {size / images / 1e6:.2f} MB per image and view, {needed / 1e9:.1f} GB in all"
    )
    if needed > free + size:
        raise UserError(
            f"{path.parent}: {free / 1e9:.1f} GB are free and features take {needed / 1e9:.1f} GB; lower "
            "features.views, or freeze box_features, whose outputs are smaller"
        )


def _first_missing(folder: Path, view: int, count: int) -> int:
    """The first batch of a view that this rank has no file of."""
    return next((k for k in range(count) if not _path(folder, view, k).is_file()), count)


def _path(folder: Path, view: int, number: int) -> Path:
    rank = distributed.rank()
    return folder / f"view_{view}" / f"batch_{number:06d}_{rank}.safetensors"


def _write(path: Path, rois: PooledRois, targets: list[Targets], settings: FeatureSettings) -> None:
    tensors = rois.tensors()
    if settings.precision == "fp16":
        tensors |= {name: tensors[name].half() for name in BOTH if name in tensors}
    images = [
        {
            "image_id": one.image_id,
            "seed": one.seed,
            "loss_weight": one.loss_weight,
            "negative": one.negative_labels.tolist(),
            "not_exhaustive": one.not_exhaustive_labels.tolist(),
        }
        for one in targets
    ]
    write_tensors(path, tensors, table={"rois": rois.table(), "images": images})


def _read(path: Path, *, turn: int) -> tuple[PooledRois, list[Targets]]:
    """The RoIs of a file, and targets that know their image's lists but no instances."""
    table = read_table(path)
    rois = PooledRois.of(read_tensors(path), table["rois"], turn=turn)
    targets = [
        Targets(
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64),
            masks=FrameMasks(torch.zeros(0, 1, 1, dtype=torch.uint8), torch.zeros(0, 4)),
            area_ratio=torch.zeros(0),
            ignore_boxes=torch.zeros(0, 4),
            negative_labels=torch.tensor(one["negative"], dtype=torch.int64),
            not_exhaustive_labels=torch.tensor(one["not_exhaustive"], dtype=torch.int64),
            loss_weight=one["loss_weight"],
            image_id=one["image_id"],
            seed=one["seed"],
        )
        for one in table["images"]
    ]
    return rois, targets
