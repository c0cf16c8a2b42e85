"""The project file ``lvistk.toml``: a pipeline file that commands find by themselves."""

import os
from collections.abc import Collection
from pathlib import Path

from lvistk import console
from lvistk.errors import UserError
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.runner import is_finished
from lvistk.stages.pipelines.stage_plan import StagePlan

PROJECT_FILE = "lvistk.toml"


def find_project() -> Path | None:
    """The project file of the working folder, or of the nearest folder above it that has one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def enter_project() -> Path | None:
    """``lvistk.toml`` of the project, whose folder becomes the working folder; None without a project.

    So that a command does the same from each folder of the project. Paths that were typed must be absolute
    before.
    """
    path = find_project()
    if path is None:
        return None
    if path.parent != Path.cwd():
        os.chdir(path.parent)
    return Path(PROJECT_FILE)


def typed_path(path: Path) -> Path:
    """A path of the command line, that means the same in the project's folder."""
    project = find_project()
    return path if project is None or project.parent == Path.cwd() else path.absolute()


def origin(plan: StagePlan, file: Path, *, typed: Collection[str]) -> str:
    """One line: which stage of which file runs, into which folder, and where its inputs come from.

    typed: names of the inputs that the command line gave.
    """
    unread = plan.stage.unread(plan.settings, plan.inputs)
    given = [
        name
        for name in vars(plan.inputs)
        if name not in unread and getattr(plan.inputs, name) not in (None, ())
    ]
    groups = {f"{name} from {one.name}": [name] for name, one in plan.sources.items()}
    groups["from [data]"] = [n for n in given if n not in plan.sources and n not in typed]
    groups["as typed"] = [n for n in given if n in typed]
    texts = [
        words if words.startswith(f"{names[0]} from") else f"{', '.join(names)} {words}"
        for words, names in groups.items()
        if names
    ]
    return f"{file}: stage {plan.name} in {plan.out}; {'; '.join(texts) or 'no inputs'}"


def require_project(what: str) -> Path:
    """As ``enter_project``; ``UserError`` without a project file, which says that ``what`` can be given."""
    path = enter_project()
    if path is None:
        raise UserError(
            f"no {PROJECT_FILE} in this folder or above: give {what}, or write the file with lvistk init"
        )
    return path


def project_runs() -> list[Path]:
    """The folder of the project's stages, for ``lvistk report``."""
    return [load_pipeline(require_project("the runs to report on"), more={}).out]


def project_scores() -> tuple[Path, Path]:
    """The first and the last evaluation of the project that are finished, for ``lvistk compare``."""
    pipeline = load_pipeline(require_project("two evaluations A and B"), more={})
    plans = [one for one in pipeline.stages if one.command == "evaluate" and is_finished(one)]
    if len(plans) < 2:
        raise UserError(
            f"{PROJECT_FILE}: {len(plans)} of its evaluations finished, and compare needs two: run "
            "lvistk run first, or give A and B"
        )
    console.say(f"{PROJECT_FILE}: A is {plans[0].name}, B is {plans[-1].name}")
    return plans[0].out, plans[-1].out
