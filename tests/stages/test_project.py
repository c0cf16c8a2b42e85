"""The project file ``lvistk.toml``: each stage runs bare, and says what it takes from where."""

import json
import shutil
from pathlib import Path

import pytest

from lvistk import console
from lvistk.api.training import train
from lvistk.artifacts import read_manifest
from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.stages.pipelines.one_stage import next_stage, plan_from_file
from lvistk.stages.pipelines.pipeline import draw_data
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.command_line import INFER, MODEL, TRAIN, Commands, small_world

DATA = """
name = "mine"
out = "runs/mine"
[data]
train = ["train.json"]
train_images = "."
val = "train.json"
val_images = "."
"""
STAGES = """
[stage.first]
command = "train-repr"
[stage.look]
command = "tta-infer"
[stage.score_look]
command = "evaluate"
[stage.balance]
command = "finetune"
[stage.look_again]
command = "tta-infer"
[stage.score_again]
command = "evaluate"
"""


def settings(*assignments: str) -> str:
    """Assignments of the command line as dotted keys of TOML."""
    lines = []
    for text in assignments:
        name, _, value = text.partition("=")
        plain = value[0] in "[0123456789" or value in ("true", "false")
        lines.append(f"{name} = {value if plain else json.dumps(value)}")
    return "\n".join(lines)


SMALL = settings(*MODEL, *TRAIN, *INFER, "boundary=false", "fixed=false")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_world(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_stage_runs_bare_on_a_file_of_data_alone(project: Path, lvistk: Commands) -> None:
    (project / "lvistk.toml").write_text(SMALL + DATA)
    told = lvistk("tta-infer").error()
    assert "needs 'model' from the stage 'train_repr'" in told and "run lvistk train-repr" in told
    assert "'pool'" in lvistk("pseudo-label", "--source", "openimages", "--model", ".").error()
    assert "lvistk pseudo-label --source lvis first" in lvistk("filter-missing").error()

    trained = lvistk("train-repr")
    assert trained.code == 0, trained
    assert trained.out[0] == (
        "lvistk.toml: stage train_repr in runs/mine/train_repr; train, train_images from [data]"
    )
    tta = lvistk("tta-infer")
    assert tta.code == 0, tta
    assert "model from train_repr; val, val_images from [data]" in tta.out[0]
    assert lvistk("evaluate").code == 0
    assert (project / "runs/mine/evaluate/metrics.json").is_file()
    assert sum("done" in line for line in lvistk("status").out) == 3
    assert lvistk("pseudo-label").code == 0
    assert read_manifest(project / "runs/mine/pseudo_label")["settings"]["source"] == "lvis"
    assert lvistk("filter-missing").code == 0


def test_bare_run_status_compare_and_report(project: Path, lvistk: Commands) -> None:
    for command in ("run", "report", "compare"):
        assert "write the file with lvistk init" in lvistk(command).error()
    (project / "lvistk.toml").write_text(SMALL + DATA + STAGES + UPGRADED)
    rows = [line.split() for line in lvistk("status").out]
    assert ["look_again", "tta-infer", "not", "run"] in [row[:4] for row in rows]
    assert "0 of its evaluations finished" in lvistk("compare").error()
    done = lvistk("run", "--device", "cpu")
    assert done.code == 0, done
    compared = lvistk("compare", "--samples", "20")
    assert compared.code == 0, compared
    assert compared.out[0] == "lvistk.toml: A is score_look, B is score_again"
    assert lvistk("report", "--examples", "0").code == 0
    assert (project / "runs/mine/report.html").is_file()


UPGRADED = "[stage.balance.model.classifier.group_softmax]\nedges = [5, 8]\n"


def test_the_next_stage_that_is_not_done_is_meant(project: Path, lvistk: Commands) -> None:
    file = project / "lvistk.toml"
    file.write_text(SMALL + DATA + STAGES + UPGRADED)
    assert plan_from_file(file, "tta-infer").name == "look"
    assert lvistk("train-repr").code == 0
    assert lvistk("tta-infer").code == 0
    assert plan_from_file(file, "tta-infer").name == "look_again"  # though it has no model yet
    told = lvistk("tta-infer").error()
    assert "'look_again'" not in told and "look_again (tta-infer) needs 'model'" in told
    assert "run lvistk finetune first" in told
    assert plan_from_file(file, "tta-infer", name="look").name == "look"
    stages = load_pipeline(file).stages
    assert next_stage([stages[0]]).name == "first"


def test_a_folder_below_the_project_is_as_good(
    project: Path, lvistk: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths of the file start at the file, typed ones where they are typed."""
    (project / "lvistk.toml").write_text(SMALL + DATA)
    below = project / "images"
    below.mkdir(exist_ok=True)
    monkeypatch.chdir(below)
    assert lvistk("train-repr", "--out", "mine").code == 0
    assert (below / "mine/model.safetensors").is_file()
    monkeypatch.chdir(below)
    assert lvistk("train-repr").code == 0
    assert (project / "runs/mine/train_repr/model.safetensors").is_file()


def test_typed_inputs_leave_the_folder_of_the_file_alone(project: Path, lvistk: Commands) -> None:
    (project / "lvistk.toml").write_text(SMALL + DATA + STAGES)
    done = lvistk("tta-infer", "--model", "model.safetensors")
    assert done.code == 0, done
    assert done.out[0].startswith("lvistk.toml: stage look in runs/mine/look_typed; ")
    assert done.out[0].endswith("model as typed")
    assert not (project / "runs/mine/look").exists()


def test_options_and_other_files_win(project: Path, lvistk: Commands) -> None:
    (project / "lvistk.toml").write_text(SMALL + DATA)
    (project / "other.toml").write_text(SMALL + DATA.replace("runs/mine", "runs/other") + STAGES)
    assert lvistk("train-repr", "--config", "other.toml", "--set", "optim.lr=0.01").code == 0
    manifest = read_manifest(project / "runs/other/first")
    assert manifest["settings"]["optim"]["lr"] == 0.01
    assert "lr = 0.02" in "\n".join(lvistk("settings", "train-repr").out)


def test_a_dry_run_says_what_would_run_and_writes_nothing(project: Path, lvistk: Commands) -> None:
    (project / "lvistk.toml").write_text(SMALL + DATA + STAGES + UPGRADED)
    done = lvistk("run", "--dry-run", "--device", "cpu")
    assert done.code == 0, done
    rows = {line.split()[0]: line for line in done.out if line.strip()}
    assert "would run" in rows["first"] and "3 steps of 4 images, 1 epoch" in rows["first"]
    assert "GB" in rows["first"]
    assert "waits for first" in rows["look"] and "12 images in 1 view" in rows["look"]
    assert "waits for first" in rows["balance"] and ":" in rows["balance"]  # a time
    assert all("GB" in rows[name] for name in ("look", "balance"))
    assert "nothing was run" in done.out[-1]
    alone = lvistk("train-repr", "--dry-run", "--device", "cpu")
    assert alone.code == 0, alone
    assert "train: train.json" in alone.out
    assert {path.name for path in (project / "runs/mine").iterdir()} == {".index"}
    lacking = lvistk("pseudo-label", "--source", "openimages", "--dry-run").out
    assert any("needs pool" in line for line in lacking)


@pytest.mark.parametrize("pipeline", ["demo", "ladder"])
def test_a_dry_run_before_the_data_are_drawn_says_so(
    project: Path, lvistk: Commands, pipeline: str
) -> None:
    done = lvistk("run", pipeline, "--dry-run")
    assert done.code == 0, done
    rows = {line.split()[0]: line for line in done.out if line.strip()}
    first = "round1" if pipeline == "demo" else "train"
    assert "would run" in rows[first]
    assert f"waits for {first}" in rows[f"detect_{first}"]
    assert done.out[-2].startswith(f"the data are drawn into runs/{pipeline}/data first")
    assert not (project / "runs").exists()


def test_a_pipeline_draws_its_data_and_anew_when_it_is_told(
    project: Path, lvistk: Commands
) -> None:
    drawing = "[generate]\nimages = {}\nval_images = 2\npool_images = 0\n"
    head = SMALL + '\nout = "runs/drawn"\n'
    stage = '[stage.first]\ncommand = "train-repr"\n'
    file, listed = project / "drawn.toml", project / "runs/drawn/data/annotations/train.json"
    file.write_text(head + drawing.format(8) + stage)
    assert lvistk("run", "drawn.toml").code == 0
    assert len(json.loads(listed.read_text())["images"]) == 8
    file.write_text(head + drawing.format(6) + stage)
    assert "--force" in lvistk("run", "drawn.toml").error()
    assert lvistk("run", "drawn.toml", "--only", "first", "--force").code == 2
    assert len(json.loads(listed.read_text())["images"]) == 8, "one stage leaves the data alone"
    assert lvistk("run", "drawn.toml", "--force").code == 0
    assert len(json.loads(listed.read_text())["images"]) == 6


def test_a_single_stage_draws_the_data_that_its_file_draws(project: Path, lvistk: Commands) -> None:
    head = SMALL + '\nout = "runs/drawn"\n[generate]\nimages = 8\nval_images = 2\npool_images = 0\n'
    (project / "lvistk.toml").write_text(head)
    data = project / "runs/drawn/data"
    dry = lvistk("train-repr", "--dry-run")
    assert dry.code == 0 and "the data are drawn into runs/drawn/data first" in "\n".join(dry.out)
    given = lvistk("train-repr", "--train", "train.json", "--train-images", ".")
    assert given.code == 0 and not data.exists()
    assert lvistk("train-repr").code == 0
    assert (data / "annotations/train.json").is_file()
    shutil.rmtree(data)
    done = "\n".join(lvistk("train-repr", "--dry-run").out)
    assert "done, if the data are drawn as they were" in done and "would run" not in done


def test_a_stage_in_python_draws_the_data_that_its_file_draws(project: Path) -> None:
    head = SMALL + '\nout = "runs/drawn"\n[generate]\nimages = 8\nval_images = 2\npool_images = 0\n'
    (project / "lvistk.toml").write_text(head)
    given = {"train": ["train.json"], "train_images": "."}
    train("lvistk.toml", stage="train-repr", inputs=given, out="runs/given", device="cpu")
    assert not (project / "runs/drawn/data").exists()
    done = train("lvistk.toml", stage="train-repr", device="cpu")
    assert (done.folder / "model.safetensors").is_file()
    assert (project / "runs/drawn/data/annotations/train.json").is_file()


def test_other_ranks_wait_until_the_first_has_drawn(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = '[stage.first]\ncommand = "train-repr"\n'
    (project / "drawn.toml").write_text(
        SMALL + '\nout = "runs/drawn"\n[generate]\nimages = 2\n' + stage
    )
    drawn = load_pipeline(project / "drawn.toml")
    waited: list[float] = []

    def first_rank_draws(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            generate(drawn.drawn, settings=GenerateSettings(images=2, val_images=1, pool_images=1))

    monkeypatch.setattr("time.sleep", first_rank_draws)
    monkeypatch.setattr(console, "is_main_process", lambda: False)
    draw_data(drawn, drawn.stages)
    assert len(waited) == 2
