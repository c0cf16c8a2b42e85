"""What lies in a folder of data: annotation files, images, a pool without annotations."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

from lvistk.data.images.image_files import ImageFolder
from lvistk.data.index.lvis_json import AnnotationFile, Broken, ImageRecord
from lvistk.data.synthetic.settings import COMPLETE
from lvistk.errors import UserError
from lvistk.planning.listing import Listing, Pool, listing_of, pool_of
from lvistk.planning.survey_folders import (
    Folders,
    Role,
    is_sheet,
    labelme_folders,
    role_of,
    role_of_folder,
    yolo_folders,
)

NOT_INSTANCES = re.compile(r"^(captions|person_keypoints|panoptic|stuff)_", re.IGNORECASE)
MOST_JSON = 200
"""JSON files of a folder that are looked into; a folder of LabelMe sheets has more."""
PEEKED = 50
"""Images of an annotation file whose files are looked for."""

Kind = Literal["lvis", "coco", "yolo", "labelme"]


@dataclass(frozen=True)
class Annotations:
    """An annotation file: whether LVIS or COCO, its role by its name, and its images.

    names: what each image may be called, by its id.
    """

    path: Path
    kind: Kind
    role: Role
    names: dict[int, tuple[str, ...]]
    instances: int


@dataclass(frozen=True)
class Survey:
    """What was found below a folder.

    kind: of the annotations that are used. train, val: annotation files, or folders of YOLO and LabelMe.
    images: the folder that the images' names start at. val_images: the same of val, where it is another.
    names: YOLO's class names.
    pool: unlabelled images.
    told: what was chosen and left out, a line each.
    """

    kind: Kind
    train: tuple[Path, ...]
    val: tuple[Path, ...]
    images: Path
    val_images: Path | None = None
    names: Path | None = None
    pool: Pool | None = None
    told: tuple[str, ...] = ()


def survey(folder: Path) -> Survey:
    """What a run can start from; ``UserError`` where there are no annotations or no images."""
    if folder.is_file():
        raise UserError(f"{folder}: is a file; give the folder that holds annotations and images")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of data")
    listing = listing_of(folder)
    if not listing.image_folders:
        raise UserError(f"{folder}: no images in this folder; give the folder that holds them")
    refused = [f"{path}: a link to a file that is not there" for path in listing.missing]
    files = list(_annotation_files(folder, listing.json, refused))
    pool = pool_of(listing)
    if files:
        found = _of_files(folder, files, listing, pool)
        return replace(found, told=(*found.told, *_left_out(refused)))
    for yaml in listing.yaml:
        if _is_yolo(yaml):
            return _of_folders("yolo", yolo_folders(yaml), pool, names=yaml)
    sheets = labelme_folders(folder, listing.json)
    if sheets is not None:
        return _of_folders("labelme", sheets, pool)
    raise UserError(
        f"{folder}: no annotations: no LVIS or COCO JSON with instances, no YOLO data.yaml, no LabelMe "
        "sheets"
        + (f" ({refused[0]})" if refused else "")
        + "; lvistk convert --help says what is read"
    )


def _left_out(refused: Sequence[str]) -> Iterator[str]:
    """A line about the files that were passed over, with the reason of the first."""
    if refused:
        more = f" ({len(refused) - 1} more files)" if len(refused) > 1 else ""
        yield f"left out: {refused[0]}{more}"


def _annotation_files(
    folder: Path, paths: Sequence[Path], refused: list[str]
) -> Iterator[Annotations]:
    """The files that list images, categories and instances; why others are none joins ``refused``."""
    for path in paths[:MOST_JSON]:
        if NOT_INSTANCES.match(path.name) or is_sheet(path):
            continue
        if path.stem.endswith(COMPLETE):
            refused.append(f"{path}: what `lvistk generate` drew, to measure others by")
            continue
        try:
            file = AnnotationFile(path)
            images = [one for one in file.images() if not isinstance(one, Broken)]
        except UserError as error:  # results, settings, anything else
            refused.append(str(error))
            continue
        if images:
            instances = sum(1 for _ in file.annotations())
            names = {one.id: _names(one) for one in images}
            yield Annotations(path, _kind(file, images), _role(path, folder), names, instances)


def _names(image: ImageRecord) -> tuple[str, ...]:
    return tuple(name for name in (image.file_name, image.coco_url) if name)


def _kind(file: AnnotationFile, images: Sequence[ImageRecord]) -> Kind:
    """LVIS files have frequency groups, or lists of absent categories."""
    has_lists = any(one.neg_category_ids or one.not_exhaustive_category_ids for one in images)
    has_groups = all(one.frequency for one in file.categories())
    return "lvis" if has_lists or has_groups else "coco"


def _role(path: Path, folder: Path) -> Role:
    """By the file's name, or where that says nothing by the name of its folder below ``folder``."""
    above = path.parent.name if path.parent != folder else ""
    return role_of(path.stem) or role_of(above) or "train"


def _of_files(
    folder: Path,
    files: Sequence[Annotations],
    listing: Listing,
    pool: Pool | None,
) -> Survey:
    usable = [one for one in files if one.instances and one.role != "test"]
    val = _largest([one for one in usable if one.role == "val"])
    told = list(_passed_over(files, val))
    candidates = [one for one in usable if one.role == "train"]
    if not candidates:
        candidates, val = [val or _refuse_unusable(files)], None
    candidates.sort(key=lambda one: ("train" not in one.path.stem, len(one.path.stem)))
    kind = candidates[0].kind
    train: list[Annotations] = []
    own = _own_folders(candidates[0], val, folder, listing) if val else None
    taken = set(_keys(val)) if val and own is None else set()
    for one in candidates:
        shared = taken & _keys(one)
        why = ""
        if shared:
            why = f"shares {len(shared)} images with others"
        elif one.kind != kind:
            why = f"a {one.kind} file"
        elif own and train:
            why = f"its images may lie elsewhere than those of {train[0].path}"
        if why:
            told.append(f"{one.path}: left out, {why}")
            continue
        taken |= _keys(one)
        train.append(one)
    if not train:
        raise UserError(
            f"{candidates[0].path}: shares images with the validation file, or names of them; name the files "
            "train and val, and where the images are others put each file beside its own"
        )
    used = [*train, *([val] if val else [])]
    for one in used:
        role = "validation" if one is val else "training"
        counts = f"{len(one.names)} images, {one.instances} instances"
        told.append(f"{one.path}: {one.kind.upper()}, {counts}, {role}")
    if pool is not None and any(_lies_in(listing.pool_folders, one) for one in used):
        told.append(f"{pool.folder}: no pool, its images are annotated")
        pool = None
    images, val_images = own or (_image_root(folder, used, listing), None)
    return Survey(
        kind=kind,
        train=tuple(one.path for one in train),
        val=(val.path,) if val else (),
        images=images,
        val_images=val_images,
        pool=pool,
        told=tuple(told),
    )


def _passed_over(files: Sequence[Annotations], val: Annotations | None) -> Iterator[str]:
    """A line about each file that is neither trained nor scored on by its content or name."""
    for one in files:
        if not one.instances:
            yield f"{one.path}: left out, no instances"
        elif one.role == "test":
            yield f"{one.path}: left out, a test file"
        elif val is not None and one.role == "val" and one is not val:
            yield f"{one.path}: left out, {val.path.name} has more instances"


def _refuse_unusable(files: Sequence[Annotations]) -> NoReturn:
    """Files without instances, and test files, leave nothing to train on."""
    test = next((one for one in files if one.instances), None)
    if test is not None:
        raise UserError(
            f"{test.path}: a test file by its name, which is not trained on; rename it if it may be"
        )
    raise UserError(f"{files[0].path}: lists images and no instances; give the file that has them")


def _own_folders(
    train: Annotations, val: Annotations, folder: Path, listing: Listing
) -> tuple[Path, Path] | None:
    """The image folders of two files that name images alike, where each has one of its own.

    None where they share no name, or where both may mean the same images.
    """
    if not _keys(train) & _keys(val):
        return None
    first, second = (_own_folder(one, folder, listing) for one in (train, val))
    return None if first is None or second is None or first == second else (first, second)


def _own_folder(one: Annotations, folder: Path, listing: Listing) -> Path | None:
    """The image folder beside a file, or else the one that is called for its role."""
    looked_for = [names[0] for names in _some(one) if names]
    holding = [
        path
        for path in listing.image_folders
        if all((path / name).is_file() for name in looked_for)
    ]
    above = one.path.parent
    beside = [path for path in holding if above != folder and path.is_relative_to(above)]
    called = [path for path in holding if role_of_folder(path, folder) == one.role]
    return next((paths[0] for paths in (beside, called) if len(paths) == 1), None)


def _some(one: Annotations) -> list[tuple[str, ...]]:
    """The names of some of a file's images, from all over it."""
    all_names = list(one.names.values())
    return all_names[:: max(1, len(all_names) // PEEKED)]


def _lies_in(folders: Iterable[Path], one: Annotations) -> bool:
    """Whether images of a file lie in one of ``folders``, by the last part of some names."""
    files = [Path(names[0]).name for names in _some(one) if names]
    return any((folder / name).is_file() for folder in folders for name in files)


def _keys(one: Annotations) -> set[str]:
    return {names[0] if names else str(number) for number, names in one.names.items()}


def _largest(files: Sequence[Annotations]) -> Annotations | None:
    return max(files, key=lambda one: one.instances, default=None)


def _image_root(folder: Path, files: Sequence[Annotations], listing: Listing) -> Path:
    """The deepest folder below which the images of all files are found by their names."""
    roots = {folder}
    for below in listing.image_folders:
        roots |= {below, *(up for up in below.parents if up.is_relative_to(folder))}
    looked_for: list[tuple[str, ...]] = []
    for one in files:
        looked_for += _some(one)
    by_count: dict[Path, int] = {}
    for root in sorted(roots, key=lambda path: -len(path.parts)):
        images = ImageFolder(root, same_ending=lambda _: False)
        by_count[root] = sum(_is_there(images, names) for names in looked_for)
        if by_count[root] == len(looked_for):
            return root
    best = max(by_count, key=lambda root: by_count[root])
    if not by_count[best]:
        raise UserError(
            f"{folder}: holds none of the images that {files[0].path} lists, such as {looked_for[0]}"
        )
    return best


def _is_there(images: ImageFolder, names: Sequence[str]) -> bool:
    try:
        images.find(names)
    except UserError:
        return False
    return True


def _is_yolo(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return bool(re.search(r"^names\s*:", text, re.MULTILINE))


def _of_folders(kind: Kind, found: Folders, pool: Pool | None, names: Path | None = None) -> Survey:
    """YOLO or LabelMe data."""
    return Survey(
        kind=kind,
        train=(found.train,),
        val=(found.val,) if found.val else (),
        images=found.images,
        val_images=found.val,
        names=names,
        pool=pool,
        told=(found.told,),
    )
