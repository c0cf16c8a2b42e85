"""Spoil each kind of artifact in twenty ways, and use it.

python -m tests.faults.corruption FOLDER --rounds 1 --seed 0

Refused: one line that names a file, exit code 2. Harmless: the outputs are those of the sound artifact,
because it was made again, passed over, or the change means nothing. Anything else is lost.
"""

import argparse
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command_line import INFER, assign
from tests.faults.children import Ended, load_everything, run_child
from tests.faults.small_stages import STAGES, content, make_world
from tests.faults.ways import WAYS


@dataclass(frozen=True)
class Kind:
    """An artifact and a command that reads it.

    files: called with the world, those of which one is spoiled each time
    words: called with the world and an empty folder, the command
    keep: the folder is one of a run that was killed, which the command resumes
    """

    files: Callable[[Path], Iterator[Path]]
    words: Callable[[Path, Path], list[object]]
    keep: str = ""


@dataclass
class Outcome:
    refused: int = 0
    harmless: int = 0
    lost: tuple[str, ...] = ()


def guarded(root: Path, out: Path) -> list[object]:
    """pseudo-label of the pool with a guard."""
    words = [*STAGES["pseudo-label of the pool"](root, out), *assign(*INFER)]
    return [*words, "--exclude", root / "other.json", "--exclude-images", root / "other"]


def stored(command: str) -> Callable[[Path, Path], list[object]]:
    """A command on the detection store without its stage folder."""

    def words(root: Path, out: Path) -> list[object]:
        plain = root / "store"
        match command:
            case "evaluate":
                return ["evaluate", root / "train.json", plain, "--out", out, "-s", "fixed=false"]
            case "filter-missing":
                given = ["--detections", plain, "--train", root / "train.json"]
                return ["filter-missing", *given, "--out", out, "--set", "score=0.01"]
            case _:
                return ["export", plain, out / "results.json", "--as", "segm"]

    return words


def results(root: Path, out: Path) -> list[object]:
    """evaluate on a results file of a finished stage."""
    file = root / "seen" / "results_segm.json"
    return ["evaluate", root / "train.json", file, "--out", out, "-s", "fixed=false"]


def globbed(pattern: str) -> Callable[[Path], Iterator[Path]]:
    return lambda root: (path for path in sorted(root.glob(pattern)) if path.is_file())


KINDS = {
    "model": Kind(globbed("model.safetensors"), STAGES["tta-infer"]),
    "backbone of a model": Kind(
        globbed("model.safetensors"),
        lambda root, out: [
            "export",
            root / "model.safetensors",
            out / "b.safetensors",
            "--as",
            "backbone",
        ],
    ),
    "checkpoint": Kind(
        globbed("trial/out/checkpoints/step_*.safetensors"),
        STAGES["train-repr with validation"],
        keep="stopped",
    ),
    "note of a checkpoint": Kind(
        globbed("trial/out/checkpoints/step_*.json"),
        STAGES["train-repr with validation"],
        keep="stopped",
    ),
    "manifest of a stopped run": Kind(
        globbed("trial/out/stage.json"), STAGES["train-repr with validation"], keep="stopped"
    ),
    "detection store, evaluated": Kind(globbed("store/*.h5"), stored("evaluate")),
    "detection store, filtered": Kind(globbed("store/*.h5"), stored("filter-missing")),
    "detection store, exported": Kind(globbed("store/*.h5"), stored("export")),
    "detection store of a stage": Kind(globbed("seen/detections/*.h5"), STAGES["evaluate"]),
    "manifest of an input": Kind(globbed("seen/stage.json"), STAGES["evaluate"]),
    "results of a stage": Kind(globbed("seen/results_segm.json"), results),
    "index arrays": Kind(globbed("trial/.index/[0-9a-f]*/*"), STAGES["filter-missing"]),
    "index notes": Kind(globbed("trial/.index/seen/*"), STAGES["filter-missing"]),
    "cache of the pool": Kind(
        globbed("trial/.index/openimages-*/*"), STAGES["pseudo-label of the pool"]
    ),
    "cache of the leak guard": Kind(globbed("trial/.index/leak-guard-*"), guarded),
    "cache of the ground truth": Kind(globbed(".*.lvistk-truth"), STAGES["evaluate"]),
}


class Corruption:
    """A world below ``root`` whose artifacts are spoiled one at a time."""

    def __init__(self, root: Path) -> None:
        self._world, self._log, self._kept = root / "world", root / "log", root / "kept"
        if self._world.is_dir():
            return
        root.mkdir(parents=True, exist_ok=True)
        make_world(self._world)
        shutil.copytree(self._world / "train2017", self._world / "other" / "train2017")
        shutil.copyfile(self._world / "train.json", self._world / "other.json")
        assert self._run(STAGES["tta-infer"](self._world, self._world / "seen")).code == 0
        shutil.copytree(self._world / "seen" / "detections", self._world / "store")
        self._keep_a_stopped_run()

    def _keep_a_stopped_run(self) -> None:
        """A training that was killed near its end, with two checkpoints."""
        out = self._world / "trial" / "out"
        words = STAGES["train-repr with validation"](self._world, out)
        self._run(words)  # makes the caches, which are changes to the disk too
        shutil.rmtree(out)
        whole = self._run(words)
        assert whole.changes
        for back in range(12, 60, 4):
            shutil.rmtree(out)
            self._run(words, die_at=whole.changes - back)
            if json.loads((out / "stage.json").read_text())["state"] == "running":
                break
        else:
            raise AssertionError("no run was stopped before its end")
        assert len(list(out.glob("checkpoints/step_*.safetensors"))) == 2
        shutil.copytree(out, self._kept / "stopped")

    def spoil(self, kind: Kind, rng: random.Random, *, rounds: int) -> Outcome:
        """Each way ``rounds`` times."""
        wanted, outcome = self._sound(kind), Outcome()
        for way in [*WAYS] * rounds:
            file = rng.choice([f for f in kind.files(self._world) if f.stat().st_size])
            sound, times = file.read_bytes(), file.stat()
            spoiled = way(rng, sound)
            file.write_bytes(spoiled)
            ended, now = self._use(kind)
            # an older file that the resume does not read stays as it is
            if kind.keep and now.get(name := self._name(file)) == spoiled:
                now[name] = wanted[name]
            if spoiled == sound or (ended.code == 0 and now == wanted):
                outcome.harmless += 1
            elif ended.error is not None:
                outcome.refused += 1
            else:
                told = ended.said.strip().splitlines()[-1:] if ended.code else "believed"
                number = WAYS.index(way) + 1
                outcome.lost += (f"{file.name}, way {number}: exit {ended.code}: {told}",)
            self._restore(kind, file, sound, times.st_mtime_ns)
        return outcome

    def _name(self, file: Path) -> str:
        """The name of ``file`` in what ``_use`` returns."""
        return file.relative_to(self._world / "trial" / "out").as_posix()

    def _sound(self, kind: Kind) -> dict[str, Any]:
        """What the command writes with all sound, after caches were made."""
        shutil.rmtree(self._world / "trial", ignore_errors=True)
        for _ in range(2):
            self._prepare(kind)
            ended, wanted = self._use(kind)
            assert ended.code == 0, ended
        self._prepare(kind)
        return wanted

    def _prepare(self, kind: Kind) -> None:
        out = self._world / "trial" / "out"
        shutil.rmtree(out, ignore_errors=True)
        if kind.keep:
            shutil.copytree(self._kept / kind.keep, out)

    def _restore(self, kind: Kind, file: Path, sound: bytes, modified: int) -> None:
        self._prepare(kind)
        if not kind.keep:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(sound)
            os.utime(file, ns=(modified, modified))

    def _use(self, kind: Kind) -> tuple[Ended, dict[str, Any]]:
        out = self._world / "trial" / "out"
        ended = self._run(kind.words(self._world, out))
        now = content(out) if ended.code == 0 else {}
        for manifest in [name for name in now if name.endswith("stage.json")]:
            del now[manifest][
                "inputs"
            ]  # a file with a byte more is another input, of the same detections
        return ended, now

    def _run(self, words: list[object], *, die_at: int = 0) -> Ended:
        return run_child(words, world=self._world, log=self._log, die_at=die_at)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(KINDS))
    given = parser.parse_args()
    load_everything()
    corruption, lost = Corruption(given.folder), 0
    for name in given.only or KINDS:
        rng = random.Random(f"{given.seed} {name}")
        found = corruption.spoil(KINDS[name], rng, rounds=given.rounds)
        for line in found.lost:
            print(f"lost: {name}: {line}")
        lost += len(found.lost)
        print(f"{name}: refused {found.refused} harmless {found.harmless} lost {len(found.lost)}")
    print(f"lost in all {lost}")


if __name__ == "__main__":
    main()
