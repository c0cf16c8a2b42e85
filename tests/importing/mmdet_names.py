"""Parameter names and shapes of mmdetection's models, as its modules (3.3.0) and mmcv's make them."""

Shapes = dict[str, tuple[int, ...]]

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def detector(
    *,
    depth: int = 50,
    groups: int = 1,
    classes: int = 1203,
    stages: int = 1,
    mask_stages: int = 1,
    htc: bool = False,
    seesaw: bool = False,
    deform_channels: int = 0,
) -> Shapes:
    """All names of a detector. groups: of a ResNeXt of width 4 per group. deform_channels: of the offsets
    in c3 to c5."""
    shapes = backbone(depth, groups, deform_channels)
    for level, channels in enumerate((256, 512, 1024, 2048)):
        shapes |= conv(f"neck.lateral_convs.{level}.conv", 256, channels, 1)
        shapes |= conv(f"neck.fpn_convs.{level}.conv", 256, 256, 3)
    shapes |= conv("rpn_head.rpn_conv", 256, 256, 3)
    shapes |= conv("rpn_head.rpn_cls", 3, 256, 1) | conv("rpn_head.rpn_reg", 12, 256, 1)
    for stage in range(stages):
        place = "roi_head.bbox_head" + (f".{stage}" if stages > 1 else "")
        shapes |= box_head(place, classes, agnostic=stages > 1, seesaw=seesaw)
    for stage in range(mask_stages):
        place = "roi_head.mask_head" + (f".{stage}" if mask_stages > 1 else "")
        shapes |= mask_head(place, classes, flow=htc and stage > 0)
    return shapes


def backbone(depth: int, groups: int, deform_channels: int) -> Shapes:
    shapes: Shapes = {"backbone.conv1.weight": (64, 3, 7, 7)} | norm("backbone.bn1", 64)
    channels = 64
    for layer, blocks in enumerate(DEPTHS[depth], start=1):
        planes = 64 * 2 ** (layer - 1)
        inner = planes if groups == 1 else planes * 4 * groups // 64
        for block in range(blocks):
            place = f"backbone.layer{layer}.{block}"
            sizes = (
                (inner, channels, 1, 1),
                (inner, inner // groups, 3, 3),
                (4 * planes, inner, 1, 1),
            )
            for number, size in enumerate(sizes, start=1):
                shapes[f"{place}.conv{number}.weight"] = size
                shapes |= norm(f"{place}.bn{number}", size[0])
            if deform_channels and layer > 1:
                shapes |= conv(f"{place}.conv2.conv_offset", deform_channels, inner, 3)
            if block == 0:
                shapes[f"{place}.downsample.0.weight"] = (4 * planes, channels, 1, 1)
                shapes |= norm(f"{place}.downsample.1", 4 * planes)
            channels = 4 * planes
    return shapes


def box_head(place: str, classes: int, *, agnostic: bool, seesaw: bool) -> Shapes:
    shapes = linear(f"{place}.shared_fcs.0", 1024, 256 * 49)
    shapes |= linear(f"{place}.shared_fcs.1", 1024, 1024)
    shapes |= linear(f"{place}.fc_cls", classes + (2 if seesaw else 1), 1024)
    shapes |= linear(f"{place}.fc_reg", 4 if agnostic else 4 * classes, 1024)
    if seesaw:
        shapes[f"{place}.loss_cls.cum_samples"] = (classes + 1,)
    return shapes


def mask_head(place: str, classes: int, *, flow: bool) -> Shapes:
    shapes: Shapes = {}
    for number in range(4):
        shapes |= conv(f"{place}.convs.{number}.conv", 256, 256, 3)
    if flow:
        shapes |= conv(f"{place}.conv_res.conv", 256, 256, 1)
    return (
        shapes
        | conv(f"{place}.upsample", 256, 256, 2)
        | conv(f"{place}.conv_logits", classes, 256, 1)
    )


def norm(place: str, channels: int) -> Shapes:
    fields = ("weight", "bias", "running_mean", "running_var")
    shapes: Shapes = {f"{place}.{field}": (channels,) for field in fields}
    return shapes | {f"{place}.num_batches_tracked": ()}


def conv(place: str, channels: int, inputs: int, size: int) -> Shapes:
    return {f"{place}.weight": (channels, inputs, size, size), f"{place}.bias": (channels,)}


def linear(place: str, channels: int, inputs: int) -> Shapes:
    return {f"{place}.weight": (channels, inputs), f"{place}.bias": (channels,)}
