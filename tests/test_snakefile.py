"""``lvistk snakefile``, and real runs of Snakemake: on one host, and killed on a cluster."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvistk.artifacts import read_manifest
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.snakefile import write_snakefile
from tests.command_line import Commands
from tests.stages.tiny_run import PIPELINE, tiny_pipeline
from tests.test_commands import environment

FOLDER = Path(__file__).parents[1] / "pipelines"
MORE = """
[predict]
shard_images = 4
workers = 0
[stage.label]
command = "pseudo-label"
inputs = {{ model = "first" }}
views.short_edges = [64]
merge.score_threshold = 0.01
[stage.missing]
command = "filter-missing"
score = 0.01
[stage.detect-all]
command = "tta-infer"
inputs = {{ model = "first" }}
views.short_edges = [64]
views.flip = false
merge.max_detections = 8
[stage.score]
command = "evaluate"
"""
needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None,
    reason="Snakemake is not installed: pip install 'lvistk[cluster]'",
)


def pipeline_below(root: Path) -> Path:
    """A pipeline of one training, two detecting stages and their readers; images are drawn if need be."""
    tiny_pipeline(root)
    file = root / "pipeline.toml"
    training = PIPELINE.partition("[stage.second]")[0]
    file.write_text((training + MORE).format(root=root))
    return file


def rules(text: str) -> dict[str, str]:
    """The text of each rule by its name."""
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_each_stage_is_a_rule_that_declares_files(tmp_path: Path, lvistk: Commands) -> None:
    file = pipeline_below(tmp_path)
    runs, target = tmp_path / "runs", tmp_path / "it.smk"
    done = lvistk("snakefile", file, "--to", target, "--shards", 3)
    assert done.out == [f"{target}: 5 stages; snakemake --snakefile {target} --cores 2"]
    made = rules(target.read_text())
    assert list(made) == [
        *("all", "first", "label_portion", "label", "missing"),
        *("detect_all_portion", "detect_all", "score"),
    ]
    assert f'update("{runs}/first/model.safetensors")' in made["first"]
    assert f'"{tmp_path}/train.json",' in made["first"]
    assert f'touch("{runs}/label/.portion-{{number}}-of-3")' in made["label_portion"]
    assert "--only label --shard {wildcards.number}/3 {OPTIONS}" in made["label_portion"]
    assert "number=range(1, 4))" in made["label"] and "--shard" not in made["label"]
    assert f'"{runs}/label/.done",' in made["missing"]
    assert f'"{runs}/detect-all/.done",' in made["score"]
    assert 'resources_of("detect")' in made["detect_all_portion"]
    assert "{LAUNCHER} run" in made["first"] and "{LVISTK} run" in made["score"]
    for name, text in made.items():
        output = text.partition("output:")[2].partition("log:")[0]
        assert name == "all" or output.strip().startswith(("update(", "touch("))
    write_snakefile(file, to=target)
    assert list(rules(target.read_text())) == [
        *("all", "first", "label", "missing", "detect_all", "score")
    ]


def test_settings_that_count_change_a_rule_and_others_do_not(tmp_path: Path) -> None:
    file = pipeline_below(tmp_path)

    def digest(*assignments: str) -> str:
        write_snakefile(file, to=tmp_path / "a.smk", assignments=assignments)
        text = rules((tmp_path / "a.smk").read_text())["detect_all"]
        found = re.search(r'settings="(\w+)"', text)
        assert found
        return found[1]

    assert digest() == digest("detect-all.predict.workers=3")
    assert digest() != digest("detect-all.merge.max_detections=9")


def test_odd_names_and_other_peoples_files(tmp_path: Path, lvistk: Commands) -> None:
    file = tmp_path / "odd {names}.toml"
    file.write_text(
        '[stage.all]\ncommand = "evaluate"\n[stage.class]\ncommand = "evaluate"\n'
        '[stage.2nd]\ncommand = "evaluate"\n[stage.a-b]\ncommand = "evaluate"\n'
        '[stage.a_b]\ncommand = "evaluate"\n'
    )
    target = tmp_path / "odd.smk"
    assert lvistk("snakefile", file, "--to", target, "--out", tmp_path / "{x}").code == 0
    made = rules(target.read_text())
    assert list(made) == ["all", "all_", "class_", "stage_2nd", "a_b", "a_b_"]
    assert f'update("{tmp_path}/{{{{x}}}}/a-b/metrics.json")' in made["a_b"]
    assert f"run '{tmp_path}/odd {{{{names}}}}.toml' --out" in made["a_b"]
    mine = tmp_path / "mine.smk"
    mine.write_text("rule all:\n")
    assert "was not written by lvistk" in lvistk("snakefile", file, "--to", mine).error()
    assert mine.read_text() == "rule all:\n"


def snakemake(root: Path, *options: object, runs: str) -> list[str]:
    """The command that runs ``pipeline.toml`` with results in ``runs``, two jobs for each set of images."""
    config = [f"pipeline={root}/pipeline.toml", "shards=2", f"out={root}/{runs}"]
    config += [f"lvistk={sys.executable} -m lvistk", "options=--device cpu"]
    given = ["--snakefile", FOLDER / "Snakefile", "--directory", root / f"{runs}-work", *options]
    return [sys.executable, "-m", "snakemake", *map(str, given), "--config", *config]


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def require_same_results(wanted: Path, made: Path) -> None:
    """Scores, detections, weights: the same bytes."""
    for name in ("score/metrics.json", "score/per_category.csv", "missing/missing.h5"):
        assert (made / name).read_bytes() == (wanted / name).read_bytes(), name
    for shard in sorted(wanted.glob("*/detections/*.h5")):
        assert (made / shard.relative_to(wanted)).read_bytes() == shard.read_bytes(), shard
    for stage in sorted(wanted.glob("*/stage.json")):
        assert read_manifest(made / stage.parent.name)["state"] == "done"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that ``lvistk run`` has run into ``runs``."""
    root = tmp_path_factory.mktemp("snakemake")
    run_pipeline(load_pipeline(pipeline_below(root)), device="cpu")
    return root


@pytest.mark.slow
@needs_snakemake
def test_snakemake_on_one_host_gives_what_run_gives(root: Path) -> None:
    command = snakemake(root, "--cores", 2, runs="local")
    call(command)
    require_same_results(root / "runs", root / "local")
    again = call(command)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
@needs_snakemake
@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="snakemake-executor-plugin-cluster-generic is not installed",
)
def test_snakemake_killed_on_a_cluster_goes_on_to_the_same_scores(root: Path) -> None:
    submit = root / "submit.sh"
    submit.write_text('nohup sh "$1" > /dev/null 2>&1 &\necho $!\n')
    command = snakemake(
        root,
        *("--executor", "cluster-generic", "--cluster-generic-submit-cmd", f"sh {submit}"),
        *("--jobs", 2, "--rerun-incomplete", "--latency-wait", 60),
        runs="cluster",
    )
    checkpoints = root / "cluster" / "first" / "checkpoints"
    process = subprocess.Popen(
        command, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=-3
    )
    end = time.monotonic() + 600
    while len(list(checkpoints.glob("step_*.safetensors"))) < 2:  # the newest may not be finished
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)  # Snakemake, and the job as a host that is lost
    process.wait()
    assert read_manifest(root / "cluster" / "first")["state"] == "running"
    call([*command, "--unlock"])
    call(command)
    log = (root / "cluster" / "logs" / "first.log").read_text()
    assert "first: resuming" in log and "resuming after step" in log
    require_same_results(root / "runs", root / "cluster")
