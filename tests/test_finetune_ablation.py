"""The table of pipelines/finetune_ablation.py: means, spreads and gains from metrics files."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lvistk.config.load import apply_overrides
from tests.pipeline_script import load_script

SCRIPT = Path(__file__).parents[1] / "pipelines" / "finetune_ablation.py"
STAGE_2 = ("group_softmax", "assignment", "balanced_loss", "boundary", "head_compute")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


@dataclass(frozen=True)
class Score:
    """AP of masks and boxes of one variant in one seed, and of thin objects."""

    mask: float
    box: float
    rare: float | None = 0.1
    thin_mask: float | None = 0.0
    thin_box: float | None = 0.0


def write(script: ModuleType, out: Path, *, seed: int, scores: dict[str, Score]) -> Any:
    """The files of a finished seed, as far as the table reads them; other variants are 0."""
    pipeline = script.ablation(out, seed=seed)
    for plan in pipeline.stages:
        if plan.command != "evaluate":
            continue
        score = scores.get(plan.name.removeprefix("score_"), Score(0.0, 0.0))
        segm = {"AP": score.mask, "APr": score.rare, "APc": 0.2, "APf": 0.3}
        buckets = {key: {"AP": 0.0, "AP50": 0.0, "box_AP": 0.0} for key in script.RATIOS.values()}
        metrics = {
            "segm": segm,
            "bbox": {"AP": score.box, "APr": score.rare},
            "boundary": {"AP": 0.05},
            "box_mask_gap": {"AP": score.box - score.mask},
            "segm_by_area_ratio": {
                **buckets,
                "0-0.25": {"AP": score.thin_mask, "AP50": 0.1, "box_AP": score.thin_box},
            },
        }
        plan.out.mkdir(parents=True)
        (plan.out / "metrics.json").write_text(json.dumps(metrics))
        plan.inputs.detections.mkdir(parents=True)
        manifest = {"command": "tta-infer", "state": "done", "summary": {"level_moved": 0.25}}
        (plan.inputs.detections / "stage.json").write_text(json.dumps(manifest))
    return pipeline


def rows_of(script: ModuleType, out: Path) -> list[dict[str, Any]]:
    """Two seeds, chosen so that the boundary variant gains .02 and .04 over the control."""
    first = {"longer": Score(0.10, 0.20), "boundary": Score(0.12, 0.20, thin_box=0.3)}
    second = {"longer": Score(0.30, 0.40), "boundary": Score(0.34, 0.40, rare=None)}
    return [
        script.read_rows(write(script, out, seed=seed, scores=scores))
        for seed, scores in enumerate((first, second))
    ]


def test_mean_and_sample_deviation_by_hand(script: ModuleType, tmp_path: Path) -> None:
    table = script.summarise(rows_of(script, tmp_path))
    control = table["longer"]["AP"]
    assert control.values == (0.10, 0.30)
    assert math.isclose(control.mean, 0.20)
    assert math.isclose(control.deviation, 0.1 * math.sqrt(2))
    assert math.isclose(table["longer"]["gap"].mean, 0.10)
    assert math.isclose(table["boundary"]["gap < .25"].mean, 0.15)
    assert table["boundary"]["moved"] == (0.25, 0.0, (0.25, 0.25))


def test_gains_are_of_the_same_seed(script: ModuleType, tmp_path: Path) -> None:
    gains = script.summarise([script.over_control(rows) for rows in rows_of(script, tmp_path)])
    assert "longer" not in gains
    gain = gains["boundary"]["AP"]
    assert math.isclose(gain.mean, 0.03)
    assert math.isclose(gain.deviation, 0.01 * math.sqrt(2), rel_tol=1e-6)
    assert script.percent(gain) == "3.0 ± 1.4"


def test_a_number_that_one_seed_has_not_is_undefined(script: ModuleType, tmp_path: Path) -> None:
    rare = script.summarise(rows_of(script, tmp_path))["boundary"]["APr"]
    assert rare == (None, None, (0.1, None))
    assert script.percent(rare) == "-"
    assert script.spread([0.125]) == (0.125, None, (0.125,))
    assert script.percent(script.spread([0.125])) == "12.5"


def test_the_table_has_a_row_for_every_variant(script: ModuleType, tmp_path: Path) -> None:
    rows = rows_of(script, tmp_path)
    lines = script.markdown("mean", script.summarise(rows))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}
    assert [row[0] for row in cells[2:]] == [name.replace("_", " ") for name in rows[0]]


def test_each_variant_changes_its_own_part_only(script: ModuleType, tmp_path: Path) -> None:
    """Off in stage 1; on in its own variant; all on in ``all``, none in the control."""
    pipeline = script.ablation(tmp_path, seed=3)
    stage1 = pipeline.stage("stage1").settings
    assert stage1.seed == 3 == pipeline.stage("all").settings.seed
    models = {
        name: apply_overrides(stage1.model, pipeline.stage(name).settings.model, where=name)
        for name in (*STAGE_2, "longer", "all")
    }
    assert models["longer"] == stage1.model
    parts = {name: changes(stage1.model, models[name]) for name in STAGE_2}
    assert all(parts.values())
    assert sum(map(len, parts.values())) == len(set().union(*parts.values()))
    assert changes(stage1.model, models["all"]) == set().union(*parts.values())


def changes(before: Any, after: Any) -> set[tuple[str, Any]]:
    return {
        (f"{part}.{name}", value)
        for part in ("classifier", "mask")
        for name, value in vars(getattr(after, part)).items()
        if value != vars(getattr(before, part))[name]
    }
