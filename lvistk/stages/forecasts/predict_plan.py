"""What a typed ``lvistk predict`` means: the pipeline's views with ``--tta``, and a folder of its own."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from lvistk import artifacts
from lvistk.config.inference import PLAIN_MERGE, FreeViewSettings, MergeSettings
from lvistk.config.load import update
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.runner import wanted_of
from lvistk.stages.pipelines.stage_plan import StagePlan


def completed(plan: StagePlan, *, config: Path | None, out: Path | None) -> StagePlan:
    """``plan`` with the views and merging of the last tta-infer stage of ``config``, if it asks for them, and
    without ``out`` in a folder that no other run has."""
    if config is not None and plan.settings.tta:
        plan = _with_views_of(plan, config)
    return plan if out is not None else _with_own_folder(plan)


def _with_views_of(plan: StagePlan, config: Path) -> StagePlan:
    """What somebody chose for this command stays; what it has of the shared tables alone gives way."""
    pipeline = load_pipeline(config)
    stages = [one for one in pipeline.stages if one.command == "tta-infer"]
    if not stages:
        return plan
    settings, several, shared = plan.settings, stages[-1].settings, pipeline.shared
    free, views = settings.views, several.views
    if free == update(FreeViewSettings(), shared.get("views", {}), where=config.name):
        free = FreeViewSettings(views.short_edges, views.long_edge, views.flip, views.valid_ranges)
    unchosen = update(PLAIN_MERGE, shared.get("merge", {}), where=config.name)
    merge = dataclasses.replace(several.merge, **_changes(unchosen, settings.merge))
    settings = dataclasses.replace(settings, views=free, merge=merge)
    return dataclasses.replace(plan, settings=settings)


def _changes(before: MergeSettings, after: MergeSettings) -> dict[str, Any]:
    names = [one.name for one in dataclasses.fields(after)]
    return {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}


def _with_own_folder(plan: StagePlan) -> StagePlan:
    """``plan`` in the first of ``predict``, ``predict-2``, ... that is free or holds this very run.

    Raises ``UserError`` where an input is not there.
    """
    wanted = wanted_of(plan)
    for number in itertools.count(1):
        folder = plan.out if number == 1 else plan.out.with_name(f"{plan.out.name}-{number}")
        now = artifacts.standing(folder, wanted)
        same = now.state != "none" and not now.different and not now.changed
        if same or _is_free(folder):
            return dataclasses.replace(plan, out=folder)
    raise AssertionError("numbers do not end")


def _is_free(folder: Path) -> bool:
    """Whether nobody loses anything: no folder, an empty one, or what a run left that ended at once."""
    return not folder.is_dir() or all(one.name == artifacts.MANIFEST for one in folder.iterdir())
