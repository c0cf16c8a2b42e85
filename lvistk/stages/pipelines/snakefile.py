"""``lvistk snakefile``: the stages of a pipeline file as rules of Snakemake.

Snakemake removes the outputs of a rule before a job begins, so a rule must never declare a stage's
folder: its checkpoints, shards and manifest are what a resume needs. A rule declares the one file that a
stage writes last, with ``update()``, which keeps Snakemake from removing it. If the result is a folder of
shards, it declares a mark, an empty file.
"""

import hashlib
import json
import keyword
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvistk import console
from lvistk.config.load import marked, to_table
from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.stages.pipelines.stage_plan import StagePlan
from lvistk.whole_file import whole_file

FIRST_LINE = (
    "# Rules of Snakemake, written by lvistk snakefile; changes are lost when it is run again."
)
HEAD = """
# Configuration, by snakemake --config NAME=VALUE or --configfile FILE; it changes no result.
#   lvistk                how lvistk is started; default: lvistk
#   launcher              the same for stages on a device: torchrun --standalone --nproc-per-node 8 -m lvistk
#   options               further options of lvistk run, such as --device cpu
#   train, detect, score  threads and resources of the jobs: {threads: 16, gpu: 8, mem_mb: 64000}

LVISTK = config.get("lvistk", "lvistk")
LAUNCHER = config.get("launcher", LVISTK)
OPTIONS = config.get("options", "")


def threads_of(kind):
    return config.get(kind, {}).get("threads", 1)


def resources_of(kind):
    return {name: value for name, value in config.get(kind, {}).items() if name != "threads"}

"""
MARK = ".done"
"""Written by Snakemake into the folder of a finished stage whose result is a folder."""


@dataclass(frozen=True)
class _Call:
    """How the jobs call lvistk: pipeline file, folder of the results, and ``--set``, as words of a shell."""

    words: str
    shards: int


def write_snakefile(
    pipeline: Path,
    *,
    to: Path | None = None,
    shards: int = 1,
    assignments: Sequence[str] = (),
    out: Path | None = None,
) -> Path:
    """Write the rules of ``pipeline`` to ``to``, by default ``NAME.smk`` here; returns the file.

    shards: jobs that share the images of a stage that detects. A file that is not by lvistk is not replaced.
    """
    loaded = load_pipeline(pipeline, assignments=assignments, out=out)
    to = to or Path(f"{pipeline.stem}.smk")
    if to.is_file() and not to.read_text(encoding="utf-8").startswith(FIRST_LINE):
        raise UserError(
            f"{to}: is there already and was not written by lvistk; choose another --to"
        )
    words = [str(pipeline), "--out", str(loaded.out)]
    words += [word for text in assignments for word in ("--set", text)]
    text = snakefile_text(loaded, words, shards=shards)
    with whole_file(to) as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.say(f"{to}: {len(loaded.stages)} stages; snakemake --snakefile {to} --cores 2")
    return to


def snakefile_text(pipeline: Pipeline, words: Sequence[str], *, shards: int) -> str:
    """The rules. words: pipeline file and options, as ``lvistk run`` takes them."""
    call = _Call(" ".join(shlex.quote(word) for word in words), shards)
    names = _rule_names(pipeline.stages)
    rules = [_all(pipeline)]
    for plan in pipeline.stages:
        inputs = list(_inputs(plan, pipeline.stages))
        if plan.stage.in_portions and shards > 1:
            rules.append(_portion_rule(plan, names[plan.name], inputs, call))
            inputs.append(_portions(plan, shards))
        rules.append(_rule(plan, names[plan.name], inputs, call))
    return FIRST_LINE + "\n" + HEAD + "\n".join(rules)


def _all(pipeline: Pipeline) -> str:
    results = "".join(f"        {_literal(_result(plan))},\n" for plan in pipeline.stages)
    return f"\nrule all:\n    localrule: True\n    input:\n{results}"


def _rule(plan: StagePlan, name: str, inputs: Sequence[str], call: _Call) -> str:
    """The job that makes a stage, or of one whose images are divided, finishes it."""
    kind = "update" if Path(_result(plan)).name != MARK else "touch"
    divided = plan.stage.in_portions and call.shards > 1
    return _text(
        plan,
        name,
        inputs=inputs,
        output=f"{kind}({_literal(_result(plan))})",
        jobs="score" if divided else _jobs(plan),
        launcher="LVISTK" if divided else None,
        options=[call.words, "--only", plan.name],
    )


def _portion_rule(plan: StagePlan, name: str, inputs: Sequence[str], call: _Call) -> str:
    mark = _literal(str(plan.out / f".portion-{{number}}-of-{call.shards}"), wildcards=True)
    shard = f"--shard {{wildcards.number}}/{call.shards}"
    return _text(
        plan,
        f"{name}_portion",
        inputs=inputs,
        output=f"touch({mark})",
        jobs=_jobs(plan),
        options=[call.words, "--only", plan.name],
        shard=shard,
    )


def _text(
    plan: StagePlan,
    name: str,
    *,
    inputs: Sequence[str],
    output: str,
    jobs: str,
    options: Sequence[str],
    launcher: str | None = None,
    shard: str = "",
) -> str:
    launcher = launcher or ("LAUNCHER" if plan.stage.needs_device else "LVISTK")
    number = "-{number}" if shard else ""
    log = str(plan.out.parent / "logs" / plan.name).replace("{", "{{").replace("}", "}}")
    words = " ".join(options).replace("{", "{{").replace("}", "}}")
    command = f"{{{launcher}}} run {words} {shard and shard + ' '}{{OPTIONS}} > {{log}} 2>&1"
    lines = [
        f"\nrule {name}:",
        "    input:",
        *(f"        {one}," for one in inputs),
        "    output:",
        f"        {output},",
        "    log:",
        f"        {json.dumps(f'{log}{number}.log')},",
        "    params:",
        f"        settings={json.dumps(_digest(plan))},",
        "    threads: " + f'threads_of("{jobs}")',
        "    resources:",
        f'        **resources_of("{jobs}"),',
        "    shell:",
        f"        {json.dumps(command)}",
    ]
    if not inputs:
        del lines[1]
    return "\n".join(lines) + "\n"


def _rule_names(plans: Sequence[StagePlan]) -> Mapping[str, str]:
    """Names that Snakemake takes, by the stages' names."""
    names: dict[str, str] = {}
    taken = {"all", "whole_pipeline"}
    for plan in plans:
        name = plan.name.replace("-", "_")
        name = f"stage_{name}" if name[0].isdigit() else name
        while name in taken or f"{name}_portion" in taken or keyword.iskeyword(name):
            name += "_"
        names[plan.name] = name
        taken |= {name, f"{name}_portion"}
    return names


def _inputs(plan: StagePlan, plans: Sequence[StagePlan]) -> Iterator[str]:
    """Results of the stages that ``plan`` reads, and files that are there; no folders."""
    for path in plan.read_paths:
        makers = [one for one in plans if one.out == path or one.out in path.parents]
        if makers:
            yield _literal(_result(makers[0]))
        elif path.is_file():
            yield _literal(str(path))


def _result(plan: StagePlan) -> str:
    """The file that says that a stage is done: its first output, or a mark where that is a folder."""
    first = plan.stage.outputs[0]
    return str(plan.out / (first if Path(first).suffix else MARK))


def _portions(plan: StagePlan, shards: int) -> str:
    marks = _literal(str(plan.out / f".portion-{{number}}-of-{shards}"), wildcards=True)
    return f"expand({marks}, number=range(1, {shards + 1}))"


def _jobs(plan: StagePlan) -> str:
    """Whose threads and resources the jobs of a stage take."""
    if not plan.stage.needs_device:
        return "score"
    return "detect" if plan.stage.in_portions else "train"


def _digest(plan: StagePlan) -> str:
    """Of the settings that can change the result, so that Snakemake runs a stage whose settings changed."""
    table = to_table(plan.settings)
    for dotted in marked(plan.settings, "operational"):
        *groups, key = dotted.split(".")
        inner = table
        for group in groups:
            inner = inner[group]
        inner.pop(key, None)
    return hashlib.blake2b(json.dumps(table).encode(), digest_size=8).hexdigest()


def _literal(path: str, *, wildcards: bool = False) -> str:
    """A path as text of Python, in which Snakemake takes braces for wildcards."""
    return json.dumps(
        path if wildcards else path.replace("{", "{{").replace("}", "}}"), ensure_ascii=False
    )
