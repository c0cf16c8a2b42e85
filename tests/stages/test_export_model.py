"""A model alone as a file, at full and half size."""

from pathlib import Path

import pytest
import torch

from lvistk.errors import UserError
from lvistk.models.model_file import load_model, model_table, save_model
from lvistk.stages.commands.export import ExportOptions, run
from tests.models.build_small import small_model

CPU = torch.device("cpu")


def test_it_is_the_same_model_in_a_smaller_file(tmp_path: Path) -> None:
    model = small_model()
    save_model(tmp_path / "model.safetensors", model, extra={"training": {"seed": 4}})
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    run(tmp_path, whole, kind="model")
    run(tmp_path, half, kind="model", options=ExportOptions(half=True))
    assert whole.read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert model_table(half) == model_table(whole)
    again = load_model(half, device=CPU)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_the_model_that_ships_is_exported_by_name(tmp_path: Path) -> None:
    run(Path("lvistk:demo_detector"), tmp_path / "model.safetensors", kind="model")
    assert len(model_table(tmp_path / "model.safetensors")["categories"]["names"]) == 9


def test_what_is_read_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, small_model(), extra={})
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"model\.safetensors: is read, and would be replaced"):
        run(path, path, kind="model", options=ExportOptions(half=True))
    val = tmp_path / "val.json"
    val.write_text("{}")
    with pytest.raises(UserError, match=r"val\.json: is read, and would be replaced"):
        run(tmp_path, val, kind="annotations", options=ExportOptions(annotations=val))
    assert path.read_bytes() == before and val.read_text() == "{}"


def test_what_half_precision_does_not_hold_is_refused(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)
    save_model(tmp_path / "model.safetensors", model, extra={})
    with pytest.raises(UserError, match=r"is too large for half precision; leave out --half"):
        run(
            tmp_path,
            tmp_path / "half.safetensors",
            kind="model",
            options=ExportOptions(half=True),
        )
    assert not (tmp_path / "half.safetensors").exists()
