"""A training of so many seconds on drawn data, stopped as a cluster stops it; prints its last metrics.

python -m tests.gpu.training FOLDER --seconds 120
"""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

from lvistk.console import read_metrics

SETTINGS = ("loop.epochs=1000", "loop.precision=bf16", "loop.batch_size=16", "loader.workers=8")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[], help="further settings")
    return parser


def main() -> None:
    given = arguments().parse_args()
    lvistk = [sys.executable, "-m", "lvistk"]
    data = given.folder / "data"
    drawn = ["--images", str(given.images), "--val-images", "100", "--pool-images", "0"]
    subprocess.run([*lvistk, "generate", str(data), *drawn], check=True)
    command = [*lvistk, "train-repr", "--config", "demo", "--stage", "round1"]
    command += ["--out", str(given.folder / "run"), "--device", given.device]
    command += ["--train", str(data / "annotations/train.json"), "--train-images", str(data)]
    command += [word for text in (*SETTINGS, *given.set) for word in ("--set", text)]
    process = subprocess.Popen(command)
    try:
        process.wait(given.seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it writes a checkpoint and leaves
        process.wait(120)
    rows = [row for row in read_metrics(given.folder / "run" / "metrics.jsonl") if "loss" in row]
    if not rows:
        sys.exit("no row of metrics was written")
    print(json.dumps({"rows": len(rows), "first": rows[0], "last": rows[-1]}))


if __name__ == "__main__":
    main()
