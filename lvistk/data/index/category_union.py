"""The categories of several annotation files as one label set."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lvistk.data.index.lvis_json import CategoryRecord, categories_of
from lvistk.errors import UserError
from lvistk.structures.categories import Categories


def union_categories(files: Sequence[tuple[Path, Sequence[CategoryRecord]]]) -> Categories:
    """Union by id, counts 0; with a single file, its own label set.

    A record without a name, of a detection store, takes what an annotation file says of its id, else
    the name ``category ID``. Raises ``UserError`` where an id has two names or two frequencies,
    naming the file that differs.
    """
    by_id: dict[int, tuple[Path, CategoryRecord]] = {}
    for path, records in files:
        categories_of(records, path)  # refuses an id used twice within the file
        for record in records:
            first, known = by_id.setdefault(record.id, (path, record))
            _require_same(known, record, first=first, path=path)
            if (bool(record.name), bool(record.frequency)) > (
                bool(known.name),
                bool(known.frequency),
            ):
                by_id[record.id] = (path, record)
    records = [record for _, record in by_id.values()]
    for record in records:
        record.name = record.name or f"category {record.id}"
    united = categories_of(records, files[0][0])
    return dataclasses.replace(
        united,
        image_count=united.image_count * 0,
        instance_count=united.instance_count * 0,
    )


def _require_same(
    known: CategoryRecord, record: CategoryRecord, *, first: Path, path: Path
) -> None:
    if record.name and known.name and record.name != known.name:
        raise UserError(
            f"{path}: category {record.id} is '{record.name}', but '{known.name}' in {first}; "
            "files trained together need one label set (`lvistk convert` merges by name)"
        )
    if record.frequency and known.frequency and record.frequency != known.frequency:
        raise UserError(
            f"{path}: category {record.id} has frequency '{record.frequency}', but "
            f"'{known.frequency}' in {first}; `lvistk convert` merges files and counts anew"
        )


def similar_names(ids: Sequence[int], names: Sequence[str]) -> list[str]:
    """Categories whose names differ in case or spaces only, or not at all: ``'cat' (1), 'Cat' (2)``."""
    groups: dict[str, list[str]] = {}
    for number, name in zip(ids, names, strict=True):
        groups.setdefault(" ".join(name.casefold().split()), []).append(f"'{name}' ({number})")
    return [", ".join(group) for group in groups.values() if len(group) > 1]
