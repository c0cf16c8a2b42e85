"""``init``: a project file planned from the data and the machine, or a preset with the data filled in."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvistk import console
from lvistk.config.load import expanded
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_cache import cache_beside
from lvistk.errors import UserError
from lvistk.planning.fingerprint import Fingerprint, fingerprint_of
from lvistk.planning.listing import CONVERTED
from lvistk.planning.planned import duration
from lvistk.planning.survey import Survey, survey
from lvistk.planning.write import data_lines, pipeline_text
from lvistk.stages.commands.convert import run as convert
from lvistk.stages.commands.init_plan import InitPlan, plan_for
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.project import PROJECT_FILE
from lvistk.stages.pipelines.shipped import whole_pipeline
from lvistk.whole_file import whole_file

PRESET_HEAD = """# The shipped pipeline {} with other data, written by `lvistk init`; `lvistk run` starts it.
# Its own header follows: hardware, time and scores are of the data that it is made for.
#"""
VAL_SHARE = 0.2
"""Share of the images that become val.json where the data have no validation file."""


@dataclass(frozen=True)
class InitOptions:
    """What ``lvistk init`` was given.

    hours: for the whole run; None: 2 on a CPU, 8 on a GPU.
    weights: of the backbone, a file, ``imagenet`` or ``none``; None: what lies here.
    checkpoint: a detector to start from.
    preset: a shipped pipeline whose values are taken.
    dry_run: only show.
    force: replace a project file that is there.
    """

    hours: float | None = None
    weights: str | None = None
    checkpoint: Path | None = None
    preset: str | None = None
    dry_run: bool = False
    force: bool = False
    device: str = "auto"


def run(data: Path, options: InitOptions) -> str:
    """Write ``lvistk.toml`` into the working folder, converted annotations beside it; returns the text."""
    file = Path(PROJECT_FILE)
    if file.exists() and not (options.force or options.dry_run):
        raise UserError(
            f"{file}: is there already; --force replaces it, --dry-run only shows a plan"
        )
    if options.preset and (options.hours, options.weights, options.checkpoint) != (None,) * 3:
        raise UserError(
            "--preset takes its values as they are; --hours, --weights and --from are for a plan"
        )
    source = survey(data)
    for line in source.told:
        console.say(line)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path.cwd().name) or "mine"
    with _workplace(name, dry_run=options.dry_run) as (converted, cache):
        paths = _lvis_files(source, converted)
        shown = _renamed(paths, str(converted), CONVERTED)
        if options.preset is not None:
            text = _preset(options.preset, shown, name=name)
        else:
            planned, head = _plan(source, paths, options, cache=cache)
            text = pipeline_text(planned.plan, name=name, out=f"runs/{name}", data=shown, head=head)
    if options.dry_run:
        console.say("")
        console.say(text)
        return text
    with whole_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    load_pipeline(file)
    console.say(f"{file}: written; lvistk run starts it, lvistk status shows its stages")
    return text


@contextmanager
def _workplace(name: str, *, dry_run: bool) -> Iterator[tuple[Path, Path]]:
    """Folders of converted annotations and of the index's cache; of a dry run they are temporary."""
    if not dry_run:
        yield Path(CONVERTED), cache_beside(Path("runs") / name / "stage")
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / CONVERTED, Path(folder) / "cache"


def _lvis_files(source: Survey, converted: Path) -> dict[str, Any]:
    """``[data]``: LVIS files as they are, or what ``convert`` makes of the others."""
    train, val = list(source.train), source.val[0] if source.val else None
    if source.kind != "lvis" or val is None:
        convert(
            train,
            converted,
            kind=source.kind,
            names=source.names,
            frequency="keep" if source.kind == "lvis" else "count",
            val_share=0.0 if val else VAL_SHARE,
            val_sources=source.val,
        )
        train, val = [converted / "train.json"], converted / "val.json"
    paths: dict[str, Any] = {
        "train": [_relative(path) for path in train],
        "train_images": _relative(source.images),
        "val": _relative(val),
        "val_images": _relative(source.val_images or source.images),
    }
    if source.pool is not None:
        console.say(f"{source.pool.folder}: a pool of unlabelled images")
        paths["pool"] = _relative(source.pool.folder)
        if source.pool.table is not None:
            paths["pool_list"] = _relative(source.pool.table)
        paths["exclude"] = [paths["val"]]
        paths["exclude_images"] = paths["val_images"]
    return paths


def _relative(path: Path) -> str:
    """A path as the project file has it: relative where it lies below the working folder."""
    full, here = path.absolute(), Path.cwd()
    return os.path.relpath(full, here) if full.is_relative_to(here) else str(full)


def _plan(
    source: Survey, paths: Mapping[str, Any], options: InitOptions, *, cache: Path
) -> tuple[InitPlan, list[str]]:
    """The plan, and the lines that say what it was made from."""
    train = [Path(path) for path in paths["train"]]
    index = AnnotationIndex.open(train, cache=cache, defects="skip")
    if not len(index.labels):
        raise UserError(f"{train[0]}: no annotations to train on")
    fingerprint = fingerprint_of(index)
    planned = plan_for(
        fingerprint,
        data=source.images,
        categories=train[0],
        val_images=len(AnnotationIndex.open([Path(paths["val"])], cache=cache, defects="skip")),
        pool="pool" in paths,
        hours=options.hours,
        weights=options.weights,
        checkpoint=expanded(options.checkpoint) if options.checkpoint else None,
        device=options.device,
    )
    head = _head(fingerprint, planned)
    for line in head[1:]:
        console.say(line)
    for line in planned.plan.remarks:
        console.warn(line)
    return planned, head


def _renamed(paths: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """``paths`` with one folder for another: a dry run shows what is not there yet."""
    return {
        key: [one.replace(old, new) for one in value]
        if isinstance(value, list)
        else value.replace(old, new)
        for key, value in paths.items()
    }


def _head(fingerprint: Fingerprint, planned: InitPlan) -> list[str]:
    machine, rates, time = planned.machine, planned.rates, duration(planned.plan.hours)
    return [
        "Planned by lvistk init; every setting may be changed (lvistk settings COMMAND explains them)",
        "",
        *(f"Data      {line}" for line in fingerprint.lines()),
        f"Machine   {machine.line()}",
        f"Time      about {time}: steps and images, at rates measured by a few steps of this "
        f"model on images of noise ({rates.training:.0f} and {rates.inference:.0f} billion MACs per second)",
        f"Start     {planned.start}",
    ]


def _preset(preset: str, paths: Mapping[str, Any], *, name: str) -> str:
    """A shipped pipeline with the data's paths, name and folder, and the rest as it is."""
    text = whole_pipeline(Path(preset)).read_text(encoding="utf-8")
    head, *tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    head = re.sub(r"^(name|out) *=.*\n", "", head, flags=re.MULTILINE).rstrip()
    head = f"{PRESET_HEAD.format(preset)}\n{head}"
    if re.search(r'^weights = "imagenet"', text, re.MULTILINE):
        console.warn(
            f'{preset}: weights = "imagenet" of [model.backbone] is a download when the run starts; give a '
            "local file instead if you do not want that"
        )
    if "openimages" in text and "pool" not in paths:
        console.warn(
            f"{preset}: has a stage for a pool of unlabelled images, and none was found here"
        )
    own = [f'name = "{name}"', f'out = "runs/{name}"', "", *data_lines(paths), ""]
    kept = [table for table in tables if not table.startswith(("[data]", "[generate]"))]
    return "\n".join([head, *own, "".join(kept)])
