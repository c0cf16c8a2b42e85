"""Memory that runs out under C++ code: one line, and exit code 2."""

import subprocess
import sys

import pytest

THROW = """
import ctypes, sys
from lvistk.no_memory import tell_of_bad_alloc
if sys.argv[2] == "told":
    tell_of_bad_alloc()
    tell_of_bad_alloc()
getattr(ctypes.CDLL("libstdc++.so.6"), sys.argv[1])(b"what")
"""
BAD_ALLOC, OTHER = "_ZSt17__throw_bad_allocv", "_ZSt20__throw_length_errorPKc"


def thrown(exception: str, told: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", THROW, exception, told], capture_output=True, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's C++ runtime")
def test_an_allocation_that_fails_in_cpp_code_is_one_line() -> None:
    code, said = thrown(BAD_ALLOC, "told")
    assert code == 2 and said.startswith("error: no memory left on the host: "), said
    assert said.count("\n") == 1 and "run again" in said


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's C++ runtime")
def test_another_exception_ends_as_ever() -> None:
    assert thrown(OTHER, "told") == thrown(OTHER, "not told")
    assert thrown(OTHER, "told")[0] == -6
