"""What each part of the fine-tuning does: finetune_ablation.toml for several seeds, then the table.

    python pipelines/finetune_ablation.py --seeds 3 --out runs/finetune_ablation

Data (generated once, the same for all seeds), stage folders of every seed and ``table.md``,
``table.json`` go below ``--out``. A run that was stopped goes on where it was.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from lvistk import artifacts, console
from lvistk.cli.app import run_and_exit
from lvistk.config.load import apply_overrides
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.losses.group_softmax import group_categories
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from lvistk.whole_file import whole_file, write_json

PIPELINE = Path(__file__).with_suffix(".toml")
DATA = GenerateSettings(
    images=1000,
    val_images=250,
    pool_images=0,
    categories=20,
    long_side=144,
    mix="solid",
    rare_share=0.25,
    common_share=0.25,
    crowding=0.6,
    min_extent=0.18,
    max_extent=0.42,
    min_stroke=3.5,
    constancy=0.95,
    seed=0,
)
CONTROL = "longer"
"""The fine-tuning that changes nothing: what the others are compared with."""
RATIOS = {
    "AP < .25": "0-0.25",
    "AP .25-.5": "0.25-0.5",
    "AP .5-.75": "0.5-0.75",
    "AP > .75": "0.75-1",
}
"""Column, and the bucket of mask area over box area in metrics.json."""

Row = Mapping[str, float | None]
"""A variant's numbers in one seed, fractions; None is undefined."""


class Spread(NamedTuple):
    """Mean over the seeds and sample standard deviation (n - 1), which one seed has not.

    Both are None where a seed's value is undefined.
    """

    mean: float | None
    deviation: float | None
    values: tuple[float | None, ...]


def main(
    out: Annotated[Path, typer.Option(help="Folder of data, stages and table.")] = Path(
        "runs/finetune_ablation"
    ),
    seeds: Annotated[int, typer.Option(help="Run seeds 0, 1, ... of this number.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change one setting.")] = None,
) -> None:
    """Run every seed's stages that are not done, then write and print the tables."""
    generate(out / "data", settings=DATA, force=False)
    pipelines = [ablation(out, seed=seed, assignments=set_ or []) for seed in range(seeds)]
    for pipeline in pipelines:
        run_pipeline(pipeline, device=device)
    found = [read_rows(pipeline) for pipeline in pipelines]
    values, gains = summarise(found), summarise([over_control(rows) for rows in found])
    text = "\n".join(
        [*markdown("mean and spread", values), "", *markdown(f"gain over {CONTROL}", gains)]
    )
    write_json(
        out / "table.json",
        {
            "seeds": seeds,
            "versions": artifacts.versions(),
            "reach": reach(pipelines[0]),
            "values": as_table(values),
            f"gain_over_{CONTROL}": as_table(gains),
        },
    )
    with whole_file(out / "table.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    console.say(text)
    console.say(json.dumps(reach(pipelines[0]), indent=2))


def ablation(out: Path, *, seed: int, assignments: Sequence[str] = ()) -> Pipeline:
    """The pipeline of one seed, with its stages in ``out/seedN`` and the data in ``out/data``."""
    data = out / "data"
    paths = {
        "train": f'["{data / "annotations/train.json"}"]',
        "train_images": str(data),
        "val": str(data / "annotations/val.json"),
        "val_images": str(data),
    }
    own = [f"seed={seed}", *(f"data.{name}={path}" for name, path in paths.items())]
    return load_pipeline(PIPELINE, assignments=[*own, *assignments], out=out / f"seed{seed}")


def read_rows(pipeline: Pipeline) -> dict[str, Row]:
    """The row of every variant, in the pipeline's order."""
    rows: dict[str, Row] = {}
    for plan in pipeline.stages:
        if plan.command == "evaluate":
            metrics = json.loads((plan.out / "metrics.json").read_text(encoding="utf-8"))
            summary = artifacts.read_manifest(plan.inputs.detections)["summary"]
            rows[plan.name.removeprefix("score_")] = row(metrics, summary)
    return rows


def row(metrics: Mapping[str, Any], summary: Mapping[str, Any]) -> Row:
    """``metrics`` of evaluate and the ``summary`` of the inference before it, as columns.

    The gap is box AP less mask AP, of all objects and of those that fill under .25 of their box;
    ``moved`` is the share of mask RoIs that Eq. 1 took to another level.
    """
    segm, ratios = metrics["segm"], metrics["segm_by_area_ratio"]
    thin = ratios[RATIOS["AP < .25"]]
    return {
        "AP": segm["AP"],
        "APr": segm["APr"],
        "APc": segm["APc"],
        "APf": segm["APf"],
        "box AP": metrics["bbox"]["AP"],
        "gap": metrics["box_mask_gap"]["AP"],
        **{column: ratios[bucket]["AP"] for column, bucket in RATIOS.items()},
        "gap < .25": difference(thin["box_AP"], thin["AP"]),
        "AP50 < .25": thin["AP50"],
        "box APr": metrics["bbox"]["APr"],
        "boundary AP": metrics["boundary"]["AP"],
        "moved": summary["level_moved"],
    }


def difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def over_control(rows: Mapping[str, Row]) -> dict[str, Row]:
    """How far each fine-tuning is above the one that changes nothing, in the same seed."""
    control = rows[CONTROL]
    return {
        name: {column: difference(value, control[column]) for column, value in own.items()}
        for name, own in rows.items()
        if name != CONTROL
    }


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and standard deviation of one number over the seeds."""
    defined = [value for value in values if value is not None]
    if not values or len(defined) < len(values):
        return Spread(None, None, tuple(values))
    deviation = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), deviation, tuple(values))


def summarise(seeds: Sequence[Mapping[str, Row]]) -> dict[str, dict[str, Spread]]:
    """Every variant's columns over the seeds, each of which has the same variants."""
    return {
        name: {column: spread([rows[name][column] for rows in seeds]) for column in own}
        for name, own in seeds[0].items()
    }


def markdown(title: str, table: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    """Lines of a Markdown table in percent, a row each variant: ``12.3 ± 0.4``."""
    columns = list(next(iter(table.values())))
    lines = [f"| {title} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for name, cells in table.items():
        shown = " | ".join(percent(cells[column]) for column in columns)
        lines.append(f"| {name.replace('_', ' ')} | {shown} |")
    return lines


def percent(cell: Spread) -> str:
    if cell.mean is None:
        return "-"
    mean = f"{100 * cell.mean:.1f}"
    return mean if cell.deviation is None else f"{mean} ± {100 * cell.deviation:.1f}"


def as_table(table: Mapping[str, Mapping[str, Spread]]) -> dict[str, dict[str, Any]]:
    return {
        name: {column: cell._asdict() for column, cell in cells.items()}
        for name, cells in table.items()
    }


def reach(pipeline: Pipeline) -> dict[str, Any]:
    """How many categories each threshold touches; shares of validation objects by area ratio."""
    plan = pipeline.stage("group_softmax")
    cache = pipeline.out.parent / "index"
    train = AnnotationIndex.open(plan.inputs.train, cache=cache)
    val = AnnotationIndex.open([plan.inputs.val], cache=cache)
    counts = train.categories.instance_count.tolist()
    model = apply_overrides(
        pipeline.stage("stage1").settings.model, plan.settings.model, where=plan.name
    )
    edges = model.classifier.group_softmax.edges
    repeated = plan.settings.sampler.repeat_images
    return {
        "group_edges": list(edges),
        "categories_of_groups": [len(g) for g in group_categories(counts, edges=edges).groups],
        "repeat_images": repeated,
        "categories_repeated": int((train.categories.image_count < repeated).sum()),
        "val_objects_under_quarter": float((val.area_ratios() < 0.25).mean()),
    }


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(main)
    run_and_exit(command, name="finetune_ablation.py")
