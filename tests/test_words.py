"""Plain English, one term a thing: words that code, docs and messages don't use, and what to write."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = {".py", ".md", ".toml", ".css", ".js", ".html", ".sh", ".smk"}
UNITS = (
    "annotation|batch|bin|category|cell|core|detection|device|epoch|file|group|image|instance|level|"
    "pixel|point|process|proposal|rank|ratio|RoI|second|shard|short edge|side|stage|step|tensor|"
    "tile|view|worker"
)
COUNTED = (
    r"one|two|three|four|\d+|anchors|bins|boxes|box|bytes|categories|column|detections|entry|file|"
    r"head|heads|images|limit|line|lines|matrix|ms|number|process|processes|row|rows|samples|thread|times"
)
NO_VERB = r"(?! (?:consists|has|holds|is|lists|shows))"
"""\"which images an epoch holds\" is no rate."""
INSTEAD = {
    r"photos?": "image",
    r"truths?": "ground truth, or gt in names",
    r"a images?": "an image, or per image",
    rf"(?:{COUNTED}) an? (?:{UNITS}){NO_VERB}": "per",
    "(?<!of.)ours is": "say what lvistk does",
    "where there (?:is|are) (?:one|any)": "say when: if the model has a mask scoring head",
    "stands there twice": "duplicate annotation id 5",
    "(?:machine|disk)'s mood": "run-to-run variation",
    "instance instances?": "instance",
    "image of the image": "say which",
}
"""What is not written, and what instead. A space matches any white space and underscores; words in
names count (``test_a_image``), parts of words don't (``untruth``)."""
QUOTED = (
    # names in files that exist and must stay readable
    "photos_per_s",
    "photo_count",
    '"photos"',
    "'photos'",
    '"truths"',
    "'truths'",
    "lvistk-truth",
    "full_truth",
    # what a list of Open Images says, in the drawn one
    "/photos/",
    "Generated photo",
    # old names of options and settings, still accepted
    "--photos",
    "--truth",
    '"repeat_photos"',
    '"eql_tail_photos"',
    '"tail_photos"',
    '"max_photos"',
)
OWN = {Path(name) for name in ("tests/test_words.py", "CONTRIBUTING.md", "docs/changelog.md")}
"""The glossary itself, and what changed, which may be called by its old name."""


def texts() -> list[Path]:
    """All text files of the checkout that people read, but for what tools have left there."""
    folders = [ROOT / name for name in ("lvistk", "tests", "docs", "pipelines")]
    inside = [path for folder in folders for path in folder.rglob("*") if path.suffix in KINDS]
    return sorted(
        path.relative_to(ROOT) for path in [*inside, *ROOT.glob("*.md"), ROOT / "Makefile"]
    )


def pattern(words: str) -> re.Pattern[str]:
    """The words over line ends and comment signs, not inside of longer words."""
    spaced = words.replace(" ", r"(?:[ \t]+|[ \t]*\n[ \t#]*|_)")
    return re.compile(rf"(?<![^\W_]){spaced}(?![^\W_])", re.IGNORECASE)


def read(text: str) -> str:
    """The text without quotations and without ``ground truth``, in lines of the same numbers."""
    for quotation in QUOTED:
        text = text.replace(quotation, "-" * len(quotation))
    return re.sub(r"(ground[\s#_-]*)truths?", r"\1-----", text, flags=re.IGNORECASE)


@pytest.mark.parametrize("words", INSTEAD, ids=lambda words: INSTEAD[words])
def test_words_that_are_not_written(words: str) -> None:
    search = pattern(words)
    hits = []
    for path in texts():
        if path in OWN:
            continue
        text = read((ROOT / path).read_text())
        hits += [
            f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit.group()}"
            for hit in search.finditer(text)
        ]
    assert not hits, f"write {INSTEAD[words]!r} in\n" + "\n".join(hits)


@pytest.mark.parametrize(
    ("words", "text", "hit"),
    [
        (r"photos?", "the photo of a cat", True),
        (r"photos?", "max_photos", True),
        (r"photos?", "photon", False),
        (rf"(?:{COUNTED}) an? (?:{UNITS}){NO_VERB}", "threads: one a\n    core", True),
        (rf"(?:{COUNTED}) an? (?:{UNITS}){NO_VERB}", "which images an epoch holds", False),
        (rf"(?:{COUNTED}) an? (?:{UNITS}){NO_VERB}", "some of an image", False),
        ("truths?", "the ground\n    truth", False),
        ("truths?", "of the truth", True),
    ],
)
def test_what_the_search_sees(words: str, text: str, *, hit: bool) -> None:
    assert bool(pattern(words).search(read(text))) == hit
