"""Arrays of a cube: new ones, those of an earlier cube, and wide ones where reals are narrow."""

import numpy as np
import pytest
import toy_nests
import xarray as xr

from prophet_xr.engine import output_arrays
from prophet_xr.engine.nests import Nest
from prophet_xr.engine.output_arrays import narrow, real_dtype, reusable, written_and_kept
from prophet_xr.engine.partition import PartedNests
from prophet_xr.errors import InputError

SIZES = {"policy": 2, "gpu": 2, "batch": 3}
SHAPE = (2, 2, 3)


def nests(dtype="float64"):
    """Room, which another nest reads and so is stored wide, and its share as asked for."""
    room = toy_nests.nest(stores=("room",))
    share = toy_nests.nest((toy_nests.SHARE_OF,), reads={"room": room.dims}, stores=())
    share = Nest(share.dims, share.row, share.metrics, share.reads, {"share": dtype}, 4)
    return PartedNests(frozenset({"room", "share"}), (room, share))


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4"])
def test_a_dtype_is_named(dtype):
    assert real_dtype(dtype) == "float32"


@pytest.mark.parametrize("dtype", ["float16", int, "no type", 3, None])
def test_another_dtype_is_refused(dtype):
    if dtype is None:  # which numpy takes for float64
        assert real_dtype(dtype) == "float64"
        return
    with pytest.raises(InputError, match="expected 'float64' or 'float32'"):
        real_dtype(dtype)


def test_new_arrays_are_written_and_kept():
    written, kept = written_and_kept(nests(), SIZES, "float64", {})
    assert {n: (a.shape, a.dtype) for n, a in kept.items()} == {
        "room": (SHAPE, np.float64),
        "share": (SHAPE, np.float64),
    }
    assert all(written[n] is kept[n] for n in ("room", "share"))


def test_what_another_nest_reads_is_written_wide_and_narrowed():
    written, kept = written_and_kept(nests("float32"), SIZES, "float32", {})
    assert written["share"] is kept["share"]
    assert (written["room"].dtype, kept["room"].dtype) == (np.float64, np.float32)
    written["room"][...], written["share"][...] = 1 + 2.0**-40, 5
    written["room"][0, 0, 0] = 1e300
    narrow(written, kept)
    assert kept["room"].ravel().tolist() == [np.inf, *[1.0] * 11]
    assert (kept["share"] == 5).all()


def test_arrays_of_an_earlier_cube_are_used_again():
    room = np.zeros(SHAPE)
    written, kept = written_and_kept(nests(), SIZES, "float64", {"room": room})
    assert written["room"] is kept["room"] is room


@pytest.mark.parametrize(
    ("wanted", "reused", "arrays"),
    [("room share", "", 2), ("room share", "room", 1), ("share", "", 2), ("share", "share", 1)],
)
def test_memory_is_asked_for_what_is_new(wanted, reused, arrays, monkeypatch):
    asked = []
    monkeypatch.setattr(output_arrays, "enough_memory", asked.append)
    parted = PartedNests(frozenset(wanted.split()), nests().nests)
    given = {name: np.zeros(SHAPE) for name in reused.split()}
    written_and_kept(parted, SIZES, "float64", given)
    assert asked == [arrays * 8 * 12]  # of what is passed on too


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3, 2)), np.zeros(SHAPE, np.float32), np.zeros((2, 2, 6))[..., ::2]],
    ids=["shape", "dtype", "layout"],
)
def test_arrays_that_do_not_match_are_refused(array):
    with pytest.raises(InputError, match=r"out='room' has shape .* expected \(2, 2, 3\)"):
        written_and_kept(nests(), SIZES, "float64", {"room": array})


def test_only_a_cube_with_arrays_that_can_be_written_is_used_again():
    cube = xr.Dataset({"room": ("x", np.zeros(2))})
    assert reusable(cube, ["room"])["room"] is cube.variables["room"]._data
    with pytest.raises(InputError, match="out= is a dict"):
        reusable({}, ["room"])
    with pytest.raises(InputError, match="no array of 'share'"):
        reusable(cube, ["share"])
    cube.room.values.flags.writeable = False
    with pytest.raises(InputError, match="no array of 'room'"):
        reusable(cube, ["room"])


def test_what_does_not_fit_is_refused_before_it_is_taken():
    sizes = {"policy": 2, "gpu": 10**6, "batch": 10**6}
    with pytest.raises(InputError, match=r"the cube takes 32000\.0 GB"):
        written_and_kept(nests(), sizes, "float64", {})
    with pytest.raises(InputError, match=r"the cube takes 32000\.0 GB"):  # wide, then narrow twice
        written_and_kept(nests("float32"), sizes, "float32", {})
    only = PartedNests(frozenset({"share"}), nests().nests)
    with pytest.raises(InputError, match=r"the cube takes 32000\.0 GB"):  # one is passed on
        written_and_kept(only, sizes, "float64", {})
