"""Validation while training: nothing is lost when it fails, and the best checkpoint is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lvistk.console import read_metrics
from lvistk.engine.checkpoint import read_newest
from lvistk.engine.loop import train
from lvistk.models.tensor_file import read_table, read_tensors
from tests.engine.toy import toy_job

EPOCHS = (6, 13, 19)
"""Steps at the ends of the toy's epochs."""
Validate = Callable[[nn.Module], dict[str, float | None]]


def scores(*values: float | None, fail_at: int = -1) -> Validate:
    """A validation with these scores in turn; the one numbered ``fail_at`` fails instead, once."""
    left, calls = list(values), []

    def validate(model: nn.Module) -> dict[str, float | None]:
        calls.append(model)
        if len(calls) - 1 == fail_at:
            raise RuntimeError("the validation failed")
        return {"AP": left.pop(0)}

    return validate


def run(folder: Path, validate: Validate) -> nn.Module:
    changes = {"evaluate": validate, "evaluate_epochs": 1, "checkpoint_steps": 100}
    return train(toy_job(folder, max_steps=0, **changes))


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.3, 0.2), 1), ((0.3, 0.3, 0.1), 0), ((None, 0.0, 0.1), 2), ((None, None, None), None)],
)
def test_the_best_checkpoint_is_kept(
    tmp_path: Path, values: tuple[float | None, ...], best: int | None
) -> None:
    run(tmp_path, scores(*values))
    path = tmp_path / "checkpoints" / "best.safetensors"
    assert path.is_file() == (best is not None)
    if best is not None:
        assert read_table(path)["step"] == EPOCHS[best]
        names = set(read_tensors(path))
        assert "model.head.weight" in names and "optimizer.head.weight.momentum_buffer" in names


def test_an_epoch_whose_validation_fails_is_not_lost(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", scores(0.1, 0.3, 0.2))
    with pytest.raises(RuntimeError, match="the validation failed"):
        run(tmp_path / "failed", scores(0.1, fail_at=1))
    newest = read_newest(tmp_path / "failed" / "checkpoints")
    assert newest is not None and newest.table["step"] == EPOCHS[1]
    again = run(tmp_path / "failed", scores(0.3, 0.2))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    logs = [
        [
            (row["step"], row["AP"])
            for row in read_metrics(tmp_path / f / "metrics.jsonl")
            if "AP" in row
        ]
        for f in ("whole", "failed")
    ]
    assert logs[0] == logs[1] == [(6, 0.1), (13, 0.3), (19, 0.2)]
    steps = [
        read_table(tmp_path / f / "checkpoints" / "best.safetensors")["step"]
        for f in ("whole", "failed")
    ]
    assert steps == [13, 13]


def test_a_validation_that_was_done_is_not_repeated(tmp_path: Path) -> None:
    run(tmp_path, scores(0.1, 0.2, 0.3))
    run(tmp_path, scores())  # finished: nothing is asked
    assert len([row for row in read_metrics(tmp_path / "metrics.jsonl") if "AP" in row]) == 3


def test_partly_written_checkpoints_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".step_00000004.safetensors.123.part").write_bytes(b"half")
    train(toy_job(tmp_path, max_steps=2))
    assert not list(folder.glob(".*"))


def test_a_cosine_that_is_cut_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(toy_job(tmp_path, max_steps=2, schedule="cosine"))
    assert "max_steps = 2 cuts the cosine schedule of 19 steps" in " ".join(
        capfd.readouterr().err.split()
    )
