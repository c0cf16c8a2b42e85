"""Box heads: one category's deltas among all, and what a cascade averages over its stages."""

import pytest
import torch
from torch import Tensor

from tests.models.build_small import CASCADE, small_model, some_batch


def test_deltas_of_a_category_are_its_rows_of_all() -> None:
    head = small_model().roi_heads.box_heads[0]
    for parameter in head.regression.parameters():
        torch.nn.init.normal_(parameter)
    hidden, labels = torch.randn(9, 32), torch.arange(9) % 7
    expected = head.all_deltas(hidden)[torch.arange(9), labels]
    torch.testing.assert_close(head.deltas_of(hidden, labels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("average", ["logits", "scores"])
def test_stages_are_averaged_as_logits_or_as_scores(average: str) -> None:
    changes = {"cascade": {"average": average}, "classifier": {"kind": "softmax"}}
    model = small_model(CASCADE, changes).eval()
    seen: list[Tensor] = []
    for head in model.roi_heads.box_heads:
        torch.nn.init.normal_(head.classifier.linear.weight, std=3.0)
        head.classifier.linear.register_forward_hook(lambda *call: seen.append(call[2]))
    (scores,) = model.detect_boxes(some_batch((96, 128))).scores
    logits = torch.stack(seen)  # (stages, N, C + 1)
    assert len(logits) == 3
    of_scores = logits.softmax(dim=2).mean(dim=0)[:, :-1]
    of_logits = logits.mean(dim=0).softmax(dim=1)[:, :-1]
    assert (of_scores - of_logits).abs().max() > 0.01
    torch.testing.assert_close(scores, of_scores if average == "scores" else of_logits)
