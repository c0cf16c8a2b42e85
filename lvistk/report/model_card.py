"""``README.md`` of a model folder: a model card in the form that the Hugging Face hub reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml

from lvistk.artifacts import differences
from lvistk.percent import percent_text

SCORES = ("AP", "APr", "APc", "APf", "box_AP")
TITLES = {"AP": "mask AP", "box_AP": "box AP"}
GROUPS = {"r": "rare", "c": "common", "f": "frequent"}
MOST_CHANGES = 60
"""Settings that differ from the defaults and are listed."""


@dataclass(frozen=True)
class Scored:
    """Scores of a model on a data set.

    data: name of the annotation file.
    how: the views and merging, or the validation during training.
    scores: by name, 0 to 1; None for what is not defined.
    """

    data: str
    how: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Card:
    """What a model card tells.

    name: of the model.
    table: the model's metadata: settings, categories, versions, input size, training or import.
    parameters: how many numbers its weights are.
    manifest: of the stage that made it: command, settings, inputs, start.
    defaults: the stage's default settings as a table, which only changes are listed against.
    scored: its scores.
    """

    name: str
    table: Mapping[str, Any]
    parameters: int
    manifest: Mapping[str, Any]
    defaults: Mapping[str, Any]
    scored: Sequence[Scored]

    def text(self) -> str:
        """The card: YAML for the hub between two lines of dashes, then Markdown for people."""
        head = yaml.safe_dump(self._metadata(), sort_keys=False, allow_unicode=True)
        parts = [self._title(), self._use(), self._data(), self._scores(), self._settings()]
        return f"---\n{head}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"

    def _metadata(self) -> dict[str, Any]:
        backbone = self.table["settings"]["backbone"]["name"]
        tags = ["lvistk", "instance-segmentation", "object-detection", "long-tail", backbone]
        metadata: dict[str, Any] = {
            "library_name": "lvistk",
            "pipeline_tag": "image-segmentation",
            "tags": tags,
        }
        if self.scored:
            results = [_result(one) for one in self.scored]
            metadata["model-index"] = [{"name": self.name, "results": results}]
        return metadata

    def _title(self) -> str:
        settings, categories = self.table["settings"], self.table["categories"]
        stages = len(settings["cascade"]["ious"])
        kind = "Mask R-CNN" if settings["mask"]["enabled"] else "Faster R-CNN"
        kind = kind if stages == 1 else f"a cascade of {stages} box heads"
        made = f"lvistk {self.manifest['command']}"
        text = (
            f"{kind[0].upper()}{kind[1:]} with {settings['backbone']['name']}, {self.parameters:,} "
        )
        text += f"parameters, for {len(categories['ids'])} categories, made by `{made}`"
        imported = self.table.get("imported")
        if imported:
            text += f" from `{imported['file']}` ({imported['toolbox']})"
        return f"# {self.name}\n\n{text}."

    def _use(self) -> str:
        size = self.table.get("input") or {}
        edge = f" Images are resized to a short edge of {size['short_edge']} px." if size else ""
        code = (
            "import lvistk\n\n"
            'model = lvistk.load("model.safetensors")  # or this folder\n'
            'detections = model.predict("image.jpg", min_score=0.3)\n'
            'print(detections)\nfound.draw().save("picture.png")'
        )
        return (
            f"## Use\n\n```python\n{code}\n```\n\nOr `lvistk predict image.jpg --model .` on the command "
            f"line.{edge}"
        )

    def _data(self) -> str:
        categories = self.table["categories"]
        lines = [f"- {name}: `{path}`" for name, path in _inputs(self.manifest)]
        counts = [
            f"{categories['frequency'].count(letter)} {name}"
            for letter, name in GROUPS.items()
            if letter in categories["frequency"]
        ]
        groups = f" ({', '.join(counts)})" if counts else ""
        instances = sum(categories["instance_count"])
        unseen = sum(not count for count in categories["instance_count"])
        if instances:
            lines.append(
                f"- {instances:,} annotated instances in {categories.get('photo_count', 0):,} images"
            )
        lines.append(f"- {len(categories['ids'])} categories{groups}")
        if instances and unseen:
            lines.append(f"- {unseen} categories have no training example, so it cannot know them")
        return "## Data\n\n" + "\n".join(lines)

    def _scores(self) -> str:
        if not self.scored:
            return (
                "## Scores\n\nNot evaluated when this page was written. `lvistk evaluate` scores it by the "
                "LVIS protocol, and `lvistk export --as card` writes the page again with its scores."
            )
        names = [name for name in SCORES if any(name in one.scores for one in self.scored)]
        rows = ["| data | how | " + " | ".join(TITLES.get(name, name) for name in names) + " |"]
        rows.append("| --- | --- |" + " --- |" * len(names))
        for one in self.scored:
            cells = [percent_text(one.scores.get(name)) for name in names]
            rows.append(f"| `{one.data}` | {one.how} | {' | '.join(cells)} |")
        return "## Scores\n\nIn percent, by the LVIS protocol.\n\n" + "\n".join(rows)

    def _settings(self) -> str:
        changed = [
            line.removeprefix(".")
            for line in differences(self.defaults, self.manifest["settings"])
            if not line.startswith("seed")
        ]
        lines = [f"- `{name}` = {values.partition(' -> ')[2]}" for name, values in _split(changed)]
        more = len(lines) - MOST_CHANGES
        lines = lines[:MOST_CHANGES] + ([f"- and {more} more"] if more > 0 else [])
        versions = self.table.get("versions", {})
        text = ", ".join(
            f"{name} {value}" for name, value in versions.items() if name != "platform"
        )
        listed = "\n".join(lines) or "- all at their defaults"
        return (
            f"## Settings\n\nThose that differ from the defaults of `lvistk {self.manifest['command']}`; "
            f"`model.safetensors` holds all of the model's.\n\n{listed}\n\nVersions: {text}."
        )


def _result(one: Scored) -> dict[str, Any]:
    metrics = [
        {"type": name, "name": TITLES.get(name, name), "value": round(100 * value, 2)}
        for name in SCORES
        if (value := one.scores.get(name)) is not None
    ]
    return {
        "task": {"type": "image-segmentation", "name": "Instance segmentation"},
        "dataset": {"type": one.data, "name": one.data},
        "metrics": metrics,
    }


def _inputs(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and last part of each input's path: folders of the machine say nothing elsewhere."""
    for name, described in manifest["inputs"].items():
        for item in described if isinstance(described, list) else [described]:
            yield name.replace("_", " "), PurePath(item["path"]).name or "."


def _split(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, values = line.partition(": ")
        yield name, values
