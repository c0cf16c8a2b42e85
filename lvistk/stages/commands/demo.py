"""``lvistk demo``: generated data, every stage of ``demo.toml``, one table, pictures, a report."""

import json
from importlib import resources
from pathlib import Path

import numpy as np

from lvistk import console
from lvistk import drawing as draw
from lvistk.data.images.decode import read_image
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.data.store.detection_store import DetectionStore
from lvistk.stages.commands.report import run as write_report
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline

COLUMNS = ("stage", "AP", "APr", "APc", "APf", "box AP", "box - mask")
PICTURES = 16
PICTURE_SCORE = 0.3
"""Detections below are not drawn."""


def demo(out: Path, *, seed: int, force: bool, device: str) -> Path:
    """Run the whole pipeline below ``out``; returns the folder of the pictures.

    What is done already is not done again, so a demo that was stopped goes on where it was.
    """
    pipeline = demo_pipeline(out, seed=seed)
    run_pipeline(pipeline, force=force, device=device)
    rows = score_rows(pipeline)
    if console.shows_json():
        console.say_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        console.table("AP on the generated validation split, percent", COLUMNS, rows)
    pictures = out / "pictures"
    draw_pictures(pipeline, pictures)
    console.say(f"pictures of detections beside the ground truth: {pictures}")
    write_report([out])
    return pictures


def demo_pipeline(out: Path, *, seed: int) -> Pipeline:
    """``demo.toml`` of the package, with its data and stage folders below ``out``."""
    with resources.as_file(resources.files("lvistk") / "assets" / "demo.toml") as path:
        return load_pipeline(path, assignments=[f"seed={seed}"], out=out)


def score_rows(pipeline: Pipeline) -> list[list[object]]:
    """One row for each evaluation of the pipeline, scores in percent."""
    rows: list[list[object]] = []
    for plan in pipeline.stages:
        if plan.command != "evaluate":
            continue
        metrics = json.loads((plan.out / "metrics.json").read_text())
        segm, box = metrics["segm"], metrics["bbox"]
        values = [*(segm[name] for name in ("AP", "APr", "APc", "APf")), box["AP"]]
        gap = None if None in (segm["AP"], box["AP"]) else box["AP"] - segm["AP"]
        percents = [None if value is None else 100 * value for value in [*values, gap]]
        rows.append([plan.name.removeprefix("score_").replace("_", " "), *percents])
    return rows


def draw_pictures(pipeline: Pipeline, folder: Path) -> None:
    """Images of the validation split with the last detections beside the ground truth."""
    last = next(plan for plan in reversed(pipeline.stages) if plan.command == "tta-infer")
    store = DetectionStore.open(last.out / "detections")
    index = AnnotationIndex.open([last.inputs.val], cache=cache_beside(last.out))
    for i in _some_images(index, PICTURES):
        path = index.image_path(i, last.inputs.val_images)
        image = read_image(path, size=index.size(i))[:, :, ::-1]  # RGB
        picture = _beside_gt(image, index, store, i)
        draw.write_picture(folder / f"{index.image_ids[i]:012d}.png", picture)


def _some_images(index: AnnotationIndex, count: int) -> list[int]:
    """Images with at least three annotations, evenly spaced, so that they are typical."""
    worth = np.flatnonzero(np.diff(index.row) >= 3)
    chosen = np.linspace(0, len(worth) - 1, min(count, len(worth))).round().astype(int)
    return worth[chosen].tolist()


def _beside_gt(
    image: np.ndarray, index: AnnotationIndex, store: DetectionStore, i: int
) -> np.ndarray:
    names = index.categories.names
    gt = index.annotations(i)
    annotated = draw.draw_instances(
        image,
        boxes=gt.boxes,
        labels=gt.labels,
        masks=index.masks(i),
        captions=[names[label] for label in gt.labels],
    )
    detections = store[int(store.rows(int(index.image_ids[i]))[0])]
    detections = detections.select(detections.scores >= PICTURE_SCORE)
    detected = draw.draw_instances(
        image,
        boxes=detections.boxes,
        labels=detections.labels,
        masks=detections.masks,
        captions=draw.captions(detections.labels, detections.scores, names=names),
    )
    return draw.side_by_side([annotated, detected], titles=["annotated", "detected"])
