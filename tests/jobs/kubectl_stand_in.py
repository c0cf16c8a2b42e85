"""Stands in for ``kubectl`` and a cluster: a Job's container is a process of this machine.

Takes what ``pipelines/profiles/kubernetes`` calls: ``create``, ``get`` and ``delete``, with its options only.
Jobs are files in the folder ``KUBECTL_JOBS``; ``KUBECTL_DOWN`` plays a cluster that does not answer.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

JOBS = Path(os.environ["KUBECTL_JOBS"])
WATCH = '"$@" > "$0.log" 2>&1; echo $? > "$0.part"; mv "$0.part" "$0.code"'


def create() -> str:
    """Start the Job of the standard input; returns its name."""
    table = yaml.safe_load(sys.stdin)
    name = f"{table['metadata']['generateName']}{len(list(JOBS.glob('*.yaml'))):05d}"
    (JOBS / f"{name}.yaml").write_text(yaml.safe_dump(table))
    container = table["spec"]["template"]["spec"]["containers"][0]
    process = subprocess.Popen(
        ["sh", "-c", WATCH, JOBS / name, *container["command"]],
        cwd=container["workingDir"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (JOBS / f"{name}.pid").write_text(str(process.pid))
    return f"job.batch/{name}"


def get(name: str) -> str:
    """``succeeded/failed``, each a number or nothing; nothing at all for a Job that is gone."""
    code = JOBS / f"{name}.code"
    if not (JOBS / f"{name}.yaml").is_file():
        return ""
    if not code.is_file():
        return "/"
    return "1/" if code.read_text().strip() == "0" else "/1"


def delete(name: str) -> str:
    os.killpg(int((JOBS / f"{name}.pid").read_text()), signal.SIGTERM)
    (JOBS / f"{name}.yaml").unlink()
    return f"{name} deleted"


def main() -> None:
    if "KUBECTL_DOWN" in os.environ:
        sys.exit("Unable to connect to the server")
    verb, *words = sys.argv[1:]
    names = [word.removeprefix("job.batch/") for word in words if word.startswith("job.batch/")]
    match verb:
        case "create":
            print(create())
        case "get":
            print(get(names[0]), end="")
        case "delete":
            print("\n".join(delete(name) for name in names))


if __name__ == "__main__":
    main()
