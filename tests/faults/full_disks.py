"""Every stage on a disk that is full at each page in turn.

python -m tests.faults.full_disks FOLDER

A disk of its own (tmpfs, which needs root) grows by a page until the stage has room. Survived: each attempt
is one line that names a path on that disk, leaves no part of a file, and the last one ends with what the
undisturbed run has. Nothing is deleted between the attempts, so that each goes on from what the last left.
"""

import argparse
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.children import Ended, load_everything, run_child
from tests.faults.small_stages import STAGES, content, make_world

PAGE = 4
"""kB by which the disk grows."""
MOST = 400
"""Attempts per stage."""


@dataclass
class Figures:
    attempts: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """Whether a disk of a page could be mounted at ``path``."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={PAGE}k", "tmpfs", str(path)]
    can = shutil.which("mount") is not None and not subprocess.run(command, check=False).returncode
    try:
        yield can
    finally:
        if can:
            subprocess.run(["umount", "-l", str(path)], check=True)


def full_disks(root: Path, *, step: int, only: Sequence[str] = ()) -> Iterator[tuple[str, Figures]]:
    """The figures of each stage, or of those of ``only``, as they end; ``step`` pages more at each attempt.

    Nothing where no disk can be mounted.
    """
    world, log = root / "world", root / "log"
    if not world.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        make_world(world)
        run_child(STAGES["tta-infer"](world, world / "seen"), world=world, log=log)
    for name in only or STAGES:
        figures = _stage(root, name, step=step)
        if figures is not None:
            yield name, figures


def _stage(root: Path, name: str, *, step: int) -> Figures | None:
    world, log, trial = root / "world", root / "log", root / "world" / "trial"
    words = STAGES[name](world, trial / "out")
    shutil.rmtree(trial, ignore_errors=True)
    assert run_child(words, world=world, log=log).code == 0
    wanted, figures = content(trial / "out"), Figures()
    shutil.rmtree(trial)
    with small_disk(trial) as mounted:
        if not mounted:
            return None
        for size in range(PAGE, PAGE * step * MOST, PAGE * step):
            resize = ["mount", "-o", f"remount,size={size}k", str(trial)]
            subprocess.run(resize, check=True, capture_output=True)
            ended = run_child(words, world=world, log=log)
            figures.attempts += 1
            fault = _fault(ended, trial, wanted)
            if fault:
                figures.lost.append(f"{name} at {size} kB: {fault}")
            else:
                figures.survived += 1
            if ended.code == 0:
                return figures
    figures.lost.append(f"{name}: not done at {size} kB")
    return figures


def _fault(ended: Ended, disk: Path, wanted: dict[str, object]) -> str:
    left = [path.name for path in disk.rglob(".*.part")]
    if left:
        return f"left behind: {left}"
    if ended.code == 0:
        now = content(disk / "out")
        differing = [n for n in sorted({*wanted, *now}) if wanted.get(n) != now.get(n)]
        return f"not the same: {differing}" if differing else ""
    if ended.error is None or "full" not in ended.error or str(disk) not in ended.error:
        return f"exit {ended.code}: {ended.said.strip().splitlines()[-1:]}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", type=int, default=1, help="pages more at each attempt")
    parser.add_argument("--only", action="append", default=[], choices=list(STAGES))
    given = parser.parse_args()
    load_everything()
    for name, figures in full_disks(given.folder, step=given.step, only=given.only):
        for line in figures.lost:
            print(f"lost: {line}")
        print(f"{name}: attempts {figures.attempts} survived {figures.survived}", flush=True)


if __name__ == "__main__":
    main()
