"""Memory between nests: aligned, apart, and kept from call to call up to a limit."""

import numpy as np
import pytest

from prophet_xr.engine import memory
from prophet_xr.engine.memory import Memory, aligned_array

REAL, FLAG = np.dtype(float), np.dtype(bool)
TYPES = {"a": ((3, 5), REAL), "b": ((7,), FLAG), "c": ((), REAL), "d": ((2,), np.dtype(np.int64))}
SIZE = 128 + 64 + 64 + 64  # of TYPES, each from a cache line on


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(memory, "_spare", [])


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (1000,), ()])
def test_an_array_begins_with_a_cache_line(shape):
    for _ in range(5):
        array = aligned_array(shape, REAL)
        assert address(array) % 64 == 0
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, REAL, True)


@pytest.mark.parametrize("limit", [0, SIZE, 10_000])
def test_arrays_of_one_block_do_not_touch(limit):
    store = Memory(limit)
    with store.borrowed():
        arrays = store.arrays(TYPES)
        assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == TYPES
        for name, array in arrays.items():
            assert address(array) % 64 == 0, name
            array[...] = 0
        for number, array in enumerate(arrays.values()):
            array[...] = number
        assert [array.ravel()[-1] for array in arrays.values()] == [0, True, 2, 3]
        assert not arrays["a"].any()


def test_the_same_arrays_are_given_until_others_are_asked_for():
    store = Memory(10_000)
    with store.borrowed():
        arrays = store.arrays(TYPES)
        assert store.arrays(dict(TYPES)) is arrays
        assert store.arrays({"a": TYPES["a"]}) is not arrays


def test_what_fits_the_limit_is_left_to_the_next_call():
    for value in (None, 1.0, 2.0):  # of the call before
        store = Memory(SIZE)
        with store.borrowed():
            array = store.arrays(TYPES)["a"]
            assert value is None or (array == value).all()
            array[...] = 1.0 if value is None else value + 1


def test_what_exceeds_the_limit_is_given_back():
    store = Memory(SIZE - 1)
    with store.borrowed():
        store.arrays(TYPES)
    assert memory._spare == []
    with store.borrowed():
        store.arrays({"a": TYPES["a"]})
    assert [block.size for block in memory._spare] == [SIZE - 1]


def test_two_calls_at_once_have_a_block_each():
    one, other = Memory(SIZE), Memory(SIZE)
    with one.borrowed(), other.borrowed():
        assert not np.shares_memory(one.arrays(TYPES)["a"], other.arrays(TYPES)["a"])
    assert len(memory._spare) == 1  # of which one is kept


def test_a_call_that_fails_leaves_its_block():
    store = Memory(SIZE)
    with pytest.raises(KeyError), store.borrowed():
        raise KeyError
    assert len(memory._spare) == 1
