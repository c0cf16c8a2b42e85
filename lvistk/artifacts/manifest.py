"""``stage.json``: what a stage ran with, on what, and what came of it."""

import contextlib
import json
import os
import platform
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lvistk import console
from lvistk.artifacts.fingerprints import (
    broken_files,
    describe_images,
    describe_pattern,
    describe_store,
    file_fingerprint,
    is_pattern,
    outputs_fingerprint,
    require_file,
    same_input,
)
from lvistk.errors import UserError
from lvistk.whole_file import write_json

MANIFEST = "stage.json"
DATA_COMMAND = "generate"
"""Its folders are data, which people add to and change; their outputs are not compared."""
TABLES = ("settings", "inputs", "outputs", "summary")
DIGEST = "crc32"
"""Checksum of all else that the manifest holds but its settings, which have their own, and its state, one of
two words: a stage goes on where ``running`` is written in place of ``done``. Version 0.2's is of the whole
manifest, earlier ones wrote none."""
SETTINGS_DIGEST = "settings_crc32"
"""Checksum of the settings. Others than were written are told, and compared with those of a run as settings
of an earlier release are; a reader on whose results they bear refuses them."""


def fingerprint(path: Path) -> str:
    """What an input is known by: content of a file, outputs of a stage, names and sizes of images.

    Raises ``UserError`` where there is nothing, or where a stage is unfinished or damaged.
    """
    return describe_input(path)["fingerprint"]


def describe_input(path: Path) -> dict[str, Any]:
    """``path`` as it was given, its ``fingerprint`` and, of an image folder, a ``sample``."""
    if path.is_file():
        require_file(path)
        _require_as_written(path)
        return {"path": str(path), "fingerprint": file_fingerprint(path)}
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        if manifest["state"] != "done":
            raise UserError(f"{path}: this stage is not finished; run it first")
        for name in broken_outputs(path, manifest):
            raise UserError(
                f"{path}: its output {name} is missing or has changed since it finished; run that "
                "stage again"
            )
        return {"path": str(path), "fingerprint": outputs_fingerprint(manifest["outputs"])}
    if path.is_dir() and next(path.glob("*.h5"), None) is not None:
        return {"path": str(path), **describe_store(path)}
    if path.is_dir():
        return {"path": str(path), **describe_images(path)}
    if is_pattern(path):
        return {"path": str(path), **describe_pattern(path)}
    raise UserError(f"{path}: no such file or folder")


def _require_as_written(path: Path) -> None:
    """Raise ``UserError`` for an output of a finished stage, given by itself, that has changed since."""
    try:
        manifest = read_manifest(path.parent)
    except UserError:
        return  # no stage folder, or one that says so where it is used
    described = manifest["outputs"].get(path.name, {})
    if manifest["state"] == "done" and "files" in described and broken_files(path, described):
        raise UserError(
            f"{path}: has changed since its stage finished; run that stage again, or copy the file "
            "elsewhere if you changed it"
        )


def describe_inputs(
    inputs: Mapping[str, Path | tuple[Path, ...] | None], *, out: Path | None = None
) -> dict[str, Any]:
    """Each given input by ``describe_input``; a missing one is a ``UserError``.

    out: the stage folder, from which ``relative`` leads to the input when both have been moved.
    """
    described: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, tuple) and value:
            described[name] = [_with_relative(describe_input(p), out) for p in value]
        elif isinstance(value, Path):
            described[name] = _with_relative(describe_input(value), out)
    return described


def _with_relative(described: dict[str, Any], out: Path | None) -> dict[str, Any]:
    if out is None:
        return described
    return {**described, "relative": os.path.relpath(described["path"], out)}


def find_input(folder: Path, described: Mapping[str, Any]) -> Path:
    """Where an input of the stage in ``folder`` lies now; its path as given where it is nowhere.

    Tried in order: relative to the stage folder, as it was given, as it was given below a folder that
    holds the stage folder, and beside the stage folder.
    """
    given = Path(str(described["path"]))
    tries = [folder / described["relative"]] if "relative" in described else []
    tries.append(given)
    if not given.is_absolute():
        tries += [parent / given for parent in folder.absolute().parents]
    tries.append(folder.parent / given.name)
    return next((Path(os.path.normpath(one)) for one in tries if one.exists()), given)


def is_same_input(path: Path, described: Mapping[str, Any]) -> bool:
    """Whether ``path`` still holds what a manifest's description of an input says."""
    return same_input(described, describe_input(path))


def input_items(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and description of every input; one of several paths comes several times."""
    for name, described in manifest["inputs"].items():
        for item in described if isinstance(described, list) else [described]:
            yield name, item


def read_manifest(folder: Path, *, strict: bool = False) -> dict[str, Any]:
    """The manifest of a stage folder, its tables complete; ``UserError`` where it is none or broken.

    strict: settings that are not as they were written are an error too, not a warning.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or manifest.get("state") not in ("running", "done"):
            raise ValueError("no state")
        changed = _changed_part(manifest)
        if changed and (strict or changed == "it"):
            raise ValueError(
                f"not as it was written; if you changed {changed}, take out its line {DIGEST}"
            )
        if changed:
            _tell_once(
                f"{path}: its settings are not as they were written; were they changed by hand?"
            )
        complete = {
            **{name: {} for name in TABLES},
            **manifest,
            "command": str(manifest["command"]),
        }
        for name in TABLES:
            if not isinstance(complete[name], dict):
                raise ValueError(f"{name} is no table")
        for name, item in input_items(complete):
            if not isinstance(item, dict) or not isinstance(item.get("path"), str):
                raise ValueError(f"input {name} has no path")
        for name, item in complete["outputs"].items():
            if not isinstance(item, dict) or not {"bytes", "fingerprint"} <= item.keys():
                raise ValueError(f"output {name} has no fingerprint")
    except FileNotFoundError:
        raise UserError(f"{folder}: not a stage folder (no {MANIFEST})") from None
    except (ValueError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: broken manifest: {error}; run with --force") from None
    return complete


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a stage folder with its checksum, whole or not at all."""
    digests = {DIGEST: _digest(manifest), SETTINGS_DIGEST: _checksum(manifest.get("settings"))}
    write_json(folder / MANIFEST, digests | dict(manifest))


def _changed_part(manifest: dict[str, Any]) -> str:
    """What of a manifest is not as it was written: ``it``, ``its settings``, or nothing. Its checksums go."""
    digest, of_settings = manifest.pop(DIGEST, None), manifest.pop(SETTINGS_DIGEST, None)
    if digest is None:
        return ""
    if of_settings is None:
        return "" if digest == _checksum(manifest) else "it"
    if digest != _digest(manifest):
        return "it"
    return "" if of_settings == _checksum(manifest.get("settings")) else "its settings"


@lru_cache
def _tell_once(text: str) -> None:
    console.warn(text)


def _digest(manifest: Mapping[str, Any]) -> str:
    apart = ("state", "settings")
    return _checksum({name: value for name, value in manifest.items() if name not in apart})


def _checksum(table: Any) -> str:
    return f"{zlib.crc32(json.dumps(table, sort_keys=True).encode()):08x}"


def broken_outputs(path: Path, manifest: Mapping[str, Any]) -> dict[str, list[Path]]:
    if manifest["command"] == DATA_COMMAND:
        return {}
    files = {name: broken_files(path / name, one) for name, one in manifest["outputs"].items()}
    return {name: broken for name, broken in files.items() if broken}


def versions() -> dict[str, str]:
    """Versions that a result may depend on, without importing the packages."""
    from importlib import metadata  # 0.03 s

    known = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("lvistk", "torch", "torchvision", "numpy", "timm"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            known[package] = metadata.version(package)
    return known
