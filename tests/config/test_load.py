"""Strict settings: unknown keys, wrong types, nested changes, overrides."""

import dataclasses
import json
import re
import typing
from pathlib import Path

import pytest

from lvistk.config.classifier import ClassifierSettings
from lvistk.config.load import (
    expanded,
    from_table,
    older_table,
    parse_assignments,
    to_table,
    update,
)
from lvistk.config.ranges import range_text
from lvistk.errors import UserError
from lvistk.stages.pipelines.one_stage import plan_from_file
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.stage_plan import plan_alone, with_inputs
from lvistk.stages.specifications import STAGES
from lvistk.stages.specifications.finetune import FinetuneSettings
from lvistk.stages.specifications.train_repr import TrainReprSettings

PIPELINE = """
name = "small"
out = "out"
seed = 7
[data]
train = ["a.json", "b.json"]
val = "val.json"
[model.backbone]
name = "resnet18"
[loop]
epochs = 3
[stage.round1]
command = "train-repr"
[stage.round1.optim]
lr = 0.01
[stage.fine]
command = "finetune"
inputs = { model = "round1", missing = "elsewhere/missing.h5" }
[stage.fine.model.mask]
boundary = false
[stage.score]
command = "evaluate"
inputs = { detections = "results.json" }
"""


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(PIPELINE)
    return path


@pytest.mark.parametrize("kind", STAGES.values(), ids=list(STAGES))
def test_settings_survive_a_round_trip(kind) -> None:
    settings = kind.settings()
    assert from_table(kind.settings, to_table(settings), where="test") == settings


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown setting 'epoch'; did you mean 'epochs'"):
        update(TrainReprSettings(), {"loop": {"epoch": 3}}, where="x.toml")


def test_wrong_type_and_wrong_choice() -> None:
    with pytest.raises(UserError, match=r"lr = 'fast' does not fit"):
        update(TrainReprSettings(), {"optim": {"lr": "fast"}}, where="x.toml")
    with pytest.raises(UserError, match="choose one of sgd, adamw"):
        update(TrainReprSettings(), {"optim": {"kind": "adam"}}, where="x.toml")


def test_assignments_are_toml_or_text() -> None:
    table = parse_assignments(["optim.lr=0.5", "optim.kind=adamw", "augment.short_edges=[64, 96]"])
    assert table == {
        "optim": {"lr": 0.5, "kind": "adamw"},
        "augment": {"short_edges": [64, 96]},
    }
    with pytest.raises(UserError, match="--set nonsense"):
        parse_assignments(["nonsense"])


def test_overrides_are_checked_and_merged() -> None:
    changed = update(FinetuneSettings(), {"model": {"mask": {"boundary": False}}}, where="x")
    assert changed.model["mask"]["boundary"] is False
    assert changed.model["classifier"] == {"kind": "group_softmax"}
    with pytest.raises(UserError, match="unknown setting 'boundry'"):
        update(FinetuneSettings(), {"model": {"mask": {"boundry": False}}}, where="x")


def test_pipeline_shares_tables_and_resolves_stages(pipeline_file: Path) -> None:
    pipeline = load_pipeline(
        pipeline_file, assignments=["round1.optim.momentum=0.5", "loop.epochs=4"]
    )
    first, fine, score = pipeline.stages
    assert first.settings.seed == 7
    assert first.settings.model.backbone.name == "resnet18"
    assert (first.settings.optim.lr, first.settings.optim.momentum) == (0.01, 0.5)
    assert first.settings.loop.epochs == fine.settings.loop.epochs == 4
    assert first.inputs.train == (Path("a.json"), Path("b.json"))
    assert fine.inputs.model == Path("out/round1")
    assert fine.settings.model["mask"]["boundary"] is False
    assert fine.settings.model["mask"]["extra_convs"] == 3
    assert score.inputs.val == Path("val.json")


def test_one_stage_of_a_pipeline(pipeline_file: Path) -> None:
    plan = plan_from_file(pipeline_file, "train-repr", assignments=["optim.lr=0.3"])
    assert plan.settings.optim.lr == 0.3
    assert with_inputs(plan, {"init": Path("m"), "val": None}).inputs.init == Path("m")
    made_up = plan_from_file(
        pipeline_file, "tta-infer"
    )  # no stage of the file: it takes its results
    assert (made_up.out, made_up.inputs.model) == (Path("out/tta_infer"), Path("out/round1"))
    assert made_up.inputs.val == Path("val.json")


def test_a_stage_alone_takes_its_own_name_or_none() -> None:
    a = plan_alone("train-repr", out=Path("o"), assignments=["train_repr.optim.lr=0.1"])
    b = plan_alone("train-repr", out=Path("o"), assignments=["optim.lr=0.1"])
    assert a == b


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[stage.a]\ncommand = 'trian'", "unknown command 'trian'"),
        ("[stage.a]\nx = 1", "a stage needs command"),
        ("[stage.a]\ncommand = 'evaluate'\n[modle]\na = 1", "unknown table 'modle'"),
        ("[stage.a]\ncommand = 'evaluate'\n[data]\ntrian = 'x'", "unknown input 'trian'"),
        ("[stage.a\n", "not valid TOML"),
        ("name = 'x'", "at least one"),
        ("data = 3\n[stage.a]\ncommand = 'evaluate'", r"data = 3: expected a table \[data\]"),
        ("name = []\n[stage.a]\ncommand = 'evaluate'", r"name = \[\]: expected text"),
        ("stage = 3", "at least one"),
        ("[stage]\na = 3", "a stage needs command"),
        ("[stage.a]\ncommand = []", "a stage needs command"),
        ("[stage.a]\ncommand = {x = 1}", "a stage needs command"),
        ("[stage.'../x']\ncommand = 'evaluate'", "letters, digits, _ and - only"),
        ("seed = " + "9" * 5000 + "\n[stage.a]\ncommand = 'evaluate'", "not valid TOML"),
        ("seed = " + "9" * 50 + "\n[stage.a]\ncommand = 'evaluate'", "seed = 9{50} does not fit"),
        ("x = " + "[" * 5000 + "]" * 5000, "not valid TOML|nested"),
        ("[" + ".".join("a" * 500) + "]", "nested 50. deep"),
    ],
)
def test_a_broken_pipeline_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_pipeline(path)
    if text != "name = 'x'":  # enough for a stage by itself
        with pytest.raises(UserError):
            plan_from_file(path, "train-repr")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("loop.batch_size=0", "range: at least 1"),
        ("loop.batch_size=-4", "range: at least 1"),
        ("loop.log_steps=0", "range: at least 1"),
        ("optim.lr=nan", "lr = nan does not fit"),
        ("optim.lr=inf", "it must be finite"),
        ("optim.lr=-1", "range: at least 0"),
        ("augment.flip=2", "range: 0 to 1"),
        ("augment.short_edges=[]", "at least 1 of them"),
        ("augment.short_edges=[0]", "each at least 1"),
        ("augment.mosaic_size=[0,0]", "each at least 1"),
        ("loader.workers=-1", "range: at least 0"),
        ("loop.ema_decay=1.5", "range: 0 to below 1"),
        ("sampler.repeat_fraction=nan", "range: 0 to 1"),
        ("model.rpn.anchor_sizes=[8,16]", "5 of them"),
        ("model.classifier.group_softmax.edges=[100,10]", "it must ascend"),
        ("model.classifier.group_softmax.edges=[]", "at least 1 of them"),
        ("model.mask.convs=100000000", "range: 0 to 100"),
        ("optim.step_factor=0", "range: above 0, at most 1"),
    ],
)
def test_a_setting_out_of_its_range_is_named_with_it(assignment: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_alone("train-repr", out=Path("o"), assignments=[assignment])


@pytest.mark.parametrize(
    ("command", "assignment", "message"),
    [
        ("train-repr", "loop.epochs=2.5", "give a whole number, at least 1"),
        ("train-repr", "loop.epochs=true", "give a whole number, at least 1"),
        ("train-repr", "optim.lr=1,5", "give a number, at least 0"),
        (
            "train-repr",
            "augment.mosaic_size=640",
            "give a list of 2 whole numbers, each at least 1",
        ),
        ("train-repr", "augment.short_edges=96,128", "give a list of whole numbers, each at least"),
        ("train-repr", "model.backbone.name=[1]", "give text"),
        ("evaluate", "boundary=maybe", "give true or false"),
        ("evaluate", "kinds=segm", "give a list of segm, bbox, at least 1 of them"),
        ("evaluate", 'kinds=["mask"]', "give a list of segm, bbox, at least 1 of them"),
        ("tta-infer", "views.valid_ranges=[1]", "give a list of lists of 2 numbers, each at least"),
    ],
)
def test_a_setting_of_another_type_is_told_what_to_give(
    command: str, assignment: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_alone(command, out=Path("o"), assignments=[assignment])


@pytest.mark.parametrize("kind", STAGES.values(), ids=list(STAGES))
def test_every_number_has_a_range(kind) -> None:
    """Every numeric setting of every stage but seeds and image means refuses something."""
    free = {"seed", "image_mean"}
    assert {name for name in unlimited(kind.settings()) if name not in free} == set()


def unlimited(settings) -> list[str]:
    names = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        hint = typing.get_type_hints(type(settings), include_extras=True)[field.name]
        if dataclasses.is_dataclass(value):
            names += unlimited(value)
        elif re.search(r"\b(int|float)\b", str(hint)) and not range_text(hint):
            names.append(field.name)
    return names


def test_older_tables_read_as_todays() -> None:
    """Renamed, removed and added settings, also in a table of changes."""
    now = to_table(FinetuneSettings())
    old = json.loads(json.dumps(now))
    old["sampler"]["repeat_photos"] = old["sampler"].pop("repeat_images")
    del old["loop"]["tensorboard"]
    old["model"]["classifier"] |= {"eql_tail_photos": 3, "seesaw_p": 0.5}
    now["model"]["classifier"] |= {"eql": {"tail_images": 3}, "seesaw": {"p": 0.5}}
    assert older_table(FinetuneSettings(), old) == now


FLAT = {
    "eql_tail_photos": ("eql", "tail_images", 60),
    "eql_tail_images": ("eql", "tail_images", 60),
    "eql_tail_fraction": ("eql", "tail_fraction", 0.25),
    "eql_negative_clause": ("eql", "negative_clause", True),
    "eql_v2_gamma": ("eql_v2", "gamma", 5.0),
    "eql_v2_mu": ("eql_v2", "mu", 0.5),
    "eql_v2_alpha": ("eql_v2", "alpha", 3.0),
    "seesaw_p": ("seesaw", "p", 0.5),
    "seesaw_q": ("seesaw", "q", 1.5),
    "federated_categories": ("federated", "categories", 5),
    "federated_power": ("federated", "power", 1.0),
    "group_edges": ("group_softmax", "edges", (30, 150)),
    "group_beta": ("group_softmax", "beta", 4.0),
    "group_unseen": ("group_softmax", "unseen", "member"),
    "group_start": ("group_softmax", "start", "anew"),
}
"""Settings of classifiers as they were named before each kind had a table."""


@pytest.mark.parametrize("name", FLAT)
def test_flat_names_of_a_classifiers_settings(name: str) -> None:
    table, inner, value = FLAT[name]
    given = update(ClassifierSettings(), {name: value}, where="test")
    assert given == update(ClassifierSettings(), {table: {inner: value}}, where="test")
    assert getattr(getattr(given, table), inner) == value
    default = older_table(ClassifierSettings(), {name: value})
    assert default[table][inner] == value and default["kind"] == "eql"


def test_of_two_names_for_a_setting_the_later_counts() -> None:
    """A file's, then that of ``--set``."""
    both = {"eql_tail_photos": 1, "eql": {"tail_images": 2, "negative_clause": True}}
    settings = update(ClassifierSettings(), both, where="test")
    assert (settings.eql.tail_images, settings.eql.negative_clause) == (2, True)
    turned = dict(reversed(both.items()))
    settings = update(ClassifierSettings(), turned, where="test")
    assert (settings.eql.tail_images, settings.eql.negative_clause) == (1, True)


def test_a_table_of_changes_has_todays_names() -> None:
    """Else the folder of a run from a file with old names would not be that run's."""
    old = {"model": {"classifier": {"group_edges": [5, 8]}}}
    now = {"model": {"classifier": {"group_softmax": {"edges": [5, 8]}}}}
    given = update(FinetuneSettings(), old, where="test")
    assert given == update(FinetuneSettings(), now, where="test")
    assert older_table(FinetuneSettings(), to_table(given)) == to_table(given)


def test_files_that_ship_have_names() -> None:
    assert expanded("lvistk:demo_detector").is_file()
    with pytest.raises(UserError, match="no such file ships with lvistk; lvistk:demo_backbone and"):
        expanded("lvistk:../secret")


def test_home_and_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "/disk")
    monkeypatch.chdir(tmp_path)
    assert expanded("~/a.json") == tmp_path / "a.json"
    assert expanded("$DATA/a") == expanded("${DATA}/a") == Path("/disk/a")
    assert expanded("plain/a") == Path("plain/a")
    (tmp_path / "a$b").touch()
    assert expanded("a$b") == Path("a$b")
    for text, words in (("$NONE/a", "NONE is not set"), ("~no.such.user/a", "no such home folder")):
        with pytest.raises(UserError, match=words):
            expanded(text)
    file = tmp_path / "p.toml"
    file.write_text(
        'out = "~/runs"\n[data]\ntrain = ["$DATA/t.json"]\ntrain_images = "~/images"\n'
        '[stage.a]\ncommand = "train-repr"\n'
    )
    (plan,) = load_pipeline(file).stages
    assert plan.out == tmp_path / "runs" / "a"
    assert plan.inputs.train == (Path("/disk/t.json"),)
    assert plan.inputs.train_images == tmp_path / "images"
