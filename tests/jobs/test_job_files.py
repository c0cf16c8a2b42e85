"""The job files for Kubernetes and SkyPilot keep to the schemas of these programs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from lvistk import __version__
from lvistk.cli.commands import app
from tests.jobs.schema import faults

HERE = Path(__file__).parent
JOBS = Path(__file__).parents[2] / "pipelines" / "jobs"
SCHEMAS = {
    "kubernetes": "kubernetes_job",
    "kubernetes_shards": "kubernetes_job",
    "skypilot": "skypilot_task",
}


def schema_of(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{SCHEMAS[name]}.json").read_text())


def job(name: str) -> dict[str, Any]:
    return yaml.safe_load((JOBS / f"{name}.yaml").read_text())


def test_every_file_has_a_schema() -> None:
    assert {path.stem for path in JOBS.glob("*.yaml")} == set(SCHEMAS)


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_job_keeps_to_its_schema(name: str) -> None:
    schema = schema_of(name)
    assert faults(job(name), schema, schema) == []


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes_shards"])
def test_mistakes_in_a_job_are_noticed(name: str) -> None:
    schema, table = schema_of(name), job(name)
    pod = table["spec"]["template"]["spec"]
    pod["restartPolicy"] = "Always"  # no Job may
    pod["containers"][0]["resources"]["limits"]["memory"] = "48 GB"
    pod["containers"][0]["command"] = "lvistk"
    pod["containers"][0]["volumeMount"] = []
    del pod["volumes"][0]["name"]
    told = faults(table, schema, schema)
    assert len(told) == 5
    assert any("volumeMount: unknown" in line for line in told)


def test_mistakes_in_a_task_are_noticed() -> None:
    schema, table = schema_of("skypilot"), job("skypilot")
    table["resources"]["use_spot"] = "yes"
    table["resources"]["gpus"] = 8
    table["envs"]["NOT-A-NAME"] = ""
    table["file_mounts"]["/results"]["mode"] = "WRITE"
    assert len(faults(table, schema, schema)) == 4


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes_shards"])
def test_volumes_are_there_and_the_image_is_this_version(name: str) -> None:
    pod = job(name)["spec"]["template"]["spec"]
    names = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= names
        assert container["image"] == f"lvistk:{__version__}"


def test_what_they_call_is_a_command_of_lvistk() -> None:
    group = get_command(app)
    for path in JOBS.glob("*.yaml"):
        called = re.findall(r"(?:-m,? |exec )lvistk,? (?:run),? (.*)", path.read_text())
        assert called, path.name
        for options in called:
            given = set(re.findall(r"--[a-z]+", options))
            command = group.commands["run"]  # pyright: ignore[reportAttributeAccessIssue]  # a group
            assert given <= {flag for one in command.params for flag in one.opts}, path.name
