"""Stage folders: a manifest, and fingerprints of inputs and outputs.

``stage.json`` holds the stage's name, settings, input fingerprints, versions, times and outputs. A stage
that is done with the same settings and inputs is not run again; one that was stopped, or whose outputs
are missing or damaged, resumes; one that differs refuses and says what differs.
"""

import datetime
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvistk import console
from lvistk.artifacts.fingerprints import describe_output
from lvistk.artifacts.lock import LOCK, StageLock, remove_stale_lock
from lvistk.artifacts.manifest import (
    MANIFEST,
    input_items,
    read_manifest,
    versions,
    write_manifest,
)
from lvistk.artifacts.portion import Portion
from lvistk.artifacts.standing import Standing, Wanted, standing
from lvistk.errors import UserError
from lvistk.whole_file import SAFETENSORS_PART


@dataclass
class StageFolder:
    """One run of a stage on disk, held by one process (or one group of ranks) at a time.

    portion: the part of the images that this process makes, if other jobs make the others; such a run never
    finishes the stage.
    """

    path: Path
    command: str
    state: Literal["new", "resume", "done"]
    manifest: dict[str, Any]
    portion: Portion | None = None
    _lock: StageLock | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: Path,
        wanted: Wanted,
        *,
        force: bool = False,
        resume_with_changes: bool = False,
        portion: Portion | None = None,
    ) -> "StageFolder":
        """Open ``path`` for the run ``wanted``.

        force: delete what the folder holds and start anew.
        resume_with_changes: go on though changeable settings differ.
        portion: what this process makes while others may be in the folder, each with its own portion.

        Raises ``UserError`` where the folder holds a run with other settings or inputs, belongs to
        something else, holds an input, or is in use.
        """
        require_apart(path, wanted)
        _require_own(path)
        if not force:
            now = _require_same(path, wanted, resume_with_changes=resume_with_changes)
            if now.is_done:
                remove_stale_lock(path)
                return cls(path, wanted.command, "done", read_manifest(path))
        path.mkdir(parents=True, exist_ok=True)
        lock = StageLock(path, shared=portion is not None)
        try:
            if portion is not None:
                return cls._shared(path, wanted, lock, portion)
            if force:
                _clear(path)
            _remove_parts(path)
            return cls._locked(path, wanted, lock, resume_with_changes=resume_with_changes)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _locked(
        cls, path: Path, wanted: Wanted, lock: StageLock, *, resume_with_changes: bool
    ) -> "StageFolder":
        """What is in the folder now that no other process writes to it."""
        now = _require_same(path, wanted, resume_with_changes=resume_with_changes)
        old = read_manifest(path) if now.state != "none" and not now.different else None
        if old is not None and now.is_done:
            lock.release()
            return cls(path, wanted.command, "done", old)
        manifest = _new_manifest(wanted)
        if old is not None:
            kept = {
                name: old[name]
                for name in ("versions", "started", "seconds", "changes")
                if name in old
            }
            manifest |= kept
            manifest["settings"] = _with_kept(wanted, old["settings"])
        _remove_broken(now)
        if now.changed:
            manifest["changes"] = [*manifest.get("changes", []), _change(path, now.changed)]
        write_manifest(path, manifest)
        return cls(path, wanted.command, "new" if old is None else "resume", manifest, None, lock)

    @classmethod
    def _shared(
        cls, path: Path, wanted: Wanted, lock: StageLock, portion: Portion
    ) -> "StageFolder":
        """The folder for one of several jobs: none of them removes or rewrites what another may use.

        A finished run stays as it is, damaged or not: to mend it is left to the run of the whole stage.
        """
        if not (path / MANIFEST).is_file():
            write_manifest(path, _new_manifest(wanted))
        _require_same(path, wanted, resume_with_changes=False)
        manifest = read_manifest(path)
        if manifest["state"] == "done":
            lock.release()
            return cls(path, wanted.command, "done", manifest)
        return cls(path, wanted.command, "resume", manifest, portion, lock)

    def file(self, name: str) -> Path:
        return self.path / name

    def resumed_after(self, step: int) -> None:
        """Correct the record of changed settings, where the run goes on from an earlier step than it says."""
        changes = self.manifest.get("changes", [])
        if any(change["after_step"] > step for change in changes):
            for change in changes:
                change["after_step"] = min(change["after_step"], step)
            write_manifest(self.path, self.manifest)

    def finish(self, *, outputs: list[str], summary: Mapping[str, Any]) -> None:
        """Record the outputs (files or folders below the stage folder) and close the run."""
        self.manifest["outputs"] = {
            name: describe_output(self.path / name) for name in sorted(outputs)
        }
        self.manifest["summary"] = dict(summary)
        self.manifest["state"] = "done"
        self.manifest["finished"] = _now()
        write_manifest(self.path, self.manifest)
        self.close()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _new_manifest(wanted: Wanted) -> dict[str, Any]:
    return {
        "command": wanted.command,
        "settings": dict(wanted.settings),
        "inputs": dict(wanted.inputs),
        "state": "running",
        "versions": versions(),
        "started": _now(),
    }


def _with_kept(wanted: Wanted, old: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted settings with the old values of those that a run keeps."""
    settings, before = dict(wanted.settings), wanted.rules.older(old)
    for name in wanted.rules.kept:
        table, _, key = name.partition(".")
        if key and key in before.get(table, {}):
            settings[table] = {**settings[table], key: before[table][key]}
    return settings


def require_apart(path: Path, wanted: Wanted) -> None:
    """Raise ``UserError`` where a file that the run reads lies in the folder that it writes into."""
    folder = path.resolve()
    read = {item["path"]: name for name, item in input_items({"inputs": wanted.inputs})}
    read |= {text: f"setting {name}" for name, text in _texts(wanted.settings) if text}
    for given, name in read.items():
        lies = Path(given).resolve()
        if (lies == folder or folder in lies.parents) and lies.exists():
            raise UserError(
                f"--out {path}: holds what the run reads ({name}: {given}); choose another --out"
            )


def _texts(table: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from _texts(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(table, str) and len(table) < 1000:
        yield prefix, table


def _require_own(path: Path) -> None:
    """A folder that holds anything but a stage is not touched, even by ``force``."""
    if (path / MANIFEST).is_file() or not path.is_dir():
        return
    if any(p.name != LOCK and not _is_part(p) for p in path.iterdir()):
        raise UserError(f"{path}: folder is not empty and not a stage folder; choose another --out")


def _require_same(path: Path, wanted: Wanted, *, resume_with_changes: bool) -> Standing:
    """How the folder stands; ``UserError`` where it holds a run that must not go on as ``wanted``."""
    now = standing(path, wanted)
    refused = now.different if resume_with_changes else (*now.different, *now.changed)
    if refused and (now.state == "done" or not _holds_nothing(path)):
        raise UserError(_was_different(path, refused, mendable=not now.different))
    if now.changed and now.state == "done" and not _checkpoint_steps(path):
        raise UserError(
            f"{path}: finished, and has no checkpoint to go on from; start another --out with its model, or "
            "use --force to restart"
        )
    return now


def _was_different(path: Path, lines: tuple[str, ...], *, mendable: bool) -> str:
    shown = "; ".join(lines[:6])
    more = f"; and {len(lines) - 6} more" if len(lines) > 6 else ""
    go_on = "use --resume-with-changes to go on from the last checkpoint, or " if mendable else ""
    return f"{path}: was run differently ({shown}{more}); {go_on}use --force to restart or another --out"


def _remove_broken(now: Standing) -> None:
    for name, files in now.broken.items():
        console.warn(f"output {name} is missing or has changed since it was finished; made again")
        for file in files:
            for one in file.rglob("*") if file.is_dir() else [file]:
                if one.is_file():
                    one.unlink()


def _change(path: Path, lines: tuple[str, ...]) -> dict[str, Any]:
    """The record of changed settings: what, when, and after which step."""
    after = max(_checkpoint_steps(path), default=0)
    return {"after_step": after, "time": _now(), "settings": list(lines)}


def _checkpoint_steps(path: Path) -> list[int]:
    return [int(p.stem.removeprefix("step_")) for p in path.glob("checkpoints/step_*.safetensors")]


def _holds_nothing(path: Path) -> bool:
    """Whether a run left nothing but its manifest."""
    return all(p.name in (MANIFEST, LOCK) or _is_part(p) for p in path.iterdir())


def _remove_parts(path: Path) -> None:
    """Remove what writers left that were killed; nobody else writes here while the lock is held."""
    for pattern in (".*.part", SAFETENSORS_PART):
        for part in path.rglob(pattern):
            if part.is_file():
                part.unlink(missing_ok=True)


def _is_part(path: Path) -> bool:
    """Whether ``whole_file`` was killed while it wrote this."""
    return path.name.startswith(".") and path.name.endswith(".part")


def _clear(path: Path) -> None:
    for child in path.iterdir():
        if child.name == LOCK:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
