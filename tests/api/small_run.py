"""A pipeline file for the working directory, so small that a stage takes a second."""

from tests.command_line import INFER, MODEL, TRAIN


def _table(assignments: tuple[str, ...], prefix: str) -> str:
    """Assignments of settings as dotted TOML keys of a stage."""
    return "\n".join(f"stage.{prefix}.{_quoted(text)}" for text in assignments)


def _quoted(text: str) -> str:
    name, _, value = text.partition("=")
    plain = value[0] in "[0123456789" or value in ("true", "false")
    return f"{name} = {value if plain else repr(value)}"


PIPELINE = f"""
out = "runs/small"
data.train = ["val.json"]
data.train_images = "holiday"
data.val = "val.json"
data.val_images = "holiday"
stage.learn.command = "train-repr"
{_table((*MODEL, *TRAIN), "learn")}
stage.detect.command = "tta-infer"
stage.detect.inputs.model = "learn"
{_table(INFER, "detect")}
stage.score.command = "evaluate"
stage.score.inputs.detections = "detect"
stage.score.fixed = false
stage.score.boundary = false
"""
"""Annotations ``val.json`` and images in ``holiday``, for training and validation alike."""
