"""The cube equals a plain-Python walk of the formulas, on natural dims."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from prophet_xr import grid, kernels
from prophet_xr.engine import codegen, memory
from prophet_xr.engine import run as engine
from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES, is_baseline, metrics, needed, of


def reference(name: str, cell: dict, baseline: dict) -> float:
    """One metric, one cell, plain Python; inputs re-derived from scratch."""
    q = QUANTITIES[name]
    if q.formula is None:
        return cell[name]
    values = [reference(of(n), baseline if is_baseline(n) else cell, baseline) for n in q.inputs]
    return q.formula(*values)


def cell_of(inputs: xr.Dataset, at: dict) -> dict:
    found = {}
    for name, variable in inputs.variables.items():
        if variable.dtype.kind in "iuf":
            found[name] = float(variable.isel({d: i for d, i in at.items() if d in variable.dims}))
    return found


@pytest.fixture(scope="module")
def compiled(random_inputs):
    """The cube of every metric with the walk forbidden."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "WALK", 0)
        patch.setattr(engine, "WALK_ALL", 0)
        return grid.sweep(random_inputs)


@pytest.mark.parametrize("q", metrics(), ids=lambda q: q.name)
def test_compiled_cube_equals_the_formulas(q, random_inputs, compiled):
    array = compiled[q.name]
    places = list(np.ndindex(array.shape))
    random = np.random.default_rng(1)
    for index in random.permutation(len(places))[:60]:
        at = dict(zip(array.dims, places[index], strict=True))
        cell = cell_of(random_inputs, {d: 0 for d in random_inputs.dims} | at)
        base = cell_of(random_inputs, {d: 0 for d in random_inputs.dims} | at | {"policy": 0})
        expected = reference(q.name, cell, base)
        assert array[places[index]].item() == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_walked_cube_equals_the_compiled_one(random_inputs, compiled, monkeypatch):
    monkeypatch.setattr(engine, "WALK_ALL", 10**9)
    xr.testing.assert_identical(grid.sweep(random_inputs), compiled)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_large_sweep_in_parts_and_blocks_equals_a_small_one(long_axes, pieces, dtype):
    wanted = ["step_time", "slowdown", "unique_experts"]
    with pieces(compiled=False):
        expected = grid.sweep(long_axes, wanted, dtype=dtype)
    with pieces(memory=80_000):
        xr.testing.assert_identical(grid.sweep(long_axes, wanted, dtype=dtype), expected)
        out = expected.copy(deep=True)
        out.step_time[:] = np.nan
        grid.sweep(long_axes, wanted, dtype=dtype, out=out)
        xr.testing.assert_identical(out.step_time, expected.step_time)
        todo = grid.steps(*_planned(long_axes, wanted, dtype), memory.LIMIT)
    assert {nest.part for nest in todo.parted} == {todo.dim} == {"model"}
    assert todo.step == 2  # of three
    assert any(nest.block for nest in todo.parted)


def _planned(data, wanted, dtype):
    order = grid.layout(data)
    plan = grid.nests(data, needed(wanted), wanted, order, dtype)
    return plan, frozenset(wanted), tuple((d, data.sizes[d]) for d in order)


EVIL = "x=__import__('os').system('touch was_run'), *y"


@pytest.mark.parametrize("dim", ["row", "blocks", "block", "my dim", "d0", EVIL])
def test_the_name_of_a_dim_is_only_a_name(dim, pieces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cubes = []
    with pieces(row=6):
        for name in (dim, "other"):
            rates = xr.DataArray(np.linspace(1e10, 6e10, 50), dims=name)
            data = grid.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 2], host_link_rate=rates)
            cubes.append(grid.sweep(data, ["step_time"]).step_time.values)
    np.testing.assert_array_equal(*cubes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("q", metrics(), ids=lambda q: q.name)
def test_dims_are_the_union_of_what_the_formula_reads(q, random_inputs, compiled):
    read = {d for n in q.reads for d in (compiled if n in compiled else random_inputs)[n].dims}
    assert set(compiled[q.name].dims) == read
    assert compiled[q.name].dtype == q.dtype
    assert compiled[q.name].attrs["units"] == q.units


def test_six_axes_give_natural_dims():
    data = grid.inputs(
        context=[2**n for n in range(10, 18)],
        hit_rate=np.linspace(0.9, 0.999, 10),
        dedup_exponent=np.linspace(0.85, 0.95, 10),
    )
    cube = grid.sweep(data, ["unique_experts", "step_time"])
    assert cube.unique_experts.dims == ("model", "batch", "dedup_exponent")
    assert cube.step_time.dims == (
        *("policy", "model", "gpu", "batch", "context", "hit_rate", "dedup_exponent"),
    )
    assert cube.step_time.shape == (2, 16, 4, 6, 8, 10, 10)


def test_every_axis_is_felt_by_a_metric():
    felt = needed(q.name for q in metrics())
    numeric = [q.name for q in QUANTITIES.values() if not q.formula and not q.of]
    for name in numeric:
        fields = [q.name for q in QUANTITIES.values() if q.of == name]
        assert name in felt or set(fields) & felt, name


def test_an_extra_dimension_spreads_only_where_it_matters(small):
    draws = xr.DataArray([10e9, 20e9, 30e9], dims="draw")
    cube = grid.sweep(small.assign(host_link_rate=draws))
    assert "draw" in cube.step_time.dims
    assert "draw" not in cube.kv_extension.dims
    assert (cube.slowdown.sel(policy="prophet").diff("draw") < 0).all()


def test_a_metric_alone_equals_the_same_metric_among_all(small):
    whole = grid.sweep(small)
    for name in ("kv_extension", "slowdown", "max_context"):
        xr.testing.assert_identical(grid.sweep(small, [name])[name], whole[name])


def test_the_baseline_is_evaluated_but_dropped_unless_asked_for():
    chosen = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": [1, 64]}
    both = grid.sweep(grid.inputs(**chosen, policy=["prophet", "baseline"]))
    assert both.policy.values.tolist() == ["prophet", "baseline"]
    alone = grid.sweep(grid.inputs(**chosen, policy=["on_demand", "prophet"]))
    assert alone.policy.values.tolist() == ["on_demand", "prophet"]
    scalar = grid.sweep(grid.inputs(**chosen, policy="prophet"))
    assert scalar.policy.item() == "prophet"
    for cube in (alone.sel(policy="prophet"), scalar):
        np.testing.assert_array_equal(cube.kv_extension, both.kv_extension.sel(policy="prophet"))


def test_float32_stores_reals_narrow_and_counts_whole(random_inputs):
    wide = grid.sweep(random_inputs, ["step_time", "max_context", "fits"])
    narrow = grid.sweep(random_inputs, ["step_time", "max_context", "fits"], dtype="float32")
    assert narrow.step_time.dtype == np.float32
    assert narrow.max_context.dtype == np.int64
    np.testing.assert_allclose(narrow.step_time, wide.step_time, rtol=6e-8)
    np.testing.assert_array_equal(narrow.max_context, wide.max_context)


def test_float32_holds_for_every_real_metric(random_inputs):
    every = grid.sweep(random_inputs, dtype="float32")
    kinds = {every[q.name].dtype for q in metrics() if q.dtype == "float64" and q.name in every}
    assert kinds == {np.dtype(np.float32)}
    again = grid.sweep(random_inputs, dtype=np.float32, out=every)
    assert all(
        np.shares_memory(again[n].values, every[n].values)
        for n in again.data_vars
        if QUANTITIES[n].formula
    )


def test_sweep_mutates_nothing(small):
    before = small.copy(deep=True)
    grid.sweep(small)
    xr.testing.assert_identical(small, before)


def test_the_order_of_the_users_dims_does_not_matter(random_inputs, compiled):
    dims = list(random_inputs.dims)[::-1]
    cube = grid.sweep(random_inputs.transpose(*dims), ["step_time", "kv_extension"])
    for name in ("step_time", "kv_extension"):
        xr.testing.assert_identical(cube[name], compiled[name])


def test_a_wrong_array_never_reaches_compiled_code():
    nest = next(iter(_nests(grid.inputs(batch=[1, 2]))))
    sizes = dict.fromkeys(nest.dims, 3)
    arrays = {n: np.zeros(1) for n in itertools.chain(nest.reads, nest.stores)}
    with pytest.raises(ValueError, match="expected"):
        engine.run(nest, sizes | {d: 3 for dims in nest.reads.values() for d in dims}, arrays, 0)


def _nests(data):
    need = needed(["unique_experts"])
    return grid.nests(data, need, ["unique_experts"], grid.layout(data), "float64")


def test_an_unknown_metric_names_the_nearest(small):
    with pytest.raises(InputError, match="nearest: step_time"):
        grid.sweep(small, ["step_tme"])
    with pytest.raises(InputError, match="float16"):
        grid.sweep(small, dtype="float16")


FIRST = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stderr)
import numpy as np, prophet_xr as px
from prophet_xr.engine import run as engine
engine.WALK = engine.WALK_ALL = 0
data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=np.arange(1, 9))
print(px.sweep(data, "unique_experts").unique_experts.values.tolist())
"""


def first_run(cache):
    environment = {**os.environ, "PROPHET_XR_CACHE": str(cache)}
    command = [sys.executable, "-W", "error", "-c", FIRST]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def test_two_first_runs_share_a_cache(tmp_path):
    both = [first_run(tmp_path) for _ in range(2)]
    shown = [run.communicate() for run in both]
    assert [run.returncode for run in both] == [0, 0], shown
    assert shown[0][0] == shown[1][0]
    assert not list(tmp_path.glob(".*"))  # no draft


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path):
    (tmp_path / "file").touch()
    run = first_run(tmp_path / "file")
    out, said = run.communicate()
    assert run.returncode == 0
    assert out.startswith("[2.0")
    assert said.count("cache directory") == 1


def test_a_full_cache_is_said_once(tmp_path, monkeypatch):
    for most in (0, 3_000):  # B of a file: neither module nor machine code, then no machine code
        cache = tmp_path / str(most)
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
        command = [sys.executable, "-W", "error", "-c", limit + FIRST]
        environment = {**os.environ, "PROPHET_XR_CACHE": str(cache)}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.startswith("[2.0")
        assert run.stderr.count("cache directory") == 1


def test_a_damaged_cache_is_made_anew(tmp_path):
    expected, _ = first_run(tmp_path).communicate()
    for damaged, message in (("*.nbc", True), ("*.nbi", True), ("*.py", False)):
        files = list(tmp_path.rglob(damaged))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[:40])
        run = first_run(tmp_path)
        out, said = run.communicate()
        assert (run.returncode, out) == (0, expected), said
        assert ("compiling it anew" in said) is message
    assert not first_run(tmp_path).communicate()[1]


@pytest.mark.parametrize(
    ("formula", "simple"),
    [
        (kernels.early_traffic, True),  # arithmetic alone
        (kernels.in_time, True),  # with a helper that only compares
        (kernels.tensor_share, True),
        (kernels.page_tokens, False),  # math.ceil
        (kernels.windowed_share, False),  # in its helper
        (kernels.zipf_scale, False),  # loops in its helper
        (kernels.effective_batch, False),  # a power
    ],
)
def test_a_formula_joins_the_loop_of_others_if_its_helpers_may(formula, simple):
    assert codegen._simple(formula) is simple


FORKED = """
import multiprocessing, sys
import numpy as np, prophet_xr as px
from prophet_xr.engine import nests as nesting
from prophet_xr.engine import run as engine
from prophet_xr.serving.preset_loads import preset
engine.WALK = engine.WALK_ALL = 0  # so that every nest is compiled,
engine.SHARE, engine.cores, nesting.ROW, nesting.FOLDED_ROW = 1, lambda: 3, 2, 2  # in threads
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
