"""Stage 2 on features that were pooled before: the same as the plain way, and what it refuses."""

from pathlib import Path

import pytest
import torch

from lvistk.console import read_metrics
from lvistk.errors import UserError
from lvistk.models.tensor_file import read_tensors
from lvistk.stages.pipelines.runner import run_stage
from lvistk.stages.training import pooled_batches
from tests.stages.tiny_run import tiny_pipeline

PLAIN = (
    "second.model.mask.boundary=false",
    "second.model.mask.deform_pool=none",
    "second.loop.epochs=2",
    "second.sampler.repeat=none",
)
KEPT = ("second.features.views=2", "second.features.precision=fp32")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 1, done."""
    root = tmp_path_factory.mktemp("pooled")
    run_stage(tiny_pipeline(root, "first.loop.epochs=1").stage("first"), device="cpu")
    return root


def finetuned(root: Path, name: str, *assignments: str) -> Path:
    """The folder of a fine-tuning with these settings."""
    pipeline = tiny_pipeline(root, "first.loop.epochs=1", *PLAIN, *assignments)
    plan = pipeline.stage("second")
    plan = plan.__class__(plan.name, plan.command, plan.settings, plan.inputs, root / "runs" / name)
    run_stage(plan, device="cpu")
    return plan.out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "model.safetensors")


SHARED = "second.freeze=['backbone', 'neck', 'rpn', 'box_features']"


@pytest.mark.parametrize(
    "others",
    [
        (),
        (SHARED,),
        pytest.param((SHARED, "second.model.mask.mask_iou=true"), marks=pytest.mark.slow),
    ],
    ids=("heads", "shared layers frozen", "mask scoring"),
)
def test_with_as_many_views_as_epochs_nothing_differs(root: Path, others: tuple[str, ...]) -> None:
    tag = f"{len(others)}"
    plain = weights(finetuned(root, f"plain{tag}", *others))
    kept = weights(finetuned(root, f"kept{tag}", *others, *KEPT))
    assert plain.keys() == kept.keys()
    differing = [name for name in plain if not torch.equal(plain[name], kept[name])]
    assert not differing


def test_one_view_serves_all_epochs_and_is_removed(root: Path) -> None:
    out = finetuned(root, "one", "second.features.views=1", "second.loop.epochs=3")
    assert not (out / pooled_batches.FOLDER).exists()
    rows = read_metrics(out / "metrics.jsonl")
    assert rows[-1]["step"] == 9 == len(rows)
    assert {"classifier", "box", "mask"} <= {*rows[0]}
    assert len({row["loss"] for row in rows}) == len(rows)


def test_a_frozen_mask_branch_is_not_pooled(root: Path) -> None:
    freeze = "second.freeze=['backbone', 'neck', 'rpn', 'box_features', 'box_regression', 'mask']"
    out = finetuned(
        root, "classifier", "second.features.views=1", freeze, "second.model.mask.boundary=true"
    )
    assert "mask" not in read_metrics(out / "metrics.jsonl")[0]


def test_pooling_goes_on_where_it_was_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    write = pooled_batches._write

    def stopping(path: Path, *given: object) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(path, *given)  # pyright: ignore[reportArgumentType]  # as it was called

    monkeypatch.setattr(pooled_batches, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        finetuned(root, "stopped", *KEPT)
    out = finetuned(root, "stopped", *KEPT)
    assert len(calls) == len(set(calls)) + 1, "only the batch that was being written comes twice"
    plain = weights(finetuned(root, "plain0"))
    assert all(torch.equal(plain[name], value) for name, value in weights(out).items())


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("second.model.mask.boundary=true", "model.mask.boundary"),
        ("second.model.mask.deform_pool=v1", "model.mask.deform_pool"),
        ("second.model.box.deform_pool=v1", "model.box.deform_pool"),
        ("second.freeze=['backbone']", "freeze without backbone, neck, rpn"),
    ],
)
def test_heads_that_need_more_are_refused(root: Path, assignment: str, told: str) -> None:
    with pytest.raises(UserError, match=f"features.views does not go with {told}"):
        finetuned(root, f"refused{len(told)}", "second.features.views=1", assignment)
