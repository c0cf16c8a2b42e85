"""Stage folders: a manifest, and fingerprints of inputs and outputs.

``stage.json`` holds the stage's name, settings, input fingerprints, versions, times and outputs. A stage
that is ``done`` with the same settings and inputs is not run again; one that was stopped resumes; one
that differs refuses and says what differs.
"""

import contextlib
import datetime
import fcntl
import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lvistk.errors import UserError
from lvistk.whole_file import write_json

MANIFEST = "stage.json"
LOCK = ".lock"
LARGE_BYTES = 64 << 20
SAMPLES = 64
SAMPLE_BYTES = 1 << 16
"""A large file's fingerprint takes so many samples of so many bytes, the first and last among them."""


def fingerprint(path: Path) -> str:
    """What an input is known by: content of a file, outputs of a stage folder, path of an image folder.

    Image folders are not read through (an LVIS split holds 100,000 files); their names enter. Files above
    64 MiB are known by size, time of change and samples: reading 2 GB of results takes longer than
    evaluating them.
    """
    if path.is_file():
        status = path.stat()
        return _content_hash(str(path.resolve()), status.st_size, status.st_mtime_ns)
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        if manifest.get("state") != "done":
            raise UserError(f"{path}: this stage is not finished; run it first")
        text = json.dumps(manifest["outputs"], sort_keys=True)
        return "stage:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    if path.is_dir():
        return f"folder:{path.resolve()}"
    raise UserError(f"{path}: no such file or folder")


@lru_cache(maxsize=256)
def _content_hash(path: str, size: int, modified: int) -> str:
    """Hash of the content; of a small file, size and time of change are part of the memory's key only."""
    with Path(path).open("rb") as handle:
        if size > LARGE_BYTES:
            return "large:" + _sampled_hash(handle, size, modified)
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sampled_hash(handle: BinaryIO, size: int, modified: int) -> str:
    digest = hashlib.blake2b(f"{size} {modified}".encode(), digest_size=16)
    for k in range(SAMPLES):
        handle.seek((size - SAMPLE_BYTES) * k // (SAMPLES - 1))
        digest.update(handle.read(SAMPLE_BYTES))
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{folder}: not a stage folder (no {MANIFEST})") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken manifest: {error}; run with --force") from None


@dataclass
class StageFolder:
    """One run of a stage on disk, held by one process (or one group of ranks) at a time."""

    path: Path
    command: str
    state: Literal["new", "resume", "done"]
    manifest: dict[str, Any]
    _lock: Any = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        command: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> "StageFolder":
        """Open ``path`` for a run; ``settings`` and ``inputs`` are JSON values.

        Inputs are ``{name: {"path", "fingerprint"}}``. A setting that an older run does not name had its
        value of ``defaults``: settings that join later do not make finished runs differ. Raises
        ``UserError`` where the folder holds a run with other settings or inputs, where it belongs to
        something else, or is in use.
        """
        wanted = {"command": command, "settings": dict(settings), "inputs": dict(inputs)}
        _require_own(path)
        found = read_manifest(path) if (path / MANIFEST).is_file() and not force else None
        changed = _changes(found, wanted, defaults or {}) if found is not None else []
        if found is not None and changed:
            if found["state"] == "done" or not _holds_nothing(path):
                raise UserError(_was_different(path, changed))
            found = None  # it stopped at a setting or input that has been mended since
        if found is not None and found["state"] == "done":
            return cls(path, command, "done", found)
        path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
        if force:
            _clear(path)
        manifest = found or {
            **wanted,
            "state": "running",
            "versions": versions(),
            "started": _now(),
        }
        stage = cls(path, command, "resume" if found else "new", manifest, lock)
        if found is None:
            write_json(path / MANIFEST, manifest)
        return stage

    def file(self, name: str) -> Path:
        return self.path / name

    def finish(self, *, outputs: list[str], summary: Mapping[str, Any]) -> None:
        """Record the outputs (files or folders below the stage folder) and close the run."""
        self.manifest["outputs"] = {name: _describe(self.path / name) for name in sorted(outputs)}
        self.manifest["summary"] = dict(summary)
        self.manifest["state"] = "done"
        self.manifest["finished"] = _now()
        write_json(self.path / MANIFEST, self.manifest)
        self.close()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            (self.path / LOCK).unlink(missing_ok=True)


def describe_inputs(inputs: Mapping[str, Path | tuple[Path, ...] | None]) -> dict[str, Any]:
    """Path and fingerprint of each given input; a missing one is a ``UserError``."""
    described: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, tuple) and value:
            described[name] = [{"path": str(p), "fingerprint": fingerprint(p)} for p in value]
        elif isinstance(value, Path):
            described[name] = {"path": str(value), "fingerprint": fingerprint(value)}
    return described


def versions() -> dict[str, str]:
    """Versions that a result may depend on, without importing the packages."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("lvistk", "torch", "torchvision", "numpy", "timm"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """``name: old -> new`` for every leaf that differs between two nested tables."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            where = f"{prefix}.{key}" if prefix else str(key)
            found += differences(old.get(key), new.get(key), where)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, f"{prefix}[{i}]")
        ]
    return [] if old == new else [f"{prefix}: {old} -> {new}"]


def _require_own(path: Path) -> None:
    """A folder that holds anything but a stage is not touched, even by ``force``."""
    if (path / MANIFEST).is_file() or not path.is_dir():
        return
    if any(p.name != LOCK and not _is_part(p) for p in path.iterdir()):
        raise UserError(f"{path}: folder is not empty and not a stage folder; choose another --out")


def _holds_nothing(path: Path) -> bool:
    """Whether a run left nothing but its manifest."""
    return all(p.name in (MANIFEST, LOCK) or _is_part(p) for p in path.iterdir())


def _is_part(path: Path) -> bool:
    """Whether ``whole_file`` was killed while it wrote this."""
    return path.name.startswith(".") and path.name.endswith(".part")


def _changes(
    found: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    """What settings and inputs differ in; where an input lies does not matter."""
    normal = json.loads(json.dumps(wanted))
    older = {key: found.get(key) for key in normal}
    older["settings"] = _filled(older["settings"], json.loads(json.dumps(defaults)))
    if found.get("command") == "evaluate":  # earlier releases had two engines with the same scores
        older["settings"].pop("engine", None)
    changed = differences(older, normal)
    return [line for line in changed if not line.startswith("inputs.") or ".path" not in line]


def _filled(table: Any, defaults: Any) -> Any:
    """``table`` with what only ``defaults`` has, at every depth."""
    if not isinstance(table, Mapping) or not isinstance(defaults, Mapping):
        return table
    own = {key: _filled(value, defaults.get(key)) for key, value in table.items()}
    return {**defaults, **own}


def _was_different(path: Path, changed: list[str]) -> str:
    shown = "; ".join(changed[:6])
    more = f"; and {len(changed) - 6} more" if len(changed) > 6 else ""
    return f"{path}: was run differently ({shown}{more}); use --force to restart or another --out"


def _take_lock(path: Path) -> Any:
    handle = (path / LOCK).open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise UserError(f"{path}: another process is running this stage") from None
    return handle


def _clear(path: Path) -> None:
    for child in path.iterdir():
        if child.name == LOCK:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _describe(path: Path) -> dict[str, Any]:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(fingerprint(file).encode())
    return {"bytes": sum(file.stat().st_size for file in files), "fingerprint": digest.hexdigest()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
