"""Run a folder of cases and print a table of what their commands did.

A case is a folder with a script ``run.sh``, which calls ``$LV`` (a command that starts lvistk) and
``$PY`` (its Python) on the files beside it and prints ``-> exit N`` after each command. All cases
below the folder run on a copy, so that the folder stays as it is.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

EXIT = re.compile(r"exit (\d+)")
STOPPED = 124  # exit code of timeout(1) at its limit
# a frame of lvistk's command line: a script's own Python may fail, where a command wrote no file
TRACEBACK = re.compile(
    r'^ +File "[^"]*(/lvistk/__main__\.py|/lvistk/cli/\w+\.py|/bin/lvistk)"', re.M
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the script of one case printed.

    name: the case's folder, relative to the folder of all cases
    output: standard output and standard error in their order
    seconds: wall-clock time
    in_time: whether the script ended within its time limit
    """

    name: str
    output: str
    seconds: float
    in_time: bool

    @property
    def traceback(self) -> bool:
        return TRACEBACK.search(self.output) is not None

    @property
    def exit_codes(self) -> str:
        return " ".join(EXIT.findall(self.output)) or "-"


def run_case(script: Path, *, root: Path, environment: dict[str, str], limit: float) -> Outcome:
    """Run one ``script``, with ``environment``, for at most ``limit`` seconds."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        ended = subprocess.run(
            ["timeout", str(limit), "bash", script.name],
            cwd=script.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        return Outcome(
            name=script.parent.relative_to(root).as_posix(),
            output=output.read(),
            seconds=time.monotonic() - start,
            in_time=ended.returncode != STOPPED,
        )


def table(outcomes: Sequence[Outcome]) -> str:
    width = max(len(outcome.name) for outcome in outcomes)
    lines = [f"{'case':<{width}}  seconds  traceback  exit codes"]
    for outcome in outcomes:
        codes = outcome.exit_codes + ("" if outcome.in_time else " (stopped at the time limit)")
        traceback = "yes" if outcome.traceback else "no"
        lines.append(f"{outcome.name:<{width}}  {outcome.seconds:7.1f}  {traceback:<9}  {codes}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a folder of cases and print a table.")
    parser.add_argument("cases", type=Path, help="folder that holds the cases, at any depth")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per case (300)")
    parser.add_argument("--logs", type=Path, help="folder for the output of each case")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    started = {"LV": shlex.join([sys.executable, "-m", "lvistk"]), "PY": sys.executable}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(shutil.copytree(args.cases, Path(scratch) / "cases", symlinks=True))
        scripts = sorted(root.rglob("run.sh"))
        if not scripts:
            sys.exit(f"{args.cases}: no folder with a run.sh")
        run = partial(run_case, root=root, environment=started | os.environ, limit=args.limit)
        outcomes = [run(script) for script in scripts]
    if args.logs is not None:
        args.logs.mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            log = args.logs / f"{outcome.name.replace('/', '_')}.txt"
            log.write_text(outcome.output, encoding="utf-8")
    print(table(outcomes))
    return int(any(outcome.traceback or not outcome.in_time for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
