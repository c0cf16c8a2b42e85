"""Stage folders that several pipeline files share: known by what runs in them, not by who asks for it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvistk.config.load import marked, shipped_name, to_table

if TYPE_CHECKING:
    from lvistk.stages.pipelines.stage_plan import StagePlan

DIGEST_BYTES = 5


def shared_folder(plan: "StagePlan", root: Path) -> Path:
    """``root/COMMAND-DIGEST``: the same for every plan that computes the same from the same inputs.

    The digest is of the settings that differ from their defaults, but for those that cannot change the
    result, and of the inputs that are read. An input below ``root``, a shared folder of an earlier stage,
    is known by its name, which holds that stage's digest, a file that ships with lvistk by its
    ``lvistk:NAME``, any other by its path. A setting that joins in a later release therefore moves no
    folder while it has its default.
    """
    stage = plan.stage
    default = type(plan.settings)()
    settings = _differing(to_table(plan.settings), to_table(default))
    for name in marked(default, "operational"):
        _remove(settings, name.split("."))
    unread = {*stage.uncounted, *stage.unread(plan.settings, plan.inputs)}
    inputs = {
        one.name: _known(getattr(plan.inputs, one.name), root)
        for one in dataclasses.fields(plan.inputs)
        if one.name not in unread and getattr(plan.inputs, one.name) not in (None, ())
    }
    text = json.dumps([plan.command, _without_empty(settings), inputs], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
    return root / f"{plan.command}-{digest}"


def _differing(table: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of ``table`` that ``default`` has not."""
    leaves: dict[str, Any] = {}
    for key, value in table.items():
        usual = default.get(key)
        if isinstance(value, Mapping) and isinstance(usual, Mapping):
            leaves[key] = _differing(value, usual)
        elif value != usual:
            leaves[key] = value
    return leaves


def _without_empty(table: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = {k: _without_empty(v) if isinstance(v, Mapping) else v for k, v in table.items()}
    return {key: value for key, value in cleaned.items() if value != {}}


def _remove(table: dict[str, Any], keys: list[str]) -> None:
    for key in keys[:-1]:
        table = table.get(key, {})
    table.pop(keys[-1], None)


def _known(value: Path | tuple[Path, ...], root: Path) -> list[str]:
    paths = value if isinstance(value, tuple) else (value,)
    return [
        str(p.relative_to(root)) if p.is_relative_to(root) else shipped_name(p) or str(p)
        for p in paths
    ]
