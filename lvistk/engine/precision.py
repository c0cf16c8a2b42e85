"""Mixed precision: the autocast region of the forward pass and the scale of fp16 gradients."""

import contextlib
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]


def autocast(
    precision: Precision, *, device: torch.device
) -> contextlib.AbstractContextManager[Any]:
    """Region in which matrix products and convolutions run in half precision (fp32: nothing)."""
    if precision == "fp32":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def gradient_scaler(precision: Precision, *, device: torch.device) -> torch.amp.GradScaler:
    """Scales losses so that fp16 gradients do not vanish; passes them through otherwise."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
