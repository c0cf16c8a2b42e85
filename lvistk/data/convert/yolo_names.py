"""Class names of a YOLO data set."""

from pathlib import Path
from typing import Any

import yaml

from lvistk.data.convert.plain_text import read_text
from lvistk.errors import UserError

YAML_SUFFIXES = (".yaml", ".yml")


def read_names(path: Path) -> dict[int, str]:
    """Names by class number, of a ``data.yaml`` (a list, or numbered in any order) or a text file.

    In a text file, line k + 1 names class k; an empty line leaves its class without a name. Raises
    ``UserError`` where there are no names.
    """
    if path.suffix.lower() not in YAML_SUFFIXES:
        lines = read_text(path, what="class names").splitlines()
        names = {k: line.strip() for k, line in enumerate(lines)}
    else:
        names = _names_in(read_yaml(path), path)
    names = {k: name for k, name in names.items() if name}
    if not names:
        raise UserError(f"{path}: no class names in it; write one name a line")
    return dict(sorted(names.items()))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a table of texts, lists and tables; empty for one that is no table.

    Raises ``UserError`` where it is not valid.
    """
    text = read_text(path, what="class names")
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # text only: 'no' stays a name
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML: {reason}") from None
    return content if isinstance(content, dict) else {}


def _names_in(content: dict[str, Any], path: Path) -> dict[int, str]:
    names: Any = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise UserError(f"{path}: no list 'names' in it; give a text file of one name a line")
    by_number: dict[int, str] = {}
    for key, name in names.items():
        if not str(key).strip().isdecimal() or not isinstance(name, str):
            raise UserError(f"{path}: names: '{key}: {name}' is not a class number and its name")
        if int(key) in by_number:
            raise UserError(f"{path}: names: class {int(key)} has two names")
        by_number[int(key)] = name.strip()
    return by_number
