"""``tta-infer``: detections of an annotation file's images, in one view or many (arXiv 2009.01559)."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.images.image_files import ImageFolder
from lvistk.data.images.without_size import UnsizedImage, images_without_size
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.index.lvis_write import write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import barrier, rank
from lvistk.errors import UserError
from lvistk.inference.category_quota import cut_store
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, left_out_images, write_shards
from lvistk.inference.views import plan_views
from lvistk.models.model_file import load_model
from lvistk.stages.specifications.tta_infer import TtaInferInputs, TtaInferSettings
from lvistk.whole_file import write_json

UNREADABLE = "unreadable.json"
EXCLUDED = "excluded.json"
"""Images that could not be read or must not be used, with the reasons; there only if there are any."""


def run(
    settings: TtaInferSettings, inputs: TtaInferInputs, stage: StageFolder, *, device: str
) -> dict[str, Any]:
    """Write ``detections/*.h5``, and from them the two results files.

    Images without annotations are as good as any other; annotations are not looked at.
    """
    assert (
        inputs.model and inputs.val and inputs.val_images
    )  # the runner has checked that they are given
    started = time.monotonic()
    torch_device = torch.device(device)
    model = load_model(inputs.model, device=torch_device)
    index = AnnotationIndex.open([inputs.val], cache=cache_beside(stage.path), defects="skip")
    index.warn_of_defects()
    predictor = Predictor(
        model, plan_views(settings.views), settings.merge, settings.predict, torch_device
    )
    folder = stage.file("detections")
    writer = DetectionWriter(folder, categories=model.categories, role="detections")
    images = images_of_index(index, inputs.val_images)
    write_shards(predictor, images, writer=writer, label=f"{len(predictor.views)} views")
    barrier()
    if rank() != 0:
        return {}
    cut = cut_store(folder, settings.merge.max_per_category) if predictor.quota.limit else 0
    store = DetectionStore.open(folder)
    unreadable, _ = list_left_out(stage, images, store, max_pixels=settings.predict.max_pixels)
    warn_of_nothing(store, inputs.model)
    if settings.results:
        _write_results(stage, store)
    return {
        "photos": len(store),
        "unreadable": unreadable,
        "defects": index.defect_count,
        "views": len(predictor.views),
        "beyond_max_per_category": cut,
        "seconds": round(time.monotonic() - started, 1),
        "level_moved": store.level_moved(),
    }


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


def warn_of_nothing(store: DetectionStore, model: Path) -> None:
    """A model that detects nothing anywhere is hardly what was meant."""
    if len(store) and not any(shard.layout["score"][1][0] for shard in store.shards):
        console.warn(
            f"{model}: no detection in any of {len(store)} images; the model may be untrained, or "
            "merge.score_threshold too high"
        )


def _write_results(stage: StageFolder, store: DetectionStore) -> None:
    write_results(stage.file("results_bbox.json"), box_records(store))
    if any(image.masks is not None for image in store):
        write_results(stage.file("results_segm.json"), mask_records(store))
