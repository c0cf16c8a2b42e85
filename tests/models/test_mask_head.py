import torch
from torch.nn import functional as F

from lvistk.config.model import MaskHeadSettings
from lvistk.models.mask_head import MaskHead
from lvistk.models.mask_stage import RECOMPUTED_ROIS, recomputed
from lvistk.models.upsampled_prediction import ROIS_AT_ONCE


def test_logits_equal_upsampling_and_all_channels() -> None:
    torch.manual_seed(0)
    head = MaskHead(6, MaskHeadSettings(channels=8), num_categories=5, takes_flow=False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    number = 2 * ROIS_AT_ONCE + 3
    features = torch.randn(number, 8, 14, 14)
    labels = torch.randint(0, 5, (number,))
    all_channels = F.conv2d(
        head.deconv(features).relu(), head.predictor.weight, head.predictor.bias
    )
    for layout in (torch.contiguous_format, torch.channels_last):
        got = head.logits(features.contiguous(memory_format=layout), labels)
        torch.testing.assert_close(
            got, all_channels[torch.arange(number), labels], rtol=1e-4, atol=1e-4
        )


def test_extra_convolutions_start_as_identities() -> None:
    torch.manual_seed(0)
    plain = MaskHead(6, MaskHeadSettings(channels=8), num_categories=5, takes_flow=False)
    deep = MaskHead(
        6, MaskHeadSettings(channels=8, extra_convs=3), num_categories=5, takes_flow=False
    )
    deep.load_state_dict(plain.state_dict(), strict=False)
    pooled = torch.randn(3, 6, 14, 14)
    torch.testing.assert_close(deep.features(pooled, None), plain.features(pooled, None))


def test_what_is_computed_twice_is_the_same() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, requires_grad=True)
    first = torch.randn(2 * RECOMPUTED_ROIS + 3, 6, requires_grad=True)
    second = torch.randn(len(first))

    def part(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * weight).tanh().sum(dim=1) * b

    found, wanted = recomputed(part, first, second), part(first, second)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(v.square().sum(), (weight, first)) for v in (found, wanted)]
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(recomputed(part, first, second), wanted)
    assert recomputed(part, first[:0], second[:0]).shape == (0,)
