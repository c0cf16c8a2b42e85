import torch
from torch.nn import functional as F

from lvistk.config.model import MaskHeadSettings
from lvistk.models.mask_head import MaskHead


def test_logits_equal_upsampling_and_all_channels() -> None:
    torch.manual_seed(0)
    head = MaskHead(6, MaskHeadSettings(channels=8), num_categories=5, takes_flow=False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    features = torch.randn(4, 8, 14, 14)
    labels = torch.tensor([0, 4, 2, 2])
    all_channels = F.conv2d(
        head.deconv(features).relu(), head.predictor.weight, head.predictor.bias
    )
    for layout in (torch.contiguous_format, torch.channels_last):
        got = head.logits(features.contiguous(memory_format=layout), labels)
        torch.testing.assert_close(got, all_channels[torch.arange(4), labels], rtol=1e-4, atol=1e-4)


def test_extra_convolutions_start_as_identities() -> None:
    torch.manual_seed(0)
    plain = MaskHead(6, MaskHeadSettings(channels=8), num_categories=5, takes_flow=False)
    deep = MaskHead(
        6, MaskHeadSettings(channels=8, extra_convs=3), num_categories=5, takes_flow=False
    )
    deep.load_state_dict(plain.state_dict(), strict=False)
    pooled = torch.randn(3, 6, 14, 14)
    torch.testing.assert_close(deep.features(pooled, None), plain.features(pooled, None))
