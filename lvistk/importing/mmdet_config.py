"""The configuration that mmdetection leaves in its checkpoints, read as data, as settings of ours."""

import ast
from collections.abc import Mapping
from typing import Any

from lvistk.errors import UserError
from lvistk.importing.inferred_settings import Style, merged

Config = Mapping[str, Any]
_UNKNOWN = object()
DEFAULT_TEMPERATURE = 20.0


def read_config(text: str) -> dict[str, Any]:
    """The names that a configuration file gives values to; nothing of it is run.

    Numbers, strings, lists, tables and ``dict(...)`` of these are read, whatever else is left out. Text
    that is no Python gives an empty table.
    """
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    names: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = _value(statement.value, names)
            if value is not _UNKNOWN:
                names[statement.targets[0].id] = value
    return names


def _value(node: ast.expr, names: Config) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, _UNKNOWN)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, names)
            return -value if isinstance(value, int | float) else _UNKNOWN
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [_value(item, names) for item in items]
            return [value for value in values if value is not _UNKNOWN]
        case ast.Dict(keys=keys, values=values):
            pairs = [(k.value, v) for k, v in zip(keys, values, strict=True) if _is_text(k)]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]  # _is_text
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            pairs = [(word.arg, word.value) for word in keywords if word.arg]
        case _:
            return _UNKNOWN
    table = {key: _value(value, names) for key, value in pairs}
    return {key: value for key, value in table.items() if value is not _UNKNOWN}


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def input_style(config: Config) -> Style | None:
    """How the backbone wants its input; none where the configuration does not say."""
    pixels = _pixels(config)
    if "mean" not in pixels:
        return None
    if pixels.get("bgr_to_rgb", pixels.get("to_rgb", False)):
        return "pytorch"
    return "caffe" if _table(_table(config, "model"), "backbone").get("style") == "caffe" else "bgr"


def config_settings(config: Config) -> dict[str, Any]:
    """A table of our model settings, of what the configuration says; an empty one says nothing."""
    model = _table(config, "model")
    heads = _table(model, "roi_head")
    box_heads = [head for head in _list(heads.get("bbox_head")) if isinstance(head, Mapping)]
    mask_heads = [head for head in _list(heads.get("mask_head")) if isinstance(head, Mapping)]
    table: dict[str, Any] = {}
    pixels = _pixels(config)
    if "mean" in pixels and "std" in pixels:
        turn = 1 if input_style(config) == "pytorch" else -1
        table |= {"image_mean": pixels["mean"][::turn], "image_std": pixels["std"][::turn]}
    style = _table(model, "backbone").get("style")
    if style is not None:
        table["backbone"] = {"stride_in_1x1": style == "caffe"}
    if box_heads:
        stds = [_list(_table(head, "bbox_coder").get("target_stds")) for head in box_heads]
        if all(stds):
            table["cascade"] = {"box_weights": [[1 / value for value in row] for row in stds]}
        loss = _table(box_heads[0], "loss_bbox")
        table["box"] = _smooth_l1(loss)
        table["classifier"] = _temperature(
            _table(box_heads[0], "cls_predictor_cfg"), "NormedLinear"
        )
        seesaw = _table(box_heads[0], "loss_cls")
        if seesaw.get("type") == "SeesawLoss":
            table["classifier"] |= {
                f"seesaw_{name}": float(seesaw[name]) for name in ("p", "q") if name in seesaw
            }
    if mask_heads:
        table["mask"] = _temperature(_table(mask_heads[0], "predictor_cfg"), "NormedConv2d")
    if len(box_heads) > 1 and "stage_loss_weights" in heads:
        weights = [float(weight) for weight in heads["stage_loss_weights"]]
        table = merged(table, {"cascade": {"loss_weights": weights}})
    table["rpn"] = _smooth_l1(_table(_table(model, "rpn_head"), "loss_bbox"))
    return merged(table, _test_settings(_table(model, "test_cfg")))


def _test_settings(test: Config) -> dict[str, Any]:
    rcnn, rpn = _table(test, "rcnn"), _table(test, "rpn")
    found = (
        ("detection", "score_threshold", rcnn.get("score_thr")),
        ("detection", "max_detections", rcnn.get("max_per_img")),
        ("detection", "nms_iou", _table(rcnn, "nms").get("iou_threshold")),
        ("rpn", "pre_nms_test", rpn.get("nms_pre")),
        ("rpn", "post_nms_test", rpn.get("max_per_img")),
        ("rpn", "nms_iou", _table(rpn, "nms").get("iou_threshold")),
    )
    table: dict[str, Any] = {}
    for room, name, value in found:
        if value is not None:
            table.setdefault(room, {})[name] = value
    return table


def _smooth_l1(loss: Config) -> dict[str, Any]:
    match loss.get("type"):
        case "L1Loss":
            return {"smooth_l1_beta": 0.0}
        case "SmoothL1Loss":
            return {"smooth_l1_beta": float(loss.get("beta", 1.0))}
    return {}


def _temperature(predictor: Config, normed: str) -> dict[str, Any]:
    """``normed``: the layer that compares directions; mmdetection misspells its temperature."""
    if predictor.get("type") != normed:
        return {"normed_temperature": 0.0}
    if float(predictor.get("power", 1.0)) != 1.0:
        raise UserError(f"{normed} with power {predictor['power']} is none of our layers")
    return {"normed_temperature": float(predictor.get("tempearture", DEFAULT_TEMPERATURE))}


def _pixels(config: Config) -> Config:
    """mmdetection 3 says it in the model, version 2 beside it."""
    return _table(_table(config, "model"), "data_preprocessor") or _table(config, "img_norm_cfg")


def _table(config: Config, name: str) -> Config:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
