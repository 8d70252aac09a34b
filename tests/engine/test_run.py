"""A nest on arrays: the same numbers compiled or interpreted, by hand; no wrong array gets in."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import toy_nests

from prophet_xr.engine import run
from prophet_xr.engine.limits import Limits
from prophet_xr.engine.run import evaluations, reduce_nest, run_nest, share

COMPILED = Limits(interpreted_in_all=0, interpreted_below=0, threaded_above=1)
LIMITS = {"interpreted": Limits(), "compiled": COMPILED}
ALL = 24  # evaluations of the call


@pytest.fixture(params=LIMITS.values(), ids=LIMITS)
def limits(request):
    return request.param


@pytest.mark.parametrize("row", [("batch",), ("gpu", "batch")])
def test_a_nest_fills_what_it_stores(limits, row):
    nest, arrays = toy_nests.nest(row=row), toy_nests.arrays()
    run_nest(nest, toy_nests.SIZES, arrays, ALL, limits)
    np.testing.assert_array_equal(arrays["room"], toy_nests.ROOM)
    np.testing.assert_allclose(arrays["share"], toy_nests.SHARE, rtol=1e-15)


def test_a_ratio_reads_the_baseline_of_a_stored_array(limits):
    nest = toy_nests.nest(
        (toy_nests.SHARE_OF,), ("share",), reads={"room": ("policy", "gpu", "batch")}
    )
    arrays = {"room": toy_nests.ROOM, "share": np.zeros((2, 2, 3))}
    run_nest(nest, toy_nests.SIZES, arrays, ALL, limits)
    np.testing.assert_allclose(arrays["share"], toy_nests.SHARE, rtol=1e-15)


def test_limits_tell_whether_this_file_compiles(limits, monkeypatch):
    texts = []
    monkeypatch.setattr(run, "compiled", lambda text, _: texts.append(text) or (lambda *_: None))
    run_nest(toy_nests.nest(), toy_nests.SIZES, toy_nests.arrays(), ALL, limits)
    assert bool(texts) is (limits is COMPILED)


def test_a_long_row_is_filled_block_by_block():
    nest, arrays = toy_nests.nest(block=2), toy_nests.arrays()  # of three cells
    run_nest(nest, toy_nests.SIZES, arrays, ALL, COMPILED)
    np.testing.assert_array_equal(arrays["room"], toy_nests.ROOM)
    np.testing.assert_allclose(arrays["share"], toy_nests.SHARE, rtol=1e-15)


def test_a_part_fills_arrays_of_the_part_and_its_place_in_uncut_ones():
    uncut = frozenset({"memory", "needed", "share"})
    nest = toy_nests.nest(split_dim="gpu", uncut=uncut)
    arrays = toy_nests.arrays() | {"room": np.zeros((2, 1, 3))}
    run_nest(nest, toy_nests.SIZES, arrays, ALL, COMPILED, slice(1, 2))
    np.testing.assert_array_equal(arrays["room"], toy_nests.ROOM[:, 1:])
    assert not arrays["share"][:, 0].any()  # of the other part
    np.testing.assert_allclose(arrays["share"][:, 1], toy_nests.SHARE[:, 1], rtol=1e-15)


# --- Reductions ------------------------------------------------------------------------------

# Of the room [[9 8 7] [19 18 17]] under the baseline and [[6 5 -6] [16 15 4]] under the other:
OVER_BATCH = (
    [[[24, 54], [5, 35]], [[7, 17], [-6, 4]], [[9, 19], [6, 16]]],
    [[[3, 3], [3, 3]], [[2, 2], [2, 2]], [[0, 0], [0, 0]]],
)
OVER_GPU = (
    [[[28, 26, 24], [22, 20, -2]], [[9, 8, 7], [6, 5, -6]], [[19, 18, 17], [16, 15, 4]]],
    [[[2] * 3, [2] * 3], [[0] * 3, [0] * 3], [[1] * 3, [1] * 3]],
)
OVER_BOTH = ([[78, 40], [7, -6], [19, 16]], [[6, 6], [2, 2], [3, 3]])


@pytest.mark.parametrize(
    ("over", "row", "block", "expected"),
    [
        (("batch",), ("batch",), 0, OVER_BATCH),
        (("batch",), ("batch",), 2, OVER_BATCH),
        (("gpu",), ("batch",), 0, OVER_GPU),
        (("gpu",), ("batch",), 2, OVER_GPU),
        (("gpu", "batch"), ("batch",), 0, OVER_BOTH),
        (("gpu", "batch"), ("batch",), 2, OVER_BOTH),
        (("gpu", "batch"), ("gpu", "batch"), 0, OVER_BOTH),
    ],
    ids=str,
)
def test_a_nest_tallies_what_it_reduces(limits, over, row, block, expected):
    nest = toy_nests.reducing(over, row, block=block, with_positions=True)
    tallies = reduce_nest(nest, toy_nests.SIZES, toy_nests.arrays(()), ALL, limits)
    numbers, positions = tallies["room"]
    np.testing.assert_array_equal(numbers, expected[0])
    np.testing.assert_array_equal(positions, expected[1])


def test_only_cells_of_the_flag_count(limits):
    metrics = (toy_nests.ROOM_OF, toy_nests.FITS)
    reduced = {"reduces": ("room",), "over": ("batch",), "where": "fits"}
    nest = toy_nests.nest(metrics, (), **reduced)
    numbers, positions = reduce_nest(nest, toy_nests.SIZES, toy_nests.arrays(()), ALL, limits)[
        "room"
    ]
    np.testing.assert_array_equal(numbers[:, 1], [[11, 35], [5, 4], [6, 16]])
    np.testing.assert_array_equal(positions[0, 1], [2, 3])


# --- What is interpreted ---------------------------------------------------------------------


def test_evaluations_are_cells_times_formulas():
    assert evaluations([toy_nests.nest()], toy_nests.SIZES) == 2 * 12
    assert evaluations([toy_nests.nest(), toy_nests.nest()], toy_nests.SIZES) == 4 * 12
    reducing = replace(toy_nests.reducing(("batch",), ("batch",)), reduces=("room",) * 5)
    assert evaluations([reducing], toy_nests.SIZES) == 5 * 12


@pytest.mark.parametrize(
    ("in_all", "limits", "compiles"),
    [
        (100, Limits(interpreted_in_all=100, interpreted_below=0), False),
        (101, Limits(interpreted_in_all=100, interpreted_below=0), True),
        (101, Limits(interpreted_in_all=100, interpreted_below=23), True),
        (101, Limits(interpreted_in_all=100, interpreted_below=24), False),
    ],
)
def test_a_small_nest_is_interpreted_and_all_are_in_a_small_call(
    in_all, limits, compiles, monkeypatch
):
    texts = []

    def compiled(text, arguments):
        texts.append(text)
        return lambda *arguments: None

    monkeypatch.setattr(run, "compiled", compiled)
    run_nest(toy_nests.nest(), toy_nests.SIZES, toy_nests.arrays(), in_all, limits)
    assert bool(texts) is compiles


# --- Arrays and threads ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("memory", np.zeros(3)),
        ("needed", np.zeros((3, 2)).T),
        ("room", np.zeros((2, 2, 3), np.float32)),
        ("room", np.zeros((2, 2, 6))[..., ::2]),
    ],
)
def test_a_wrong_array_never_reaches_compiled_code(limits, name, array):
    arrays = toy_nests.arrays() | {name: array}
    with pytest.raises(ValueError, match=f"array '{name}'.*expected"):
        run_nest(toy_nests.nest(), toy_nests.SIZES, arrays, ALL, limits)


def test_a_part_is_checked_by_the_length_of_the_part():
    nest = toy_nests.nest(split_dim="gpu", uncut=frozenset({"memory", "needed"}))
    with pytest.raises(ValueError, match=r"array 'room': shape \(2, 2, 3\), expected \(2, 1, 3\)"):
        run_nest(nest, toy_nests.SIZES, toy_nests.arrays(), ALL, COMPILED, slice(0, 1))


def test_every_job_is_done_once():
    done = []
    share(done.append, [(i,) for i in range(100)])
    assert sorted(done) == list(range(100))


def test_what_goes_wrong_in_a_job_is_raised():
    def fill(i):
        if i == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share(fill, [(i,) for i in range(8)])


@pytest.mark.parametrize(("count", "shares"), [*itertools.product([1, 7, 8], [1, 3, 8])])
def test_edges_cut_a_range_into_even_shares(count, shares):
    edges = run._edges(count, shares)
    lengths = np.diff(edges)
    assert (edges[0], edges[-1], len(lengths)) == (0, count, min(count, shares))
    assert lengths.max() - lengths.min() <= 1


# --- Forks -----------------------------------------------------------------------------------

FORKED = """
import multiprocessing, sys
import numpy as np, prophet_xr as px
from prophet_xr.engine import run
from prophet_xr.engine.limits import Limits, using
from prophet_xr.serving.preset_loads import preset
run.cores = lambda: 3
limits = Limits(
    interpreted_in_all=0, interpreted_below=0,  # so that every nest is compiled, in threads
    threaded_above=1, row_cells=2, accumulated_row_cells=2,
)
chosen = {"model": ["mixtral-8x7b", "olmoe-1b-7b"], "gpu": ["H200", "B200"], "batch": [1, 2]}
data = px.inputs(**chosen, hit_rate=[0.5, 0.9])
served = px.inputs(model="olmoe-1b-7b", gpu="H200", runtime="vllm", context=4096, routing="zipf")
jobs = {
    "sweep": lambda: px.sweep(data, "step_time"),
    "summarize": lambda: px.summarize(data, "step_time", "batch"),
    "lazy": lambda: px.sweep(data.chunk(batch=1), "step_time").compute(),
    "netcdf": lambda: px.sweep_to(
        data, sys.argv[1] + multiprocessing.current_process().name + ".nc", ["step_time"]),
    "simulate": lambda: px.simulate(served, preset("azure-conv", 20), time_bins=4),
}
with using(limits):
    for job in jobs.values():
        job()
    for name, job in jobs.items():
        child = multiprocessing.get_context("fork").Process(target=job)
        child.start()
        child.join(30)
        child.kill()
        print(name, child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_of_a_process_that_has_swept_sweeps_too(tmp_path):
    # Python 3.12 warns of every fork of a process with threads
    command = [sys.executable, "-W", "ignore", "-c", FORKED, f"{tmp_path}/"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=570, check=False)
    names = ["sweep", "summarize", "lazy", "netcdf", "simulate"]
    assert run.stdout.split("\n")[:-1] == [f"{name} 0" for name in names], run.stderr
