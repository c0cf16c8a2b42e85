"""The model card of a stage folder, with the scores that are known."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lvistk.artifacts import MANIFEST, find_input, read_manifest
from lvistk.config.load import to_table
from lvistk.errors import UserError
from lvistk.models.model_file import MODEL, model_table
from lvistk.models.tensor_file import number_of_values
from lvistk.report.model_card import SCORES, Card, Scored
from lvistk.stages.specifications import STAGES
from lvistk.whole_file import whole_file

CARD = "README.md"
VALIDATION = "validation while training, one view"


def write_card(folder: Path, *, summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Write ``README.md`` beside the model that a stage has just written.

    It is no output of the stage, so that people may change it. summary: of the run, with the scores of its
    last validation.
    """
    _write(folder / CARD, folder, manifest, list(_of_summary(manifest, summary)))


def write_card_again(source: Path, out: Path) -> str:
    """Write the card of the model in the stage folder ``source`` with all scores of the runs beside it.

    Returns what was written, in words. Raises ``UserError`` where ``source`` is no finished stage with a
    model.
    """
    if not (source / MODEL).is_file():
        raise UserError(f"{source}: no {MODEL}; give the folder of a training or an import")
    manifest = read_manifest(source)
    scored = [*_of_summary(manifest, manifest["summary"]), *evaluations(source)]
    _write(out, source, manifest, scored)
    return f"model card with {len(scored)} row{'s' * (len(scored) != 1)} of scores"


def _write(out: Path, folder: Path, manifest: Mapping[str, Any], scored: list[Scored]) -> None:
    defaults = to_table(STAGES[manifest["command"]].settings())
    card = Card(
        name=folder.absolute().name,
        table=model_table(folder / MODEL),
        parameters=number_of_values(folder / MODEL),
        manifest=manifest,
        defaults=defaults,
        scored=scored,
    )
    with whole_file(out) as temporary:
        temporary.write_text(card.text(), encoding="utf-8")


def _of_summary(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[Scored]:
    """The scores of the last validation."""
    scores = {name: summary[name] for name in SCORES if name in summary}
    if scores and "val" in manifest["inputs"]:
        yield Scored(Path(manifest["inputs"]["val"]["path"]).name, VALIDATION, scores)


def evaluations(folder: Path) -> Iterator[Scored]:
    """Scores of the evaluate stages beside ``folder`` whose detections are those of its model."""
    beside = {
        path.parent: read_manifest(path.parent) for path in folder.parent.glob(f"*/{MANIFEST}")
    }
    own = {
        path.resolve()
        for path, manifest in beside.items()
        if manifest["command"] == "tta-infer" and _reads(path, manifest, "model") in _names(folder)
    }
    for path, manifest in sorted(beside.items()):
        if manifest["command"] != "evaluate" or manifest["state"] != "done":
            continue
        detections = _reads(path, manifest, "detections")
        if detections not in own:
            continue
        views = read_manifest(detections)["settings"].get("views", {})
        many = len(views.get("short_edges", [])) * (2 if views.get("flip") else 1)
        how = f"{many} view{'s' * (many != 1)}, short edges {views.get('short_edges')}"
        scores = {
            name: manifest["summary"].get(name) for name in SCORES if name in manifest["summary"]
        }
        yield Scored(Path(manifest["inputs"]["val"]["path"]).name, how, scores)


def _names(folder: Path) -> set[Path]:
    return {folder.resolve(), (folder / MODEL).resolve()}


def _reads(folder: Path, manifest: Mapping[str, Any], name: str) -> Path | None:
    described = manifest["inputs"].get(name)
    return None if not isinstance(described, dict) else find_input(folder, described).resolve()
