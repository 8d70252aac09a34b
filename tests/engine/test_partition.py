"""Parts of a grid, worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
import toy_nests

from prophet_xr.engine.nests import Nest
from prophet_xr.engine.partition import (
    bytes_of,
    part_lengths,
    parted_nests,
    slices,
    stored_arrays,
)

SIZES = {"a": 8, "b": 4}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (8 * 32, {"a": 8, "b": 4}),  # 32 numbers fit
        (8 * 31, {"a": 4, "b": 4}),  # the longer dim is halved
        (8 * 8, {"a": 4, "b": 2}),  # of equal ones one of them
        (8 * 4, {"a": 2, "b": 2}),  # then the other, longer by now
        (8 * 1, {"a": 1, "b": 1}),
        (0, {"a": 1, "b": 1}),  # nothing is left to cut
    ],
)
def test_the_longest_dim_is_halved_until_all_fits(limit, expected):
    assert part_lengths(SIZES, [("a", "b")], (), limit) == expected


def test_the_dim_of_the_most_numbers_is_halved_first():
    stored = [("a", "b"), ("b",), ("b",), ("b",)]  # 32 + 12: b is in 44 of them, a in 32
    assert part_lengths(SIZES, stored, (), 8 * 40) == {"a": 8, "b": 2}


def test_of_two_as_good_the_one_asked_for_is_first():
    assert part_lengths(SIZES, [("a", "b")], (), 8 * 31, first=("b",)) == {"a": 8, "b": 2}


def test_what_must_not_be_cut_is_not():
    assert part_lengths(SIZES, [("a", "b")], ("a",), 8 * 8) == {"a": 8, "b": 1}
    assert part_lengths(SIZES, [("a", "b")], ("a", "b"), 0) == SIZES
    assert part_lengths({**SIZES, "c": 100}, [("a", "b")], (), 0)["c"] == 100  # saves nothing


def test_odd_lengths_are_halved_upwards():
    assert part_lengths({"a": 5}, [("a",)], (), 8 * 4) == {"a": 3}


def test_slices_cover_a_dim():
    assert slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert slices(6, 3) == [slice(0, 3), slice(3, 6)]
    assert slices(2, 5) == [slice(0, 2)]


# --- Nests -----------------------------------------------------------------------------------

LENGTHS = {"policy": 2, "gpu": 100, "batch": 10}
# The fewest of 10 batches (80 B), room on (policy, gpu, batch) (16,000 B), and what reads the room
FIRST = Nest(("batch",), ("batch",), (), {}, {"fewest": "float64"}, 4)
ROOM = toy_nests.nest(stores=("room",))
SHARE = toy_nests.nest((toy_nests.SHARE_OF,), ("share",), reads={"room": ROOM.dims})
WANTED = frozenset({"share"})


def parted(nests, limit, wanted=WANTED):
    return parted_nests(nests, wanted, tuple(LENGTHS.items()), limit)


def test_what_fits_runs_once():
    nests = (FIRST, ROOM, SHARE)
    assert parted(nests, 16_080).once == nests
    assert parted(nests, 16_079).once == (FIRST,)
    assert parted(nests, 0, frozenset({"share", "room", "fewest"})).once == nests  # passes on none


def test_the_nests_that_share_a_large_array_run_in_parts():
    found = parted((FIRST, ROOM, SHARE), 8_080)
    assert (found.once, found.dim) == ((FIRST,), "gpu")
    assert found.length == 50  # 80 B are left whole, so 8,000 of 16,000 B are for 100 GPUs
    room, share = found.in_parts
    assert room.split_dim == share.split_dim == "gpu"
    assert room.uncut == {"memory", "needed"}  # the array between them holds the part alone
    assert share.uncut == {"share"}
    assert list(found.parts(LENGTHS)) == [slice(0, 50), slice(50, 100)]
    assert list(parted((FIRST,), 80).parts(LENGTHS)) == [slice(0, 0)]


def test_a_part_is_never_empty():
    assert parted((FIRST, ROOM, SHARE), 0).length == 1


def test_a_quarter_is_for_the_parts_where_the_rest_is_too_large():
    whole = replace(FIRST, dims=("batch", "other"), stores={"fewest": "float64"})
    sizes = (*LENGTHS.items(), ("other", 100))
    found = parted_nests((whole, ROOM, SHARE), WANTED, sizes, 8_000)  # which 80 * 100 B fill
    assert found.length == 2_000 * 100 // 16_000


def test_no_dim_is_cut_that_a_nest_without_it_reads():
    on_batch = Nest(("batch",), ("batch",), (), {"room": ROOM.dims}, {"best": "float64"}, 4)
    nests = (ROOM, on_batch)
    assert parted(nests, 0, frozenset({"best"})).once == nests


def test_no_dim_of_a_row_is_cut():
    nests = tuple(replace(nest, row=("gpu", "batch")) for nest in (ROOM, SHARE))
    assert parted(nests, 0).once == nests


def test_sizes_of_what_is_wanted_and_what_is_passed_on():
    found = parted((FIRST, ROOM, SHARE), 8_080)
    real = np.dtype(float)
    assert found.wanted_arrays(LENGTHS) == {"share": ((2, 100, 10), real)}
    passed_on = found.passed_on_arrays(LENGTHS, slice(50, 60))
    assert passed_on == {"fewest": ((10,), real), "room": ((2, 10, 10), real)}
    assert list(passed_on) == ["fewest", "room"]  # first what stays from part to part
    assert bytes_of(passed_on) == 80 + 8 * 200


def test_a_flag_takes_one_byte():
    nest = toy_nests.nest((toy_nests.ROOM_OF, toy_nests.FITS), ("fits",))
    assert bytes_of(stored_arrays([nest], LENGTHS)) == 2_000
