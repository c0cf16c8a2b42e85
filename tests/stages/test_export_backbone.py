"""A trained model's backbone as a weight file of its own, and back into a new model."""

from pathlib import Path

import pytest
import torch

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.importing.backbone_weights import load_backbone_weights
from lvistk.models.backbone import build_backbone
from lvistk.models.tensor_file import write_tensors
from lvistk.stages.commands.export import ExportOptions, run

SMALL = BackboneSettings(name="resnet18", width=0.125, norm="bn", frozen_stages=0)


def test_another_backbone_starts_from_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(SMALL)
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    write_tensors(tmp_path / "model.safetensors", state, table={})
    for half, tolerance in ((False, 0.0), (True, 1e-3)):
        out = tmp_path / f"{half}.safetensors"
        run(tmp_path, out, kind="backbone", options=ExportOptions(half=half))
        torch.manual_seed(1)
        settings = BackboneSettings(
            name="resnet18", width=0.125, norm="bn", frozen_stages=0, weights=str(out)
        )
        other = build_backbone(settings)
        load_backbone_weights(other, settings)
        for name, value in backbone.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=tolerance, atol=1e-6)
    assert (tmp_path / "True.safetensors").stat().st_size < 0.6 * out.with_name(
        "False.safetensors"
    ).stat().st_size


def test_a_file_without_a_backbone_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "model.safetensors", {"x": torch.zeros(1)}, table={})
    with pytest.raises(UserError, match="holds no backbone"):
        run(tmp_path, tmp_path / "out.safetensors", kind="backbone")
    with pytest.raises(UserError, match="no such model file"):
        run(tmp_path / "none", tmp_path / "out.safetensors", kind="backbone")


def test_a_changed_byte_and_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "out.safetensors"
    weights = {"backbone.body.conv.weight": torch.arange(60.0).half(), "n": torch.tensor(3)}
    write_tensors(path, weights, table={"kind": "é", "numbers": [1.5]})
    run(path, out, kind="backbone")
    sound = path.read_bytes()
    out.unlink()
    for k in range(len(sound) - 128, len(sound)):
        path.write_bytes(sound[:k] + bytes([sound[k] ^ 1]) + sound[k + 1 :])
        with pytest.raises(UserError, match="does not match its digest"):
            run(path, out, kind="backbone")
    for value in (float("nan"), float("inf")):
        weights["backbone.body.conv.weight"][7] = value
        write_tensors(path, weights, table={})
        with pytest.raises(UserError, match=r"'conv\.weight' holds values that are not finite"):
            run(path, out, kind="backbone")
    assert not out.exists()
