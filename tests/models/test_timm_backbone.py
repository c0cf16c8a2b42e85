"""timm's networks whose blocks are computed again in the backward pass."""

import pytest
import torch
from torch import Tensor

from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.models.backbone import Backbone, build_backbone


def built(name: str, *, checkpointing: bool) -> Backbone:
    torch.manual_seed(0)
    settings = BackboneSettings(
        library="timm", name=name, frozen_stages=1, activation_checkpointing=checkpointing
    )
    return build_backbone(settings).train()


def gradients(body: Backbone) -> tuple[dict[str, Tensor], int]:
    """Of every weight that learns, and the bytes that the forward pass kept for them."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    torch.manual_seed(1)  # also for stochastic depth
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        features = body(torch.randn(2, 3, 64, 64))
        activations = sum(kept.values())
    torch.stack([(f / f.detach().abs().amax()).square().sum() for f in features]).sum().backward()
    found = {n: p.grad for n, p in body.named_parameters() if p.grad is not None}
    return found, activations - sum(p.nbytes for p in body.parameters())


@pytest.mark.parametrize("name", ["resnest26d", "tf_efficientnet_lite0", "convnext_atto"])
def test_gradients_are_the_same_and_less_is_kept(name: str) -> None:
    plain, much = gradients(built(name, checkpointing=False))
    again, little = gradients(built(name, checkpointing=True))
    assert plain.keys() == again.keys()
    for parameter, value in plain.items():
        scale = float(value.abs().amax())
        torch.testing.assert_close(again[parameter], value, rtol=1e-4, atol=1e-5 * scale)
    assert little < 0.5 * much


def test_names_of_weights_stay() -> None:
    bodies = [built("resnest14d", checkpointing=kind).state_dict() for kind in (False, True)]
    assert list(bodies[0]) == list(bodies[1])


def test_a_network_without_rows_of_blocks() -> None:
    message = r"activation_checkpointing: vgg11 has no row of blocks"
    with torch.device("meta"), pytest.raises(UserError, match=message):
        built("vgg11", checkpointing=True)
