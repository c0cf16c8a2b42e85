"""The configuration that mmdetection leaves in its checkpoints, read as data, as settings of ours."""

import ast
import warnings
from collections.abc import Mapping
from typing import Any

from lvistk.config.load import merge
from lvistk.errors import UserError
from lvistk.importing.inferred_settings import Style

Config = Mapping[str, Any]
_UNKNOWN = object()
DEFAULT_TEMPERATURE = 20.0
MAX_TEXT = 1 << 20
"""Characters; the longest of the model zoo has some 20,000."""
MAX_NESTING = 100
LARGEST = 1e9
"""No number of such a configuration is as large."""


def read_config(text: str) -> dict[str, Any]:
    """The names that a configuration file gives values to; nothing of it is run.

    Numbers, strings, lists, tables and ``dict(...)`` of these are read, whatever else is left out. Text
    that is no Python, longer than ``MAX_TEXT`` or nested deeper than ``MAX_NESTING`` gives an empty table.
    """
    if len(text) > MAX_TEXT or _nesting(text) > MAX_NESTING:
        return {}
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's remarks on somebody else's text
            return _assigned(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return {}


def _nesting(text: str) -> int:
    """How many brackets are open at once, at most; those in strings count too."""
    depth = deepest = 0
    for letter in text:
        if letter in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in ")]}":
            depth -= 1
    return deepest


def _assigned(body: list[ast.stmt]) -> dict[str, Any]:
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
        mean, std = (_numbers(pixels[name], name, count=3) for name in ("mean", "std"))
        table |= {"image_mean": mean[::turn], "image_std": std[::turn]}
    style = _table(model, "backbone").get("style")
    if style is not None:
        table["backbone"] = {"stride_in_1x1": style == "caffe"}
    if box_heads:
        stds = [_table(head, "bbox_coder").get("target_stds") for head in box_heads]
        if all(stds):
            table["cascade"] = {"box_weights": [_reciprocals(row) for row in stds]}
        loss = _table(box_heads[0], "loss_bbox")
        table["box"] = _smooth_l1(loss)
        table["classifier"] = _temperature(
            _table(box_heads[0], "cls_predictor_cfg"), "NormedLinear"
        )
        seesaw = _table(box_heads[0], "loss_cls")
        if seesaw.get("type") == "SeesawLoss":
            given = [name for name in ("p", "q") if name in seesaw]
            table["classifier"] |= {"seesaw": {n: _number(seesaw[n], n) for n in given}}
    if mask_heads:
        table["mask"] = _temperature(_table(mask_heads[0], "predictor_cfg"), "NormedConv2d")
    if len(box_heads) > 1 and "stage_loss_weights" in heads:
        given = heads["stage_loss_weights"]
        weights = _numbers(given, "stage_loss_weights", count=len(box_heads))
        table = merge(table, {"cascade": {"loss_weights": weights}})
    table["rpn"] = _smooth_l1(_table(_table(model, "rpn_head"), "loss_bbox"))
    return merge(table, _test_settings(_table(model, "test_cfg")))


def _test_settings(test: Config) -> dict[str, Any]:
    rcnn, rpn = _table(test, "rcnn"), _table(test, "rpn")
    values = (
        ("detection", "score_threshold", rcnn.get("score_thr")),
        ("detection", "max_detections", rcnn.get("max_per_img")),
        ("detection", "nms_iou", _table(rcnn, "nms").get("iou_threshold")),
        ("rpn", "pre_nms_test", rpn.get("nms_pre")),
        ("rpn", "post_nms_test", rpn.get("max_per_img")),
        ("rpn", "nms_iou", _table(rpn, "nms").get("iou_threshold")),
    )
    table: dict[str, Any] = {}
    for room, name, value in values:
        if value is not None:
            _number(value, f"test_cfg {name}")
            table.setdefault(room, {})[name] = value
    return table


def _smooth_l1(loss: Config) -> dict[str, Any]:
    match loss.get("type"):
        case "L1Loss":
            return {"smooth_l1_beta": 0.0}
        case "SmoothL1Loss":
            return {"smooth_l1_beta": _number(loss.get("beta", 1.0), "beta")}
    return {}


def _temperature(predictor: Config, normed: str) -> dict[str, Any]:
    """``normed``: the layer that compares directions; mmdetection misspells its temperature."""
    if predictor.get("type") != normed:
        return {"normed_temperature": 0.0}
    if _number(predictor.get("power", 1.0), "power") != 1.0:
        raise UserError(f"{normed} with power {predictor['power']} is none of our layers")
    return {
        "normed_temperature": _number(
            predictor.get("tempearture", DEFAULT_TEMPERATURE), "temperature"
        )
    }


def _pixels(config: Config) -> Config:
    """mmdetection 3 says it in the model, version 2 beside it."""
    return _table(_table(config, "model"), "data_preprocessor") or _table(config, "img_norm_cfg")


def _table(config: Config, name: str) -> Config:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise UserError(f"its configuration's '{name}' is not a number that a detector can have")
    return float(value)


def _numbers(value: Any, name: str, *, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise UserError(f"its configuration's '{name}' is not a list of {count} numbers")
    return [_number(item, name) for item in value]


def _reciprocals(stds: Any) -> list[float]:
    numbers = _numbers(stds, "target_stds", count=4)
    if min(map(abs, numbers)) < 1 / LARGEST:
        raise UserError("its configuration's 'target_stds' holds a zero")
    return [1 / number for number in numbers]
