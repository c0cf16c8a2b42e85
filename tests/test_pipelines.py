"""Every pipeline that ships is read, complete and flat."""

import tomllib
from pathlib import Path

import pytest

from lvistk import artifacts
from lvistk.report.score_record import read_record
from lvistk.stages.pipelines.ladder import load_ladder
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.shipped import find_pipeline
from tests.command_line import Commands

FOLDER = Path(__file__).parents[1] / "pipelines"
PIPELINES = sorted(FOLDER.glob("*.toml"))
HEADER = ("# Command", "# Hardware", "# Time", "# Expected")


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_it_loads_and_its_stages_build_on_earlier_ones(path: Path) -> None:
    pipeline = load_pipeline(path)
    seen: set[Path] = set()
    for plan in pipeline.stages:
        given = [getattr(plan.inputs, n, None) for n in ("model", "init", "detections", "missing")]
        needs = [one for value in given for one in (value if isinstance(value, tuple) else [value])]
        for needed in needs:
            if needed is not None and needed.is_relative_to(pipeline.out):
                assert needed in seen, f"{plan.name} needs {needed} before it exists"
        seen.add(plan.out)
    assert pipeline.stages[-1].command == "evaluate"


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_it_opens_with_its_header(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[1] == "#", (
        f"{path.name}: `lvistk pipelines` shows the first line alone"
    )
    for line in HEADER:
        assert line in text.partition("\n\n")[0], f"{path.name} has no line '{line}'"
    assert f"pipelines/{path.name}" in text or path.is_symlink()


def test_shipped_pipelines_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = lvistk("pipelines").out
    assert all(any(path.stem in line for line in listed) for path in PIPELINES)
    assert load_pipeline(Path("htc_r50")) == load_pipeline(FOLDER / "htc_r50.toml")
    assert any("round1" in line for line in lvistk("status", "htc_r50").out)
    assert lvistk("run", "htc_r5").error().endswith("did you mean 'htc_r50'?")
    assert lvistk("pipelines", "htc_r50").code == 0
    assert Path("htc_r50.toml").read_bytes() == (FOLDER / "htc_r50.toml").read_bytes()
    assert "is there already" in lvistk("pipelines", "htc_r50").error()


def test_rows_of_shipped_ladders_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = lvistk("pipelines").out
    for folder in (*LADDERS, *OTHERS):
        name = folder.relative_to(FOLDER).as_posix()
        assert any(line.split()[:1] == [name] for line in listed), name
    assert load_pipeline(Path("ladder/12_eql")) == load_pipeline(FOLDER / "ladder/12_eql.toml")
    told = lvistk("settings", "train-repr", "--config", "ladder").error()
    assert "a folder of pipeline files; give one of them, such as ladder/10_baseline" in told
    assert "did you mean 'ladder/few'?" in lvistk("run", "ladder/fex").error()
    told = lvistk("pipelines", "ladder/12_eql").error()
    assert 'write a file with base = "ladder/12_eql"' in told
    Path("mine.toml").write_text('base = "ladder/12_eql"\nout = "runs/mine"\n[optim]\nlr = 0.5\n')
    train = load_pipeline(Path("mine.toml")).stage("train").settings
    assert (train.optim.lr, train.model.classifier.kind) == (0.5, "eql")
    assert find_pipeline(tmp_path / "other") == tmp_path / "other", "whole paths are no names"


def test_a_copy_of_every_shipped_pipeline_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    """A copy lies in another folder than the pipeline that it may build on."""
    monkeypatch.chdir(tmp_path)
    for path in PIPELINES:
        assert lvistk("pipelines", path.stem).code == 0
        assert load_pipeline(Path(path.name)) == load_pipeline(path), path.name


def test_the_package_holds_the_pipelines() -> None:
    """The folder that package data are taken from is the one of the repository, not a copy."""
    inside = Path(artifacts.__file__).parents[1] / "pipelines"
    assert inside.resolve() == FOLDER.resolve()


def test_the_package_takes_every_file_of_theirs() -> None:
    """Records of the ladder and scripts that measure stay in the repository."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())
    package = FOLDER.parent / "lvistk"
    globs = project["tool"]["setuptools"]["package-data"]["lvistk"]
    taken = {path.resolve() for glob in globs for path in package.glob(glob)}
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix not in (".json", ".py", ".pyc"):
            assert path.resolve() in taken, path


PAPER = [path for path in PIPELINES if path.stem.startswith(("mask_rcnn", "htc"))]


@pytest.mark.parametrize("path", PAPER, ids=lambda p: p.stem)
def test_paper_pipelines_run_what_the_paper_says(path: Path) -> None:
    """No repeats in stage 2; missing annotations in both; nothing that tests is trained on."""
    pipeline = load_pipeline(path)
    finetune, pool = pipeline.stage("finetune"), pipeline.stage("pseudo_openimages")
    assert finetune.settings.sampler.repeat == "none"
    assert finetune.inputs.missing == pipeline.stage("round2").inputs.missing
    names = {file.name for file in pool.inputs.exclude}
    assert names == {"lvis_v1_val.json", "lvis_v1_image_info_test_dev.json"}
    train = pipeline.stage("round2").settings
    drawn = train.loop.epochs * train.selftrain.pseudo_images_per_epoch
    assert pool.settings.max_images == drawn


@pytest.mark.parametrize("path", PAPER, ids=lambda p: p.stem)
def test_paper_pipelines_score_every_model_at_one_scale(path: Path) -> None:
    pipeline = load_pipeline(path)
    for model in ("round1", "round2", "finetune"):
        detect = pipeline.stage(f"detect_{model}")
        assert detect.inputs.model == pipeline.stage(model).out
        assert (detect.settings.views.short_edges, detect.settings.views.flip) == ((800,), False)
        assert pipeline.stage(f"score_{model}").inputs.detections == detect.out
    for plan in pipeline.stages:
        if plan.command in ("tta-infer", "pseudo-label"):
            assert plan.settings.predict.precision == "bf16", plan.name
            assert plan.settings.predict.batch_size > 1, plan.name


LADDERS = (FOLDER / "ladder", FOLDER / "ladder" / "paper")
OTHERS = tuple(FOLDER / "ladder" / name for name in ("real", "few", "distinct"))


@pytest.mark.parametrize("folder", [*LADDERS, *OTHERS], ids=lambda folder: folder.name)
def test_every_row_of_a_ladder_loads_and_builds_on_earlier_stages(folder: Path) -> None:
    for row in load_ladder(folder, seeds=1):
        pipeline, seen = row.seeds[0], set()
        for plan in pipeline.stages:
            for name in ("model", "init", "detections", "missing", "pseudo"):
                value = getattr(plan.inputs, name, None) or ()
                for needed in value if isinstance(value, tuple) else (value,):
                    made = needed in seen or needed.is_file()  # or ships with lvistk
                    assert made, f"{row.name}: {plan.name} needs {needed}"
            seen.add(plan.out)
        assert row.settings.title, row.name
        text = (folder / f"{row.name}.toml").read_text()
        for line in HEADER:
            assert line in text.partition("\n\n")[0], f"{row.name} has no line '{line}'"


@pytest.mark.parametrize(
    "folder",
    [LADDERS[0], *(one for one in OTHERS if (one / "records").is_dir())],
    ids=lambda one: one.name,
)
def test_the_records_that_ship_are_of_the_rows_as_they_are(folder: Path) -> None:
    """A row that is changed is measured anew, or its record goes."""
    files = {path.name for path in (folder / "records").glob("*.json")}
    for row in load_ladder(folder, seeds=3):
        for seed in range(3):
            record = read_record(folder / "records", row.name, seed)
            if record is not None:
                assert (record.row, record.seed) == (row.name, seed)
                assert record.stage == row.score(seed).out.name, record.name
                files.remove(f"{row.name}.seed{seed}.json")
    assert not files, "records of no row"


def test_both_ladders_have_the_same_rows_but_for_backbones() -> None:
    small, large = ({row.name for row in load_ladder(one, seeds=1)} for one in LADDERS)
    assert {name for name in large - small if "resnest" not in name} == {"16_tricks"}
    assert small - large == {
        "15_tricks",
        "16_rfs_on_softmax",  # where the miniature's EQL costs
        "30_longer_softmax",
        "31_group_softmax_on_softmax",
        "32_all_on_softmax",
        "33_tta_on_softmax",
        "34_tta_mask_average_on_softmax",
        "48_features_pooled",  # the paper's model is a cascade, whose boxes move
        "49_features_one_view",
        "58_htc_all",  # the paper's model is a cascade in all rows
        "59_htc_all_tta",
        "66_seesaw_on_softmax",
        "67_seesaw_throughout",
        "68_copy_paste_from_tail",
        "69_htc_seesaw",
        "70_htc_seesaw_throughout",
        "71_seesaw_count_factors",
        "72_htc_count_factors",
        "73_stage2_longer",
        "74_stage2_repeat",
        "75_multi_scale",
        "76_deform",
        "77_twice_as_long",
        "78_htc_twice_as_long",
        "79_baseline_twice_as_long",
        "80_mosaic_twice_as_long",
        "81_seesaw_mask_scoring",
        "82_best",
    }
