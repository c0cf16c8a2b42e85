"""The training path on a CUDA device: the CPU's numbers, and no wait for the device."""

import pytest
import torch
from torch import Tensor

from lvistk.losses.federated import sample_categories
from lvistk.losses.group_softmax import sample_others
from lvistk.models.deform_roi_pool import DeformRoIPool
from lvistk.models.gathered_conv import GatheredConv2d
from tests.losses.test_every_loss import DENSE, TABLE, C, case

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


# Cases that make their constants on the CPU in each call would wait; the losses they call are the same.
@pytest.mark.parametrize("name", ["softmax", *DENSE])
def test_losses_agree_with_the_cpu_and_do_not_wait(name: str) -> None:
    loss, logits, targets = case(name, 64)
    expected = loss(logits, targets)
    logits, targets = logits.cuda().requires_grad_(), targets.cuda()
    normalizer = torch.tensor(64.0 if name != "mask_iou" else float(targets.sum()), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = loss(logits, targets, normalizer=normalizer)
        result.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected)


def test_sampling_does_not_wait() -> None:
    labels = torch.randint(C + 1, (512,), device="cuda")
    counts = torch.arange(C, device="cuda")
    generator = torch.Generator("cuda").manual_seed(0)
    TABLE.slots(labels.device)  # copied to the device once
    torch.cuda.set_sync_debug_mode("error")
    try:
        kept = sample_others(labels, table=TABLE, generator=generator)
        chosen = sample_categories(labels, image_counts=counts, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert kept[0].all() and chosen.any()


@pytest.mark.parametrize("modulated", [False, True])
def test_deformable_pooling_agrees_with_the_cpu(modulated: bool) -> None:
    torch.manual_seed(0)
    pool = DeformRoIPool(8, 14, strides=(4, 8), modulated=modulated, hidden=16)
    torch.nn.init.normal_(pool.offsets[-1].weight, std=0.5)
    features = [torch.randn(2, 8, 40, 40), torch.randn(2, 8, 20, 20)]
    corners = 120 * torch.rand(32, 2)
    rois = torch.cat([torch.randint(2, (32, 1)), corners, corners + 40 * torch.rand(32, 2)], dim=1)
    levels = torch.randint(2, (32,))

    def run(device: str) -> list[Tensor]:
        maps = [f.to(device).requires_grad_() for f in features]
        pool.to(device).zero_grad()
        out = pool(maps, rois.to(device), levels.to(device))
        out.square().mean().backward()
        return [
            x.cpu() for x in (out.detach(), *(f.grad for f in maps), pool.offsets[1].weight.grad)
        ]

    # float32 sums in another order, through three layers
    torch.testing.assert_close(run("cuda"), run("cpu"), rtol=1e-3, atol=1e-5)


def test_the_gathered_predictor_agrees_with_the_cpu() -> None:
    torch.manual_seed(0)
    predictor = GatheredConv2d(16, 9)
    features, labels = torch.randn(20, 16, 7, 7), torch.randint(9, (20,))
    expected = predictor(features, labels)
    result = predictor.cuda()(features.cuda(), labels.cuda())
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-3, atol=1e-5)
