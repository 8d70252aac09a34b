"""A count and the text that explains it say the same number."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prophet_xr.catalogue import build
from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, plain, times, total

SHAPES = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=3).map(tuple), max_size=5)


@given(st.integers(0, 99), SHAPES)
def test_the_text_of_times_is_its_value(copies, shapes):
    count = times(copies, *shapes)
    assert count.value == copies * sum(map(prod, shapes))
    assert build.arithmetic(count.text) == count.value


@given(st.lists(st.tuples(st.integers(0, 9), SHAPES), max_size=5))
def test_the_text_of_a_total_is_its_value(terms):
    counts = [times(copies, *shapes) for copies, shapes in terms]
    count = total(*counts)
    assert count.value == sum(c.value for c in counts)
    assert build.arithmetic(count.text) == count.value


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (times(1, (4096, 1024)), "4096 * 1024"),
        (times(32, (4096, 1024)), "32 * 4096 * 1024"),
        (times(32, (4096, 1024), (4096, 1024)), "32 * 2 * 4096 * 1024"),
        (times(32, (4, 2), (3,), (4, 2)), "32 * (2 * 4 * 2 + 3)"),
        (total(times(2, (3,)), NOTHING, plain(5)), "2 * 3 + 5"),
        (times(0, (4, 2)), "0"),
        (times(3), "0"),
        (total(), "0"),
    ],
)
def test_equal_shapes_are_written_once_and_nothing_not_at_all(count, text):
    assert count.text == text
    assert isinstance(count, Count)
