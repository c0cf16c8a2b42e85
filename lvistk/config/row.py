"""What a pipeline file says of itself as a row of a ladder of experiments."""

from dataclasses import dataclass, field

from lvistk.config.ranges import Share


@dataclass(frozen=True)
class PublishedScores:
    """Scores of the same row in the paper, shares of 1."""

    AP: Share | None = None
    """Mask AP."""
    APr: Share | None = None
    """Mask AP of rare categories."""
    APc: Share | None = None
    """Mask AP of common categories."""
    APf: Share | None = None
    """Mask AP of frequent categories."""
    box_AP: Share | None = None
    """Box AP."""


@dataclass(frozen=True)
class RowSettings:
    """The table ``[row]`` of a pipeline file."""

    title: str = ""
    """What the tables call the row; its file's name by default."""
    table: str = ""
    """The table of the paper that the row is from."""
    score: str = ""
    """The evaluate stage whose scores are the row's, the last one by default. Stages of the file that it
    does not need are not run."""
    over: tuple[str, ...] = ()
    """Rows, by their files' names, whose scores its own are compared with, the paper's step first."""
    paper: PublishedScores = field(default_factory=PublishedScores)
    """The paper's scores of the row."""
    paper_before: PublishedScores = field(default_factory=PublishedScores)
    """The paper's scores of the row that it measures this step over; by default those of the first row
    of ``over``."""
