"""Backbones: an image into feature maps of stride 4, 8, 16 and 32."""

from torch import Tensor, nn

from lvistk.config.load import nearest
from lvistk.config.model import BackboneSettings
from lvistk.errors import UserError
from lvistk.models import resnet, timm_backbone
from lvistk.models.deform_conv import convert_convolutions
from lvistk.models.norm_layer import norm_layer


class Backbone(nn.Module):
    """A network's body and which of its leading parts don't learn.

    body: called with images, gives four maps; ``channels`` are their widths. stages: modules of the
    stem, then of res2 to res5. Frozen stages have no gradient and stay in eval mode.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        channels: tuple[int, ...],
        stages: list[list[nn.Module]],
        frozen_stages: int,
    ) -> None:
        super().__init__()
        self.body = body
        self.channels = channels
        self._frozen = [module for stage in stages[:frozen_stages] for module in stage]
        for module in self._frozen:
            module.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """C2 to C5, (B, channels[l], H / s, W / s), of images (B, 3, H, W).

        Errors: ``UserError`` where batch norm has a single value per channel to learn from.
        """
        try:
            return self.body(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                "backbone.norm = 'bn': this network averages one value per image, and there is one "
                "image; set backbone.norm=frozen_bn, or 2 or more images per device (loop.batch_size)"
            ) from None

    @property
    def network(self) -> nn.Module:
        """The library's own network, under whose parameter names pretrained weights come."""
        return self.body.net if isinstance(self.body, timm_backbone.TimmBody) else self.body

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def build_backbone(settings: BackboneSettings) -> Backbone:
    """The backbone of the settings with random weights; no file is read, not even ``settings.weights``.

    Deformable convolutions start as the rigid ones. Errors: ``UserError`` for an unknown name, or where
    timm is not installed.
    """
    match settings.library:
        case "torchvision":
            body, channels, stages = _build_resnet(settings)
        case "timm":
            body = timm_backbone.build(settings)
            channels = body.channels
            needed = settings.frozen_stages or settings.deform != "none"
            stages = body.stages() if needed else []
    if settings.deform != "none":
        chosen = (module for stage in settings.deform_stages for module in stages[stage - 1])
        if not convert_convolutions(chosen, version=settings.deform):
            raise UserError(
                f"backbone.deform = '{settings.deform}': {settings.name} has no 3x3 convolution in "
                f"stages {', '.join(map(str, settings.deform_stages))}"
            )
    return Backbone(body, channels=channels, stages=stages, frozen_stages=settings.frozen_stages)


def _build_resnet(
    settings: BackboneSettings,
) -> tuple[resnet.ResNet, tuple[int, ...], list[list[nn.Module]]]:
    if settings.name not in resnet.ARCHITECTURES:
        raise UserError(
            f"backbone.name = '{settings.name}': unknown with library 'torchvision'"
            f"{nearest(settings.name, resnet.ARCHITECTURES)}"
        )
    if settings.stride_in_1x1 and resnet.ARCHITECTURES[settings.name].block is resnet.BasicBlock:
        raise UserError(
            f"backbone.stride_in_1x1: {settings.name} has no 1x1 convolutions in its blocks"
        )
    body = resnet.ResNet(
        resnet.ARCHITECTURES[settings.name],
        norm=norm_layer(settings.norm),
        width=settings.width,
        stride_in_1x1=settings.stride_in_1x1,
        activation_checkpointing=settings.activation_checkpointing,
    )
    return body, body.channels, body.stages()
