"""The folders of training and validation that the ``data.yaml`` of a YOLO data set names."""

import os
from pathlib import Path
from typing import Any

from lvistk.data.convert.yolo_names import read_yaml
from lvistk.errors import UserError


def named_folders(path: Path) -> tuple[Path | None, Path | None]:
    """The folders of ``train`` and ``val``; None for what is not named or not there.

    Relative ones start at the file's ``path`` or at the file itself; of ``../train/images``, as Roboflow
    writes it, the ``..`` may be too much. Raises ``UserError`` for lists of images or of folders.
    """
    content = read_yaml(path)
    return _folder(content, "train", path), _folder(content, "val", path)


def _folder(content: dict[str, Any], key: str, path: Path) -> Path | None:
    given = content.get(key) or ""
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise UserError(f"{path}: {key}: several folders; put them into one folder and name that")
    name = given.replace("\\", "/")
    starts = (path.parent / str(content.get("path") or ""), path.parent)
    for start in starts if name else ():
        for one in (name, name.removeprefix("../")):
            found = Path(os.path.normpath(start / one))
            if found.is_dir():
                return found
            if found.is_file():
                raise UserError(
                    f"{path}: {key}: {given} is a list of images; name a folder, or take train and val out "
                    "of the file, and a fifth of all images becomes val"
                )
    return None
