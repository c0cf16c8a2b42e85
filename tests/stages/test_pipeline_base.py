"""A pipeline file that says how it differs from another one."""

from pathlib import Path

import pytest

from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_base import read_pipeline_toml
from lvistk.stages.pipelines.pipeline_file import load_pipeline

FIRST = """
name = "first"
[row]
title = "the first row"
[model.mask]
convs = 2
channels = 64
[augment]
short_edges = [96, 128]
[stage.train]
command = "train-repr"
[stage.train.optim]
lr = 0.5
[stage.detect]
command = "tta-infer"
inputs = { model = "train" }
[stage.score]
command = "evaluate"
inputs = { detections = "detect" }
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_tables_merge_and_other_values_replace(tmp_path: Path) -> None:
    write(tmp_path, "first", FIRST)
    second = write(
        tmp_path,
        "second",
        'base = "first.toml"\n[model.mask]\nconvs = 3\n[augment]\nshort_edges = [64]\n'
        '[stage.train.optim]\nclip_norm = 7.0\n[stage.more]\ncommand = "finetune"\n'
        'inputs = { model = "train" }\n',
    )
    pipeline = load_pipeline(second)
    assert [plan.name for plan in pipeline.stages] == ["train", "detect", "score", "more"]
    train = pipeline.stage("train").settings
    assert (train.model.mask.convs, train.model.mask.channels) == (3, 64)
    assert train.augment.short_edges == (64,)
    assert (train.optim.lr, train.optim.clip_norm) == (0.5, 7.0)
    assert pipeline.name == "second"
    assert pipeline.row is None, "a row's table is its file's own"


def test_a_base_may_have_a_base(tmp_path: Path) -> None:
    write(tmp_path, "first", FIRST)
    write(tmp_path, "second", 'base = "first.toml"\n[model.mask]\nconvs = 3\n')
    third = write(tmp_path, "third", 'base = "second.toml"\n[model.mask]\nchannels = 32\n')
    mask = load_pipeline(third).stage("train").settings.model.mask
    assert (mask.convs, mask.channels) == (3, 32)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('base = "none.toml"\n', "no such file beside it"),
        ("base = 3\n", "expected the name of a pipeline file in quotes"),
        ('base = "second.toml"\n', "is a base of that one already"),
    ],
)
def test_a_wrong_base_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_pipeline_toml(write(tmp_path, "second", text))


def test_bases_in_a_circle_are_told(tmp_path: Path) -> None:
    write(tmp_path, "first", 'base = "second.toml"\n')
    with pytest.raises(UserError, match="already"):
        read_pipeline_toml(write(tmp_path, "second", 'base = "first.toml"\n'))


def test_an_error_names_the_file_that_was_given(tmp_path: Path) -> None:
    write(tmp_path, "first", FIRST)
    with pytest.raises(UserError, match=r"second\.toml.*unknown setting 'conv'"):
        load_pipeline(write(tmp_path, "second", 'base = "first.toml"\n[model.mask]\nconv = 3\n'))
