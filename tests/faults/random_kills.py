"""Kill stages at random, run them again, and compare with runs that nothing disturbed.

python -m tests.faults.random_kills FOLDER --trials 100 --seed 0

In half of the trials a stage is killed just before a change to the disk that is drawn at random, in the
other half at a random moment; up to three times in a row, then it may end. Survived: the last run ends
well, its folder holds what the undisturbed one holds, and no file of a killed writer is left anywhere.
"""

import argparse
import itertools
import json
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.children import Ended, load_everything, run_child
from tests.faults.small_stages import STAGES, content, leftovers, make_world

MOST_KILLS = 3


@dataclass
class Figures:
    """trials, kills that hit a running stage, trials that survived, and what was lost in the others."""

    trials: int = 0
    kills: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: what its folder holds, its changes to the disk, and seconds."""

    content: dict[str, object]
    changes: int
    seconds: float


class Kills:
    """Trials in a world below ``root``."""

    def __init__(self, root: Path, *, seed: int) -> None:
        self._world, self._log = root / "world", root / "log"
        self._random = random.Random(seed)
        if not self._world.is_dir():
            root.mkdir(parents=True, exist_ok=True)
            make_world(self._world)
            ended = self._run("tta-infer", self._world / "seen")
            assert ended.code == 0, ended
        self._whole: dict[str, Whole] = {}

    def trial(self, name: str, figures: Figures) -> None:
        """One stage, killed up to MOST_KILLS times and then run to its end."""
        whole = self._whole_run(name)
        self._clear()
        out = self._world / "trial" / "out"
        killed = []
        for _ in range(self._random.randint(1, MOST_KILLS)):
            at, after = 0, 0.0
            if self._random.random() < 0.5:
                at = self._random.randint(1, whole.changes)
            else:
                after = self._random.uniform(0.001, whole.seconds)
            ended = self._run(name, out, die_at=at, die_after=after)
            if ended.code != -signal.SIGKILL:
                break
            killed.append(f"change {at}" if at else f"{after:.3f} s")
        figures.trials += 1
        figures.kills += len(killed)
        fault = self._fault(self._run(name, out), out, whole)
        if fault:
            figures.lost.append(f"{name}, killed at {', '.join(killed) or 'no time'}: {fault}")
        else:
            figures.survived += 1

    def _fault(self, ended: Ended, out: Path, whole: Whole) -> str:
        """What is not as after an undisturbed run; empty where all is."""
        if ended.code != 0:
            return f"exit {ended.code}: {ended.said.strip().splitlines()[-1:]}"
        if left := leftovers(self._world):
            return f"left behind: {left}"
        now = content(out)
        differing = [
            f"{name}: {self._differing(whole.content.get(name), now.get(name))}"
            for name in sorted({*whole.content, *now})
            if whole.content.get(name) != now.get(name)
        ]
        return f"not the same: {'; '.join(differing)}" if differing else ""

    def _differing(self, wanted: object, now: object) -> str:
        if isinstance(wanted, dict) and isinstance(now, dict):
            names = sorted({*wanted, *now})
            return json.dumps(
                {n: [wanted.get(n), now.get(n)] for n in names if wanted.get(n) != now.get(n)}
            )[:300]
        return "is missing" if now is None else "is new" if wanted is None else "differs"

    def _whole_run(self, name: str) -> Whole:
        if name not in self._whole:
            self._clear()
            out = self._world / "trial" / "out"
            started = time.monotonic()
            ended = self._run(name, out)
            seconds = time.monotonic() - started
            assert ended.code == 0 and ended.changes, ended
            assert not leftovers(self._world)
            self._whole[name] = Whole(content(out), ended.changes, seconds)
        return self._whole[name]

    def _clear(self) -> None:
        """Without folders of trials and caches, as before the first run."""
        shutil.rmtree(self._world / "trial", ignore_errors=True)
        for left in [*self._world.glob(".*.lvistk-truth"), *self._world.rglob(".*.part")]:
            left.unlink()

    def _run(self, name: str, out: Path, **deaths: float) -> Ended:
        words = STAGES[name](self._world, out)
        return run_child(words, world=self._world, log=self._log, **deaths)  # pyright: ignore[reportArgumentType]  # die_at is whole


def random_kills(root: Path, *, trials: int, seed: int) -> Figures:
    """The figures of ``trials`` trials, over all stages in turn."""
    kills, figures = Kills(root, seed=seed), Figures()
    for name in itertools.islice(itertools.cycle(STAGES), trials):
        kills.trial(name, figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    load_everything()
    figures = random_kills(given.folder, trials=given.trials, seed=given.seed)
    for line in figures.lost:
        print(f"lost: {line}")
    print(f"trials {figures.trials} kills {figures.kills} survived {figures.survived}")


if __name__ == "__main__":
    main()
