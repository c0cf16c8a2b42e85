"""Lines of progress where there is no terminal."""

import time

from lvistk.console import ProgressLine


def test_what_comes_before_the_second_step_is_not_in_the_rate() -> None:
    """Compilers and loaders start in the first step: a run of an hour is not announced as one of a day."""
    line = ProgressLine(label="train", total=102, done=0)
    time.sleep(0.2)
    line.advance(note="loss 2")
    now = time.monotonic()
    assert line._line(now) == "train: 1/102 loss 2"
    line.advance()
    assert line._line(now + 1.0) == "train: 2/102, 1.0/s, 1:40 left loss 2"
