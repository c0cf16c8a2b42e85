"""Batch norm with fixed statistics and scale."""

from typing import Any

import torch
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.Module):
    """y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, all buffers.

    Buffers are named as in torch's batch norm, whose weights load as they are. Computed in the
    precision of x: under autocast a float32 scale would turn all that follows to float32.

    after: applied to the result, such as the activation that timm's norms hold.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, after: nn.Module | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.after = after
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(channels,) each: y = x * scale + shift."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift()
        x = x * scale[:, None, None].to(x.dtype) + shift[:, None, None].to(x.dtype)
        return x if self.after is None else self.after(x)

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:  # torch's own hook
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def with_frozen_norms(net: nn.Module) -> nn.Module:
    """A timm network whose batch norms, with the activations that some hold, are replaced by ours."""
    from timm.layers.norm_act import freeze_batch_norm_2d

    frozen = freeze_batch_norm_2d(net)
    assert isinstance(frozen, nn.Module)
    for parent in list(frozen.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in ("FrozenBatchNorm2d", "FrozenBatchNormAct2d"):
                setattr(parent, name, _own_norm(child))
    return frozen


def _own_norm(norm: Any) -> FrozenBatchNorm2d:
    """``norm`` is torchvision's frozen norm, or timm's, which drops and activates afterwards."""
    after = nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else None
    own = FrozenBatchNorm2d(len(norm.weight), eps=norm.eps, after=after)
    own.load_state_dict(norm.state_dict())
    return own
