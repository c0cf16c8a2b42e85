"""What tests in several folders are given."""

import pytest

from tests.command_line import Commands


@pytest.fixture
def lvistk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Calls ``lvistk`` as the command line does, in this process."""
    return Commands(capsys, monkeypatch)
