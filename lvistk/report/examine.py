"""An evaluation done again, if its inputs still exist, for curves and kinds of error."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lvistk.artifacts import find_input, is_same_input
from lvistk.config.evaluation import EvaluateSettings
from lvistk.config.load import from_table
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Evaluation, Results, evaluate
from lvistk.evaluation.nearest import nearest_gts
from lvistk.evaluation.sources import find_sources
from lvistk.report.errors import Errors, analyse
from lvistk.report.gather import StageRecord


@dataclass(frozen=True, eq=False)
class Examined:
    """What a page shows of one evaluation that was done again; the evaluation itself takes a gigabyte.

    label: name of the stage on the page
    kind: ``segm`` if the detections have masks, else ``bbox``
    precision: (T, K, C) of that kind, over all areas
    frequency: (C,) 'r', 'c', 'f' or ''
    errors: kinds of error of that kind
    gt_path, results: the inputs
    """

    label: str
    kind: str
    precision: np.ndarray
    frequency: np.ndarray
    errors: Errors
    gt_path: Path
    results: Results


def examine(stage: StageRecord, *, threads: int) -> Examined | str:
    """Evaluate the stage's inputs again; a sentence with the reason if they are missing or have changed."""
    if not stage.manifest:
        return f"{stage.label}: only its metrics.json is known"
    inputs = stage.manifest.get("inputs", {})
    paths = {}
    for name in ("val", "detections", "boxes"):
        if name not in inputs:
            continue
        path = find_input(stage.path, inputs[name])
        try:
            same = is_same_input(path, inputs[name])
        except UserError:
            return f"{stage.label}: {path} is no longer there"
        if not same:
            return f"{stage.label}: {path} has changed since"
        paths[name] = path
    settings = evaluate_settings(stage.manifest)
    settings = replace(settings, boundary=False, fixed=False, threads=threads)
    results = Results(paths["detections"], paths.get("boxes"))
    evaluation = evaluate(paths["val"], results, settings)
    kind = "segm" if "segm" in evaluation.scores else "bbox"
    errors = find_errors(evaluation, results, kind=kind, threads=threads)
    return Examined(
        label=stage.label,
        kind=kind,
        precision=evaluation.scores[kind].precision[:, :, :, 0].copy(),
        frequency=evaluation.gt.frequency,
        errors=errors,
        gt_path=paths["val"],
        results=results,
    )


def evaluate_settings(manifest: dict) -> EvaluateSettings:
    """The settings that an ``evaluate`` stage ran with."""
    return from_table(EvaluateSettings, manifest["settings"], where="stage.json")


def find_errors(evaluation: Evaluation, results: Results, *, kind: str, threads: int) -> Errors:
    """Kinds of error of masks (``segm``) or boxes (``bbox``) in an evaluation of ``results``."""
    sources = find_sources(results.main, results.boxes, [kind])
    source = next(s for s in sources if (s.masks if kind == "segm" else s.boxes))
    nearest = nearest_gts(
        source,
        masks=kind == "segm",
        gt=evaluation.gt.arrays,
        image_of=evaluation.image_of,
        threads=threads or os.cpu_count() or 1,
    )
    detections = evaluation.detections[kind]
    ranked_by = detections.table.score
    if kind == "segm" and detections.mask_scores is not None:
        ranked_by = detections.mask_scores
    return analyse(
        evaluation.scores[kind],
        detections.table,
        ranked_by=ranked_by,
        nearest=nearest,
        gt=evaluation.gt,
    )
