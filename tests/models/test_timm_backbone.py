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


@pytest.mark.parametrize("name", ["resnest14d", "tf_efficientnet_lite0"])
def test_frozen_norms_keep_half_precision(name: str) -> None:
    body, kept = built(name, checkpointing=False), []

    def pack(value: Tensor) -> Tensor:
        if value.dim() == 4 and value.shape[0] == 2:  # of two images
            kept.append(value.dtype)
        return value

    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value),
    ):
        features = body(torch.randn(2, 3, 64, 64))
    assert {feature.dtype for feature in features} == {torch.bfloat16}
    assert len(kept) > 20 and {*kept} == {torch.bfloat16}


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_statistics_of_batch_norm_move_once(library: str) -> None:
    """Checkpointing computes blocks twice, and may not learn their statistics twice."""
    moved = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        settings = BackboneSettings(
            library="timm" if library == "timm" else "torchvision",
            name="resnest14d" if library == "timm" else "resnet18",
            norm="bn",
            frozen_stages=0,
            activation_checkpointing=checkpointing,
        )
        body = build_backbone(settings).train()
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        sum(f.square().mean() for f in body(images)).backward()
        moved.append({n: b for n, b in body.named_buffers() if "running" in n or "num_" in n})
    assert len(moved[0]) > 20
    for name, value in moved[0].items():
        torch.testing.assert_close(moved[1][name], value, msg=name)


def test_one_image_and_trainable_batch_norm_of_pooled_values() -> None:
    settings = BackboneSettings(library="timm", name="resnest14d", norm="bn", frozen_stages=0)
    body = build_backbone(settings).train()
    with pytest.raises(UserError, match=r"backbone.norm = 'bn': .*set backbone.norm=frozen_bn"):
        body(torch.randn(1, 3, 64, 64))


def test_names_of_weights_stay() -> None:
    bodies = [built("resnest14d", checkpointing=kind).state_dict() for kind in (False, True)]
    assert list(bodies[0]) == list(bodies[1])


def test_a_network_without_rows_of_blocks() -> None:
    message = r"activation_checkpointing: vgg11 has no row of blocks"
    with torch.device("meta"), pytest.raises(UserError, match=message):
        built("vgg11", checkpointing=True)


ANY_SIZE = [
    "convnext_atto",
    "convnextv2_atto",
    "efficientnet_b0",
    "tf_efficientnetv2_b0",
    "tf_efficientnet_lite0",
    "resnest14d",
    "regnety_002",
    "pvt_v2_b0",
    "edgenext_xx_small",
    "mobilevit_xxs",
    "fastvit_t8",
    "davit_tiny",
    "focalnet_tiny_srf",
    "nextvit_small",
    "tiny_vit_5m_224",
    "repvit_m0_9",
    "densenet121",
    "vgg11_bn",
    "mambaout_femto",
    "efficientvit_b0",
    "swiftformer_xs",
    "inception_next_atto",
    "poolformer_s12",
    "caformer_s18",
    "convformer_s18",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "ghostnet_050",
    "resnetv2_50",
    "res2net50_26w_4s",
    "rexnet_100",
    "selecsls42",
    "skresnet18",
    "hgnetv2_b0",
    "starnet_s1",
    "cspresnet50",
    "darknet53",
    "ese_vovnet19b_dw",
    "lambda_resnet26t",
    "rdnet_tiny",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
]
WITHOUT_STAGES = ["hrnet_w18_small", "twins_pcpvt_small", "xception41"]
"""Their modules are not stages in order, so that none can be frozen."""
ONE_SIZE = [
    "maxvit_nano_rw_256",
    "maxxvit_rmlp_nano_rw_256",
    "hiera_tiny_224",
    "coatnet_nano_rw_224",
    "gcvit_xxtiny",
    "botnet26t_256",
    "halonet26t",
    "mobilevitv2_050",
    "mvitv2_tiny",
]
OTHER_STRIDES = ["vit_tiny_patch16_224", "volo_d1_224", "efficientvit_m0", "nest_tiny", "dla34"]


def check_sizes(name: str, *, frozen_stages: int = 1) -> None:
    """Built as a user builds it, and run at two odd sizes; 384 px is also where Swin's first map is as
    high as it has channels."""
    torch.manual_seed(0)
    settings = BackboneSettings(library="timm", name=name, frozen_stages=frozen_stages)
    body = build_backbone(settings).eval()
    for height, width in ((96, 160), (384, 32)):
        with torch.no_grad():
            maps = body(torch.randn(1, 3, height, width))
        sizes = [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
        assert [tuple(m.shape[2:]) for m in maps] == sizes
        assert tuple(m.shape[1] for m in maps) == body.channels
        assert all(m.isfinite().all() for m in maps)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "resnest14d", "convnext_atto"])
def test_networks_take_images_of_any_size(name: str) -> None:
    check_sizes(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY_SIZE)
def test_more_networks_take_images_of_any_size(name: str) -> None:
    check_sizes(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_STAGES)
def test_networks_without_stages_in_order(name: str) -> None:
    check_sizes(name, frozen_stages=0)
    with pytest.raises(UserError, match=r"not its stages in order; set frozen_stages=0"):
        build_backbone(BackboneSettings(library="timm", name=name, frozen_stages=1))


@pytest.mark.parametrize(
    "name",
    [
        *ONE_SIZE[:1],
        *(pytest.param(name, marks=pytest.mark.slow) for name in ONE_SIZE[1:]),
    ],
)
def test_networks_of_one_image_size_are_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=f"'{name}': this network does not take images of every size"
    ):
        build_backbone(BackboneSettings(library="timm", name=name))


@pytest.mark.parametrize("name", OTHER_STRIDES[:1])
def test_networks_without_a_pyramid_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"no feature maps of stride 4, 8, 16 and 32"):
        build_backbone(BackboneSettings(library="timm", name=name))
