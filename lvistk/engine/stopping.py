"""A polite stop: SIGTERM or Ctrl-C ends the run after the step that is being computed."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from lvistk import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Which signal has asked this process to stop; 0 for none."""

    def __init__(self) -> None:
        self.signal = 0

    def agreed(self) -> int:
        """The signal that any rank was sent, so that all of them leave after the same step."""
        return distributed.largest_over_ranks(self.signal)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch the first SIGTERM or SIGINT within the block; a second one acts as it always does."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python lets only the main thread handle signals
        return
    previous = {int(number): signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, previous[number])

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
