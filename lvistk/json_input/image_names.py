"""Images that results name by text: by file name, by its stem, or by the id as text."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from lvistk.json_input.mend import id_of_digits
from lvistk.json_input.segmentation import Unfit, short


class NamedImages:
    """Image ids by file name, with and without folders and suffix."""

    def __init__(self, images: Iterable[tuple[int, str | None]], *, path: Path) -> None:
        """Keep ``images`` until the first text is asked for.

        images: id and name of each image; an image may come with several names
        path: the annotation file that lists them, for messages
        """
        self._images, self._path = images, path

    def id_of(self, text: str) -> int | None:
        """The id of the image that ``text`` names; a number that is no name is itself; None for neither.

        Raises ``Unfit`` where it names several images.
        """
        ids = self._ids.get(text, set())
        if len(ids) > 1:
            raise Unfit(
                f"image_id {short(text)} names several images of {self._path}; use their ids"
            )
        return next(iter(ids)) if ids else id_of_digits(text)

    @cached_property
    def _ids(self) -> dict[str, set[int]]:
        ids: dict[str, set[int]] = defaultdict(set)
        for number, name in self._images:
            last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
            if last:
                for known in (name or "", last, last.rsplit(".", 1)[0]):
                    ids[known].add(number)
        return dict(ids)
