"""Convolutions by Winograd's filtering against torch's own."""

import pytest
import torch
from torch import nn

from lvistk.models import winograd
from lvistk.models.winograd import LARGE, SMALL, Form, convolved, fewer_multiplications


@pytest.mark.parametrize("form", [SMALL, LARGE])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (14, 14), (25, 34), (61, 7)])
@pytest.mark.parametrize("number", [1, 3, 70])
def test_equals_the_plain_convolution(form: Form, shape: tuple[int, int], number: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3, 3, padding=1).double()
    x = torch.randn(number, 5, *shape, dtype=torch.float64)
    with torch.inference_mode():
        weights = winograd.transformed_weights(conv.weight, form)
        torch.testing.assert_close(convolved(x, weights, conv.bias, form), conv(x))
        without = convolved(x, weights, None, form) + conv.get_parameter("bias")[:, None, None]
        torch.testing.assert_close(without, conv(x))


def test_a_map_of_many_parts_and_any_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", 8)
    conv = nn.Conv2d(4, 6, 3, padding=1).double()
    x = torch.randn(2, 31, 27, 4, dtype=torch.float64).permute(0, 3, 1, 2)
    with torch.inference_mode():
        for form in (SMALL, LARGE):
            weights = winograd.transformed_weights(conv.weight, form)
            torch.testing.assert_close(convolved(x, weights, conv.bias, form), conv(x))


@pytest.mark.parametrize("size", [(14, 14), (40, 30)])
def test_rounding_is_that_of_single_precision(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 256, 3, padding=1)
    x = torch.randn(8, 256, *size)
    with torch.inference_mode():
        wanted = nn.functional.conv2d(x.double(), conv.weight.double(), None, padding=1)
        wanted = wanted + conv.get_parameter("bias").double()[:, None, None]
        with fewer_multiplications(conv):
            found = conv(x)
    assert (found - wanted).abs().max() < 1e-4 * wanted.std()


def test_only_where_it_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []

    def noted(x: torch.Tensor, *given) -> torch.Tensor:
        taken.append(tuple(x.shape))
        return convolved(x, *given)

    monkeypatch.setattr(winograd, "convolved", noted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    wide, narrow = nn.Conv2d(256, 256, 3, padding=1), nn.Conv2d(64, 256, 3, padding=1)
    others = [nn.Conv2d(256, 256, 3, 2, 1), nn.Conv2d(256, 256, 1), nn.Conv2d(256, 256, 3)]
    model = nn.ModuleList([wide, narrow, *others])
    x = torch.randn(3, 256, 14, 14)
    with fewer_multiplications(model):
        wide(x)  # asks for a gradient
        with torch.inference_mode():
            wide(x)
            wide(x[:1])
            narrow(x[:, :64])
            wide.double()(x.double())
            wide.float()
            for conv in others:
                conv(x)
            with torch.autocast("cpu", torch.bfloat16):
                assert wide(x).dtype == torch.bfloat16
    with torch.inference_mode():
        wide(x)
    assert taken == [(3, 256, 14, 14)]
    assert all("forward" not in vars(conv) for conv in model)


def test_runs_of_one_model_may_overlap() -> None:
    model = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1))
    first, second = fewer_multiplications(model), fewer_multiplications(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert "forward" not in vars(model[0])
