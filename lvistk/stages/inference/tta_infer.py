"""``tta-infer``: detections of an annotation file's images, in one view or many (arXiv 2009.01559)."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.data.exchange.annotation_records import category_table, image_records
from lvistk.data.images.image_files import ImageFolder
from lvistk.data.images.listed_images import ListedImages
from lvistk.data.images.without_size import UnsizedImage, images_without_size
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.index.lvis_write import write_annotations
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import barrier, rank, world_size
from lvistk.errors import UserError
from lvistk.inference.category_quota import cut_store
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, left_out_images, write_shards
from lvistk.inference.views import plan_views
from lvistk.models.model_file import load_model
from lvistk.stages.inference.results_files import results_files
from lvistk.stages.specifications.tta_infer import TtaInferInputs, TtaInferSettings
from lvistk.structures.categories import Categories
from lvistk.whole_file import write_json

UNREADABLE = "unreadable.json"
EXCLUDED = "excluded.json"
"""Images that could not be read or must not be used, with the reasons; there only if there are any."""


def run(
    settings: TtaInferSettings, inputs: TtaInferInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Write ``detections/*.h5``, and from them the two results files; ``images.json`` lists images that no
    annotation file lists, with their ids.

    Images without annotations are as good as any other; annotations are not looked at.
    """
    assert inputs.model  # the runner has checked that it is given
    started = time.monotonic()
    torch_device = torch.device(device)
    model = load_model(inputs.model, device=torch_device)
    images, defects = _images(inputs, stage)
    predictor = Predictor(
        model, plan_views(settings.views), settings.merge, settings.predict, torch_device
    )
    folder = stage.file("detections")
    writer = DetectionWriter(folder, categories=model.categories, role="detections")
    label = f"{len(predictor.views)} views"
    in_turn = _writes_results_in_turn(settings, stage)
    masks = model.settings.mask.enabled
    with results_files(stage.path, masks=masks) if in_turn else nullcontext() as finished:
        write_shards(
            predictor,
            images,
            writer=writer,
            label=label,
            portion=stage.portion,
            finished=finished,
        )
    barrier()
    if rank() != 0 or stage.portion is not None:
        return {}
    cut = cut_store(folder, settings.merge.max_per_category) if predictor.quota.limit else 0
    store = DetectionStore.open(folder)
    unreadable, _ = list_left_out(stage, images, store, max_pixels=settings.predict.max_pixels)
    warn_of_nothing(store, inputs.model)
    if settings.results and not in_turn:
        with results_files(stage.path, masks=masks) as add:
            for shard in store.shards:
                add(shard.path)
    if inputs.images:
        write_image_list(stage.file("images.json"), store, model.categories)
    return {
        "photos": len(store),
        "unreadable": unreadable,
        "defects": defects,
        "views": len(predictor.views),
        "beyond_max_per_category": cut,
        "seconds": round(time.monotonic() - started, 1),
        "level_moved": store.level_moved(),
    }


def _writes_results_in_turn(settings: TtaInferSettings, stage: StageFolder) -> bool:
    """Whether each shard's results can be written as soon as it ends: no other process makes shards, and
    nothing is cut from them when all are there."""
    alone = world_size() == 1 and stage.portion is None
    return settings.results and alone and not settings.merge.max_per_category


def _images(inputs: TtaInferInputs, stage: StageFolder) -> tuple[ImageList, int]:
    """The images to detect on, and how many records of their annotation file have a defect."""
    if inputs.images:
        return images_of_list(ListedImages(inputs.images)), 0
    assert inputs.val and inputs.val_images  # checked before the run
    index = AnnotationIndex.open([inputs.val], cache=cache_beside(stage.path), defects="skip")
    index.warn_of_defects()
    return images_of_index(index, inputs.val_images), index.defect_count


def images_of_index(index: AnnotationIndex, root: Path) -> ImageList:
    """The images of an annotation index below ``root``, and those that its files list without a size.

    Raises ``UserError`` where there is none.
    """
    unsized = _unsized(index)
    if not len(index) and not unsized:
        raise UserError(
            f"{index.sources[0]}: no image is left to detect on: {index.defect_count} records have a "
            "defect, which `lvistk inspect` names"
        )
    folder = ImageFolder(root, same_ending=lambda _: False)

    def image(i: int) -> Image:
        if i >= len(index):
            one = unsized[i - len(index)]
            return Image(one.image_id, folder.find([one.name]))
        return Image(int(index.image_ids[i]), index.image_path(i, root), index.size(i))

    more = np.array([one.image_id for one in unsized], np.int64)
    return ImageList(np.concatenate([np.asarray(index.image_ids, np.int64), more]), image)


def images_of_list(listed: ListedImages) -> ImageList:
    """Images that a user names, under the names that they have there."""
    return ImageList(
        listed.ids,
        lambda k: Image(int(listed.ids[k]), listed.path(k)),
        name=lambda k: listed.names[k],
    )


def _unsized(index: AnnotationIndex) -> list[UnsizedImage]:
    """Images that the index leaves out because they have no size: inference takes it from the file."""
    if not any(d.section == "image" and d.kind == "wrong_type" for d in index.defects):
        return []
    known = set(index.image_ids.tolist())
    unsized = []
    for path in index.sources:
        for one in images_without_size(path):
            if one.image_id not in known:
                known.add(one.image_id)
                unsized.append(one)
    if unsized:
        console.say(f"{len(unsized)} images are listed without a size, which their files tell")
    return unsized


def write_image_list(path: Path, store: DetectionStore, categories: Categories) -> None:
    """An annotation file without annotations: the images of a store that names them, and the categories."""
    write_annotations(
        path,
        images=image_records(store, None),
        annotations=(),
        categories=category_table(categories),
        info="images that were detected on",
    )


def list_left_out(
    stage: StageFolder, images: ImageList, store: DetectionStore, *, max_pixels: int
) -> tuple[int, int]:
    """Write ``unreadable.json`` and ``excluded.json`` where the store lacks images of the list.

    Returns how many images could not be read, and how many were excluded for what they show.
    """
    rows = left_out_images(images, store.image_ids, max_pixels=max_pixels)
    counts = []
    for name, excluded, what in (
        (UNREADABLE, False, "could not be read"),
        (EXCLUDED, True, "were excluded for what they show"),
    ):
        chosen = [row._asdict() for row in rows if row.excluded == excluded]
        path = stage.file(name)
        path.unlink(missing_ok=True)
        if chosen:
            write_json(path, chosen)
            console.warn(f"{len(chosen)} of {len(images)} images {what}; {path} lists them")
        counts.append(len(chosen))
    return counts[0], counts[1]


def warn_of_nothing(
    store: DetectionStore, model: Path, *, limit: str = "merge.score_threshold"
) -> None:
    """A model that detects nothing anywhere is hardly what was meant; ``limit`` leaves out low scores."""
    if len(store) and not any(shard.layout["score"][1][0] for shard in store.shards):
        console.warn(
            f"{model}: no detection in any of {len(store)} images; the model may be untrained, or "
            f"{limit} too high"
        )
