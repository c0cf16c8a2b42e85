"""``folds = k`` in a pipeline file."""

from pathlib import Path

import pytest

from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline

TEACHER = '[stage.teacher]\ncommand = "train-repr"\nfolds = 2\n[stage.teacher.loop]\nepochs = 5\n'
LOOK = '[stage.look]\ncommand = "pseudo-label"\nfolds = 2\ninputs = { model = "teacher" }\n'
MISSING = '[stage.missing]\ncommand = "filter-missing"\ninputs = { detections = "look" }\n'


def pipeline(tmp_path: Path, text: str) -> Pipeline:
    file = tmp_path / "cross.toml"
    file.write_text(f'out = "runs"\n{text}')
    return load_pipeline(file)


def test_each_teacher_is_asked_about_what_it_did_not_see(tmp_path: Path) -> None:
    made = pipeline(tmp_path, TEACHER + LOOK + MISSING)
    names = ["teacher_1", "teacher_2", "look_1", "look_2", "missing"]
    assert [plan.name for plan in made.stages] == names
    for k in (1, 2):
        teacher, look = made.stage(f"teacher_{k}"), made.stage(f"look_{k}")
        assert (teacher.settings.fold, look.settings.fold) == (f"{k}/2", f"{k}/2")
        assert look.inputs.model == teacher.out and teacher.settings.loop.epochs == 5
    looks = (made.stage("look_1").out, made.stage("look_2").out)
    assert made.stage("missing").inputs.detections == looks
    unnamed = MISSING.partition("inputs")[0]
    assert pipeline(tmp_path, TEACHER + LOOK + unnamed).stages[-1].inputs.detections == looks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEACHER.replace("folds = 2", "folds = 1"), "a whole number of 2 to 100"),
        (TEACHER.replace("train-repr", "finetune"), "finetune has no folds"),
        (TEACHER + LOOK.replace("folds = 2", "folds = 3"), "and teacher has 2"),
        (TEACHER + LOOK.partition("inputs")[0], "say which teachers look"),
        (TEACHER + LOOK.replace("folds = 2\n", ""), "name one, such as teacher_1"),
        (TEACHER + '[stage.teacher_2]\ncommand = "train-repr"\n', "rename it"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        pipeline(tmp_path, text)
