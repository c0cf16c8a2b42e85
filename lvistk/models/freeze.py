"""Parts of a model that training leaves exactly as they are."""

from collections.abc import Sequence

from torch import nn

from lvistk.config.load import nearest
from lvistk.errors import UserError
from lvistk.models.box_head import BoxHead
from lvistk.models.mask_rcnn import MaskRCNN


def freeze(model: MaskRCNN, parts: Sequence[str]) -> list[nn.Module]:
    """Take the gradient from the named parts; the loop must keep the returned modules in eval mode.

    A part whose inputs need no gradient either then builds no graph, so it costs no gradient memory.
    Eval mode keeps running statistics and the history of classifiers.

    parts: backbone, neck, rpn; box_head (the box heads with their pooling), or of it box_features
        (pooling and shared layers), box_regression, classifier; mask (all of the mask branch).

    Errors: ``UserError`` for a name that is none of these.
    """
    modules = model_parts(model)
    for name in parts:
        if name not in modules:
            raise UserError(f"freeze: '{name}' is no part of the model{nearest(name, modules)}")
    frozen = [module for name in parts for module in modules[name]]
    for module in frozen:
        module.requires_grad_(False)
        module.eval()
    return frozen


def model_parts(model: MaskRCNN) -> dict[str, list[nn.Module]]:
    """The modules of every name that ``freeze`` knows."""
    roi_heads = model.roi_heads
    heads = [head for head in roi_heads.box_heads if isinstance(head, BoxHead)]
    box_parts: dict[str, list[nn.Module]] = {
        "box_features": [roi_heads.box_poolers, *(head.fc for head in heads)],
        "box_regression": [head.regression for head in heads],
        "classifier": [head.get_submodule("classifier") for head in heads],
    }
    return {
        "backbone": [model.backbone],
        "neck": [model.neck],
        "rpn": [model.rpn],
        "box_head": [module for modules in box_parts.values() for module in modules],
        **box_parts,
        "mask": [] if roi_heads.mask is None else [roi_heads.mask],
    }
