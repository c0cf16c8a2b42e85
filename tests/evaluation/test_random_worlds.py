"""Random small worlds against the official code, bit for bit."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evaluation.random_worlds import random_world
from tests.evaluation.worlds import assert_same_as_official

WORLDS = st.tuples(
    st.integers(0, 2**32), st.integers(1, 4), st.sampled_from(["none", "both", "only"])
)
CHECKS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def _compare(given_world: tuple[int, int, str]) -> None:
    seed, images, boxes = given_world
    with tempfile.TemporaryDirectory() as folder:
        assert_same_as_official(Path(folder), *random_world(seed, images=images, boxes=boxes))


@given(WORLDS)
@settings(max_examples=50, **CHECKS)
def test_random_worlds(given_world: tuple[int, int, str]) -> None:
    _compare(given_world)


@pytest.mark.slow
@given(WORLDS)
@settings(max_examples=2000, **CHECKS)
def test_many_random_worlds(given_world: tuple[int, int, str]) -> None:
    _compare(given_world)
