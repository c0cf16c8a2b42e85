"""The ``evaluate`` command: results against ground truth, into ``metrics.json`` and ``per_category.csv``."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.outcome import Outcome
from lvistk.evaluation.tables import per_category, write_csv, write_curves
from lvistk.percent import in_percent
from lvistk.stages.specifications.evaluate import EvaluateInputs
from lvistk.whole_file import write_json

SHOWN = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
TITLES = {
    "segm": "masks",
    "bbox": "boxes",
    "boundary": "boundaries",
    "segm_fixed": "masks fixed",
    "bbox_fixed": "boxes fixed",
}


def run(settings: EvaluateSettings, inputs: EvaluateInputs, stage: StageFolder) -> dict[str, Any]:
    """Evaluate ``inputs.detections`` against ``inputs.val``; the mask (else box) scores are returned."""
    assert inputs.val and inputs.detections  # the runner has checked that they are given
    outcome = _evaluate(inputs.val, inputs.detections, inputs.boxes, settings)
    for line in outcome.warnings:
        console.warn(line)
    write_json(stage.file("metrics.json"), outcome.metrics)
    rows = per_category(outcome)
    write_csv(stage.file("per_category.csv"), rows)
    write_json(stage.file("per_category.json"), rows)
    if settings.curves:
        write_curves(stage.file("curves.npz"), outcome)
    show(outcome)
    return {
        key: outcome.metrics["segm" if "segm" in outcome.metrics else "bbox"][key] for key in SHOWN
    }


def _evaluate(gt: Path, results: Path, boxes: Path | None, settings: EvaluateSettings) -> Outcome:
    """The evaluation; numba is imported here, not with the command line."""
    with _lasting():
        from lvistk.evaluation.evaluate import Results, evaluate
        from lvistk.jit import is_compiled

    if not is_compiled():
        console.say("compiling the evaluation kernels, once (about 20 s)")
    return evaluate(gt, Results(results, boxes), settings)


@contextlib.contextmanager
def _lasting() -> Iterator[None]:
    """What the block imports stays, so nobody looks for garbage in it: 0.03 s for numba's objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def show(outcome: Outcome) -> None:
    """The tables of scores, in percent; as JSON all that ``metrics.json`` holds."""
    if console.shows_json():
        console.say_json(outcome.metrics)
        return
    rows = [
        [TITLES[name], *[in_percent(outcome.metrics[name][key]) for key in SHOWN]]
        for name in TITLES
        if name in outcome.metrics
    ]
    console.table("scores (%)", ("", *SHOWN), rows)
    ratios = outcome.metrics.get("segm_by_area_ratio")
    if ratios:
        lines = [
            [label, one["truths"], in_percent(one["AP"]), in_percent(one.get("box_AP"))]
            for label, one in ratios.items()
        ]
        console.table(
            "by mask area over box area (%)", ("ratio", "instances", "mask AP", "box AP"), lines
        )
    console.say(" ".join(f"{name} {took:.2f} s" for name, took in outcome.seconds.items()))
