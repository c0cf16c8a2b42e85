"""Models on disk, and one made into another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lvistk.errors import UserError
from lvistk.models.build import build_model
from lvistk.models.freeze import freeze, model_parts
from lvistk.models.model_file import load_model, model_table, save_model
from lvistk.models.tensor_file import read_tensors, write_tensors
from lvistk.models.upgrade import upgrade_model
from tests.engine.small_model import categories, recounted, small_settings
from tests.models.build_small import small_model, some_batch, some_targets

CPU = torch.device("cpu")


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    prior = torch.tensor([0.2, 0.5, 0.9])
    model = build_model(small_settings(), categories(3, 30, 300), area_ratio_prior=prior)
    save_model(tmp_path / "model.safetensors", model, extra={"training": {"seed": 4}})
    again = load_model(tmp_path, device=CPU)
    assert again.settings == model.settings
    assert again.categories.to_table() == model.categories.to_table()
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    table = model_table(tmp_path / "model.safetensors")
    assert table["groups"] == [[0], [1], [2]]
    assert table["training"] == {"seed": 4}
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask(tmp_path)


def umask(folder: Path) -> int:
    """What the process takes from the mode of a new file."""
    (folder / "plain").touch()
    return 0o666 & ~(folder / "plain").stat().st_mode


def test_the_backbone_s_own_weights_file_is_not_needed_again(tmp_path: Path) -> None:
    model = build_model(small_settings(), categories(3, 30))
    save_model(tmp_path / "model.safetensors", model, extra={})
    table = model_table(tmp_path / "model.safetensors")
    table["settings"]["backbone"]["weights"] = str(tmp_path / "long-gone.pth")
    write_tensors(tmp_path / "other.safetensors", model.state_dict(), table=table)
    again = load_model(tmp_path / "other.safetensors", device=CPU)
    assert again.settings.backbone.weights.endswith("long-gone.pth")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_model(tmp_path, device=CPU)
    file.write_bytes(b"\x80\x02not weights")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_model(tmp_path, device=CPU)
    save_file({"a": torch.ones(1)}, file)
    with pytest.raises(UserError, match=r"without lvistk's metadata"):
        load_model(tmp_path, device=CPU)
    write_tensors(file, {"a": torch.ones(1)}, table={"kind": "other"})
    with pytest.raises(UserError, match="not a model of lvistk"):
        load_model(tmp_path, device=CPU)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_model(file, build_model(small_settings(), categories(3, 30)), extra={})
    tensors, table = read_tensors(file), model_table(file)
    tensors.pop("rpn.conv.bias")
    write_tensors(file, tensors, table=table)
    with pytest.raises(UserError, match=r"weights do not fit .*rpn\.conv\.bias"):
        load_model(file, device=CPU)


def test_an_upgrade_copies_what_means_the_same() -> None:
    known = categories(3, 30, 300)
    old = build_model(small_settings(classifier={"kind": "eql_v2"}), known)
    same_shape = small_settings(classifier={"kind": "softmax"}, mask={"extra_convs": 1})
    new, transfer = upgrade_model(old, settings=same_shape, categories=known, area_ratio_prior=None)
    head = "roi_heads.box_heads.0."
    assert {f"{head}classifier.linear.weight", f"{head}classifier.linear.bias"} == {
        *transfer.adapted
    }  # C + 1 channels both, but not the same ones: the categories' rows only
    assert transfer.dropped == (f"{head}classifier.balance.sums",)
    assert all(name.startswith("roi_heads.mask.") for name in transfer.new)
    assert len(transfer.new) > 0
    theirs, ours = old.state_dict(), new.state_dict()
    assert len(transfer.copied) > 60
    for name in transfer.copied:
        assert torch.equal(theirs[name], ours[name]), name


def test_a_group_classifier_is_kept_while_its_groups_are_the_same() -> None:
    settings, known = small_settings(classifier={"kind": "group_softmax"}), categories(3, 30, 300)
    old = build_model(settings, known)
    for counts, kept in (((4, 40, 400), True), ((30, 3, 300), False)):
        other = recounted(known, *counts)
        _, transfer = upgrade_model(old, settings=settings, categories=other, area_ratio_prior=None)
        name = "roi_heads.box_heads.0.classifier.linear.weight"
        assert (name in transfer.copied) is kept
        assert (name in transfer.replaced) is not kept


@pytest.mark.parametrize("kind", ["softmax", "eql", "eql_v2", "federated"])
def test_group_softmax_starts_from_the_rows_of_stage_1(kind: str) -> None:
    """Members by hand: stage 1's logit, for softmax less background's, against others at 0; group 0
    is undecided, so that scores are half of each group's softmax."""
    known = categories(3, 5, 300)
    old = build_model(small_settings(classifier={"kind": kind}), known)
    wanted = small_settings(classifier={"kind": "group_softmax", "group_softmax": {"edges": [10]}})
    new, transfer = upgrade_model(old, settings=wanted, categories=known, area_ratio_prior=None)
    name = "roi_heads.box_heads.0.classifier.linear"
    assert transfer.adapted == (f"{name}.weight", f"{name}.bias")
    assert not {*transfer.adapted} & {*transfer.copied, *transfer.replaced, *transfer.new}
    features = torch.randn(4, 16, generator=torch.Generator().manual_seed(2))
    first, second = (model.roi_heads.box_heads[0].classifier for model in (old, new))
    logits = first(features)
    z = logits[:, :3] - (logits[:, 3:4] if kind == "softmax" else 0)
    rare, frequent = z[:, :2].exp(), z[:, 2:].exp()
    expected = torch.cat(
        [rare / (1 + rare.sum(dim=1, keepdim=True)), frequent / (1 + frequent)], dim=1
    )
    torch.testing.assert_close(second.scores(second(features)), expected / 2)


def test_group_softmax_takes_over_the_objectness_of_seesaw() -> None:
    known = categories(3, 5, 300)
    old = build_model(small_settings(classifier={"kind": "seesaw"}), known)
    wanted = small_settings(classifier={"kind": "group_softmax", "group_softmax": {"edges": [10]}})
    new, _ = upgrade_model(old, settings=wanted, categories=known, area_ratio_prior=None)
    features = torch.randn(4, 16, generator=torch.Generator().manual_seed(2))
    first, second = (model.roi_heads.box_heads[0].classifier for model in (old, new))
    z = first(features)
    others = torch.zeros(len(z), 1)
    groups = [
        torch.cat([others, rows], dim=1).softmax(dim=1)[:, 1:] for rows in (z[:, :2], z[:, 2:3])
    ]
    foreground = z[:, 3:].softmax(dim=1)[:, :1]
    expected = torch.cat(groups, dim=1) * foreground
    torch.testing.assert_close(second.scores(second(features)), expected)


def test_group_softmax_starts_anew_where_told() -> None:
    known = categories(3, 30)
    old = build_model(small_settings(classifier={"kind": "softmax"}), known)
    anew = small_settings(classifier={"kind": "group_softmax", "group_softmax": {"start": "anew"}})
    _, transfer = upgrade_model(old, settings=anew, categories=known, area_ratio_prior=None)
    assert transfer.adapted == ()
    assert "roi_heads.box_heads.0.classifier.linear.weight" in transfer.replaced


@pytest.mark.parametrize("kind", ["eql", "eql_v2", "federated", "seesaw"])
def test_another_kind_starts_from_the_log_odds_of_a_softmax(kind: str) -> None:
    known = categories(3, 30, 300)
    old = build_model(small_settings(classifier={"kind": "softmax"}), known)
    new, transfer = upgrade_model(
        old,
        settings=small_settings(classifier={"kind": kind}),
        categories=known,
        area_ratio_prior=None,
    )
    name = "roi_heads.box_heads.0.classifier.linear"
    assert transfer.adapted == (f"{name}.weight", f"{name}.bias")
    before, after = old.state_dict(), new.state_dict()
    for part in ("weight", "bias"):
        rows = before[f"{name}.{part}"]
        torch.testing.assert_close(after[f"{name}.{part}"][:3], rows[:3] - rows[3])


@pytest.mark.parametrize("kind", ["softmax", "eql_v2", "group_softmax"])
def test_another_kind_of_another_label_set_starts_from_the_rows_of_the_categories_it_shares(
    kind: str,
) -> None:
    """The first new category is the old one's second, the third its first; the second is new."""
    old = build_model(small_settings(classifier={"kind": "eql"}), categories(3, 30))
    settings, known = small_settings(classifier={"kind": kind}), categories(3, 30, 300)
    new, transfer = upgrade_model(
        old, settings=settings, categories=known, area_ratio_prior=None, rows=np.array([1, -1, 0])
    )
    name = "roi_heads.box_heads.0.classifier.linear"
    assert {f"{name}.weight", f"{name}.bias"} <= {*transfer.adapted}
    before, after = old.state_dict(), new.state_dict()
    row = list(new.roi_heads.box_heads[0].classifier.channels.of_category)
    for part in (f"{name}.weight", f"{name}.bias"):
        torch.testing.assert_close(after[part][[row[0], row[2]]], before[part][[1, 0]])
    weight = f"{name}.weight"
    assert not any(torch.equal(after[weight][row[1]], one) for one in before[weight])


HTC = {
    "ious": [0.5, 0.6],
    "loss_weights": [1.0, 0.5],
    "box_weights": [[10.0, 10.0, 5.0, 5.0], [20.0, 20.0, 10.0, 10.0]],
    "mask_every_stage": True,
    "interleaved": True,
    "mask_flow": True,
}


@pytest.mark.parametrize("rows", [None, np.array([1, 0, -1])])
def test_later_stages_of_a_cascade_start_from_the_one_stage_there_was(
    rows: np.ndarray | None,
) -> None:
    """Their boxes are the same: deltas are in the unit of their stage."""
    old = build_model(small_settings(classifier={"kind": "eql"}), categories(3, 30, 300))
    settings = small_settings(classifier={"kind": "eql"}, cascade=HTC)
    new, transfer = upgrade_model(
        old, settings=settings, categories=categories(3, 30, 300), area_ratio_prior=None, rows=rows
    )
    before, after = old.state_dict(), new.state_dict()
    first, second = (f"roi_heads.box_heads.{number}." for number in (0, 1))
    weights = torch.tensor([2.0, 2.0, 2.0, 2.0])
    for part in ("fc.0.weight", "fc.1.bias"):
        torch.testing.assert_close(after[second + part], before[first + part])
        assert second + part in transfer.adapted
    for part in ("weight", "bias"):
        scaled = before[f"{first}regression.{part}"].unflatten(0, (-1, 4)).movedim(1, -1) * weights
        scaled = scaled.movedim(-1, 1).flatten(0, 1)
        torch.testing.assert_close(after[f"{second}regression.{part}"], scaled)
        linear = [after[f"{stage}classifier.linear.{part}"] for stage in (first, second)]
        known = slice(None) if rows is None else slice(2)
        torch.testing.assert_close(linear[0][known], linear[1][known])
    mask = "roi_heads.mask.stages.{}.head.deconv.weight"
    torch.testing.assert_close(after[mask.format(1)], before[mask.format(0)])
    assert "roi_heads.mask.stages.1.head.flow.weight" in transfer.new


def test_no_other_kind_starts_from_rows_of_groups() -> None:
    known = categories(3, 30, 300)
    old = build_model(small_settings(classifier={"kind": "group_softmax"}), known)
    plain = small_settings(classifier={"kind": "softmax"})
    _, transfer = upgrade_model(old, settings=plain, categories=known, area_ratio_prior=None)
    assert transfer.adapted == ()


def test_parts_of_the_mask_branch_do_not_change_what_box_heads_start_from() -> None:
    started = []
    for mask in ({}, {"boundary": True, "extra_convs": 2, "deform_pool": "v1"}):
        torch.manual_seed(0)
        model = build_model(small_settings(mask=mask), categories(3, 30))
        started.append(model.roi_heads.box_heads.state_dict())
    for name, value in started[0].items():
        assert torch.equal(value, started[1][name]), name


def test_every_part_can_be_frozen_and_nothing_else_is() -> None:
    model = build_model(small_settings(), categories(3, 30)).train()
    parts = model_parts(model)
    names = {id(p): name for name, p in model.named_parameters()}
    for part, modules in parts.items():
        model = model.requires_grad_(True).train()
        assert freeze(model, [part]) == modules
        own = {id(p) for module in modules for p in module.parameters()}
        assert {id(p) for p in model.parameters() if not p.requires_grad} == own
        assert not any(child.training for module in modules for child in module.modules())
        assert own or part == "box_features", part
    covered = {id(p) for modules in parts.values() for m in modules for p in m.parameters()}
    assert covered == names.keys()
    with pytest.raises(UserError, match="'necks' is no part of the model; did you mean 'neck'"):
        freeze(model, ["necks"])


@pytest.mark.parametrize("kind", ["eql_v2", "seesaw"])
def test_a_frozen_classifier_keeps_its_history(kind: str) -> None:
    model = small_model({"classifier": {"kind": kind}}).train()
    freeze(model, ["box_head"])
    before = {name: value.clone() for name, value in model.roi_heads.box_heads.state_dict().items()}
    sum(model.losses(some_batch(), [some_targets(3), some_targets(2, seed=1)]).values()).backward()
    for name, value in model.roi_heads.box_heads.state_dict().items():
        assert torch.equal(value, before[name]), name
