"""``tta-infer``: detections of an annotation file's images, in one view or many (arXiv 2009.01559)."""

import time
from pathlib import Path
from typing import Any

import torch

from lvistk.artifacts import StageFolder
from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.index.lvis_json import write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import barrier, rank
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, write_shards
from lvistk.inference.views import plan_views
from lvistk.models.model_file import load_model
from lvistk.stages.specifications.tta_infer import TtaInferInputs, TtaInferSettings


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
    model.categories.require_same_labels(
        index.categories, ours=str(inputs.model), theirs=str(inputs.val)
    )
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
    if settings.results and len(images):
        _write_results(stage, folder)
    return {
        "photos": len(images),
        "views": len(predictor.views),
        "seconds": round(time.monotonic() - started, 1),
        "level_moved": predictor.moves.share(),
    }


def images_of_index(index: AnnotationIndex, root: Path) -> ImageList:
    """The images of an annotation index below ``root``."""

    def image(i: int) -> Image:
        return Image(int(index.image_ids[i]), index.image_path(i, root), index.size(i))

    return ImageList(len(index), image)


def _write_results(stage: StageFolder, folder: Path) -> None:
    store = DetectionStore.open(folder)
    write_results(stage.file("results_bbox.json"), box_records(store))
    if any(image.masks is not None for image in store):
        write_results(stage.file("results_segm.json"), mask_records(store))
