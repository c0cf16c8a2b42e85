"""The optimiser: which parameters decay, and the rate that goes with the batch."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer

from lvistk.config.train import OptimSettings
from lvistk.errors import UserError
from lvistk.models.deform_conv import offset_names

FACTOR = "lr_factor"
"""Of a group: what ``set_rate`` multiplies the rate by."""
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def build_optimizer(model: nn.Module, settings: OptimSettings) -> Optimizer:
    """SGD or AdamW over the parameters of ``model`` that require a gradient.

    On a CPU AdamW takes torch's fused kernel, one pass over each parameter where the default makes
    eight; on a GPU the default already takes all parameters at once.
    Parameters of normalisation layers decay by ``norm_weight_decay``, all others (biases too, as in
    detectron2) by ``weight_decay``. Where ``offset_lr_factor`` is not 1, the offsets of deformable
    convolutions are a group of their own. Raises ``UserError`` when nothing is left to train, or there
    are no such offsets.
    """
    norms, others = split_norm_parameters(model)
    groups = [
        {"params": others, "weight_decay": settings.weight_decay},
        {"params": norms, "weight_decay": settings.norm_weight_decay},
    ]
    if settings.offset_lr_factor != 1:
        offsets = _offset_parameters(model)
        groups[0]["params"] = [p for p in others if p not in offsets]
        own = {"params": [p for p in others if p in offsets], FACTOR: settings.offset_lr_factor}
        groups.append({**groups[0], **own})
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise UserError("everything is frozen: no parameter is left to train; shorten 'freeze'")
    if settings.kind == "adamw":
        on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        return AdamW(groups, lr=settings.lr, fused=True if on_cpu else None)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum)


def _offset_parameters(model: nn.Module) -> set[nn.Parameter]:
    names = offset_names(model)
    if not names:
        raise UserError(
            "optim.offset_lr_factor: the model has no deformable convolution; set "
            "model.backbone.deform, or leave the factor out"
        )
    return {p for name, p in model.named_parameters() if name in names}


def split_norm_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters of normalisation layers, and all other trainable ones."""
    norms: dict[nn.Parameter, None] = {}
    for module in model.modules():
        if isinstance(module, NORMS):
            norms.update(dict.fromkeys(module.parameters(recurse=False)))
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [p for p in trainable if p in norms], [p for p in trainable if p not in norms]


def base_rate(settings: OptimSettings, *, batch_size: int) -> float:
    """The rate for ``batch_size`` images per step, scaled linearly from ``lr_batch`` (0: as it is)."""
    return settings.lr * (batch_size / settings.lr_batch if settings.lr_batch else 1.0)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)
