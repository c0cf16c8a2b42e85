"""Settings printed as TOML read back as themselves."""

from pathlib import Path

import pytest

from lvistk.config.describe import stage_toml
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.stage_plan import StagePlan, plan_alone
from lvistk.stages.specifications import STAGES
from tests.command_line import Commands

PIPELINES = sorted((Path(__file__).parents[2] / "pipelines").glob("*.toml"))


def printed(plan: StagePlan) -> str:
    return stage_toml(plan.settings, name=plan.name, command=plan.command)


@pytest.mark.parametrize("command", STAGES)
def test_defaults_read_back(command: str, tmp_path: Path) -> None:
    plan = plan_alone(command, out=tmp_path)
    file = tmp_path / "printed.toml"
    file.write_text(printed(plan))
    assert load_pipeline(file).stages[0].settings == plan.settings


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_stages_of_pipelines_read_back(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "printed.toml"
    for plan in load_pipeline(path).stages:
        file.write_text(printed(plan))
        again = load_pipeline(file).stages[0]
        assert (again.name, again.command) == (plan.name, plan.command)
        assert again.settings == plan.settings


def test_a_changed_value_shows_its_default_and_choices(tmp_path: Path) -> None:
    plan = plan_alone("train-repr", out=tmp_path, assignments=["optim.lr=0.1", "optim.kind=adamw"])
    lines = printed(plan).splitlines()
    assert "lr = 0.1  # at least 0; default 0.02" in lines
    assert 'kind = "adamw"  # one of sgd, adamw; default "sgd"' in lines
    assert "# Largest gradient norm; 0 does not clip." in lines


def test_a_range_within_lists_of_lists_is_told_once(lvistk: Commands) -> None:
    shown = lvistk("settings", "tta-infer").out
    assert "valid_ranges = []  # each at least 0" in shown


def test_the_command_prints_and_refuses(lvistk: Commands) -> None:
    assert "[stage.evaluate]" in lvistk("settings", "evaluate").out
    assert lvistk("settings", "evalute").error().endswith("did you mean 'evaluate'?")
