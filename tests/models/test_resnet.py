import pytest
import torch
import torchvision

from lvistk.config.model import BackboneSettings
from lvistk.importing.backbone_weights import fill
from lvistk.models.backbone import build_backbone
from lvistk.models.frozen_norm import FrozenBatchNorm2d


def torchvision_body(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, norm_layer=torchvision.ops.FrozenBatchNorm2d)
    for module in model.modules():
        if isinstance(module, torchvision.ops.FrozenBatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_equals_torchvision_with_folded_norms(name: str) -> None:
    theirs = torchvision_body(name)
    ours = build_backbone(BackboneSettings(name=name, frozen_stages=0))
    unused = fill(ours.body, theirs.state_dict(), source="test")
    assert unused == ("fc.weight", "fc.bias")
    images = torch.randn(2, 3, 64, 96)
    layers = {f"layer{number}": str(number) for number in range(1, 5)}
    wanted = torchvision.models._utils.IntermediateLayerGetter(theirs, layers)(images)
    for feature, want in zip(ours(images), wanted.values(), strict=True):
        torch.testing.assert_close(feature, want, rtol=1e-4, atol=1e-5)


def test_folding_gives_the_gradient_of_the_norm() -> None:
    """The same convolution with the norm applied after it, as if it were not frozen."""
    ours = build_backbone(BackboneSettings(name="resnet18", width=0.125, frozen_stages=0))
    norm = ours.body.layer1[0].bn1
    assert isinstance(norm, FrozenBatchNorm2d)
    norm.running_var.uniform_(0.5, 2)
    norm.weight.uniform_(0.5, 2)
    conv = ours.body.layer1[0].conv1
    x = torch.randn(1, 8, 12, 12)
    from lvistk.models.resnet import conv_norm

    conv_norm(conv, norm, x).square().sum().backward()
    folded = conv.weight.grad.clone()
    conv.weight.grad = None
    norm(conv(x)).square().sum().backward()
    torch.testing.assert_close(folded, conv.weight.grad, rtol=1e-4, atol=1e-4)


def test_frozen_stages_learn_nothing_and_stay_in_eval() -> None:
    body = build_backbone(
        BackboneSettings(name="resnet18", width=0.25, norm="bn", frozen_stages=3)
    ).train()
    frozen = {name for name, p in body.named_parameters() if not p.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"conv1", "bn1", "layer1", "layer2"}
    before = {name: value.clone() for name, value in body.named_buffers()}
    sum(feature.sum() for feature in body(torch.randn(2, 3, 64, 64))).backward()
    changed = {name for name, value in body.named_buffers() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(("body.layer3", "body.layer4")) for name in changed)


def test_activation_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        body = build_backbone(
            BackboneSettings(
                name="resnet18", width=0.25, norm="gn", activation_checkpointing=checkpointing
            )
        )
        torch.manual_seed(1)
        sum(feature.sum() for feature in body(torch.randn(1, 3, 64, 64))).backward()
        gradients.append([p.grad for p in body.parameters() if p.requires_grad])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["frozen_bn", "bn", "sync_bn", "gn"])
def test_every_norm_builds_at_a_narrow_width(norm: str) -> None:
    body = build_backbone(BackboneSettings(name="resnet50", width=0.25, norm=norm)).eval()
    shapes = [tuple(feature.shape) for feature in body(torch.randn(1, 3, 64, 96))]
    assert shapes == [(1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)]
    assert body.channels == (64, 128, 256, 512)
