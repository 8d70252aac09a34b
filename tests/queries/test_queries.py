"""Queries equal the same question asked of the whole cube."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import prophet_xr as px
from prophet_xr.engine import nests
from prophet_xr.engine.limits import Limits, in_force, using
from prophet_xr.errors import InputError
from prophet_xr.queries import frontier as frontiers
from prophet_xr.queries import pareto, pareto_compiled
from prophet_xr.queries.quantiles import Histogram, exact

METRICS = ["kv_extension", "max_context", "unique_experts", "step_time"]
COMPILED = ["kv_extension", "unique_experts"]  # to compile more takes long
STATS = ["mean", "min", "max", "argmin", "argmax", "count", "quantile"]
SHARES = [0.0, 0.3, 0.5, 1.0]
OVER = {
    "a number axis": ["batch"],
    "several, row upon row": ["context", "hit_rate", "dedup_exponent"],
    "labels, outermost": ["model", "runtime"],
    "the policy too": ["policy", "gpu", "batch"],
    "everything": [
        *("policy", "model", "gpu", "batch", "context", "hit_rate", "dedup_exponent", "runtime")
    ],
}


@pytest.fixture(scope="module")
def cube(random_inputs):
    return px.sweep(random_inputs, [*METRICS, "fits"])


@pytest.fixture(params=[Limits().kept_memory, 3_000], ids=["whole", "slabs"])
def memory(request):
    with using(Limits(kept_memory=request.param)):
        yield


def expected(cube, name, over, where=""):
    """The metric in float64 with the dims to reduce stacked into one, in the order of the cube."""
    values = cube[name].astype(float)
    values = values.where(cube[where]) if where else values
    order = [d for d in nests.dim_order(cube) if d in values.dims]
    inside = [d for d in ("policy", *order) if d in over and d in order]
    inside = list(dict.fromkeys(inside))
    kept = [d for d in order if d not in over]
    return values.transpose(*kept, *inside).stack(cell=inside), inside


def quantiles(cells, method="linear"):
    """Quantiles of the cells by xarray, NaN where there is no number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN
        return cells.quantile(SHARES, "cell", method=method)


def equal(data, cube, over, where, names=METRICS):
    """Compare every statistic of metrics with that of the cube."""
    found = px.summarize(data, names, over, STATS, where=where, quantiles=SHARES)
    for name in names:
        cells, inside = expected(cube, name, over, where)
        if not inside:
            continue

        def got(stat, name=name, dims=cells.dims[:-1]):
            return found[f"{name}_{stat}"].transpose(..., *dims)

        np.testing.assert_allclose(got("mean"), cells.mean("cell"), rtol=1e-11)
        np.testing.assert_array_equal(got("min"), cells.min("cell"))
        np.testing.assert_array_equal(got("max"), cells.max("cell"))
        np.testing.assert_array_equal(got("count"), cells.count("cell"))
        np.testing.assert_allclose(got("quantile"), quantiles(cells), rtol=1e-12)
        some = cells.notnull().any("cell").values
        for stat, fill in (("argmin", np.inf), ("argmax", -np.inf)):
            at = getattr(cells.fillna(fill), stat)("cell").values
            for d in inside:
                labels = cells[d].values[at]
                place = got(f"{stat}_{d}").values
                np.testing.assert_array_equal(place[some], np.asarray(labels)[some])


@pytest.mark.parametrize("over", OVER.values(), ids=OVER)
@pytest.mark.parametrize("where", ["", "fits"])
def test_statistics_equal_those_of_the_cube(random_inputs, cube, over, where, memory):
    with using(replace(in_force(), interpreted_in_all=10**9)):
        equal(random_inputs, cube, over, where)


@pytest.mark.parametrize(
    ("over", "row"),
    [(["model"], 6), (["policy", "context", "hit_rate"], Limits().accumulated_row_cells)],
)
def test_compiled_statistics_equal_those_of_the_cube(random_inputs, cube, over, row, pieces):
    first = {"runtime": 0, "dedup_exponent": 0, "gpu": 0}
    with pieces(row=row, row_upon_row_cells=2):
        equal(random_inputs.isel(first), cube.isel(first), over, "fits", COMPILED)


@pytest.mark.parametrize("over", [["batch", "dedup_exponent"], ["model", "gpu"]])
def test_statistics_on_long_axes_equal_those_of_the_cube(long_axes, over, pieces):
    cube = px.sweep(long_axes, COMPILED)
    with pieces(row_upon_row_cells=2):  # of the second the long axis is kept, row upon row
        equal(long_axes, cube, over, "", COMPILED)


def test_queries_in_threads_do_not_share_memory(long_axes):
    asked = [partial(px.summarize, long_axes, METRICS, over) for over in ("batch", "gpu", "model")]
    expected = [ask() for ask in asked]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ask: ask(), 4 * asked))
    for i, result in enumerate(found):
        xr.testing.assert_identical(result, expected[i % 3])


def test_where_nothing_counts_there_is_no_number_and_no_place(small):
    data = px.inputs(model="mixtral-8x7b", gpu=["V100-32GB", "H200"], batch=[1, 4], context=4096)
    found = px.summarize(data, "kv_extension", "batch", STATS, where="fits").sel(gpu="V100-32GB")
    base = found.sel(policy="baseline")
    assert base.kv_extension_count == 0
    for stat in ("mean", "min", "max", "argmax_batch"):
        assert np.isnan(base[f"kv_extension_{stat}"])
    assert np.isnan(base.kv_extension_quantile).all()
    named = px.summarize(data, "kv_extension", ["gpu", "batch"], "argmax", where="serves_context")
    assert set(named.kv_extension_argmax_gpu.values) <= {"", "V100-32GB", "H200"}


def test_a_scalar_policy_needs_no_dim():
    data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 64], context=4096, policy="prophet")
    found = px.summarize(data, "kv_extension", "batch", ["max", "argmax"])
    cube = px.sweep(data, ["kv_extension"])
    assert found.kv_extension_max.item() == cube.kv_extension.max().item()
    assert found.kv_extension_argmax_batch.item() == 1
    assert found.kv_extension_max.attrs["cell_methods"] == "batch: maximum"


# --- Quantiles -------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(cells=hnp.arrays(np.float64, st.integers(1, 40), elements=NUMBERS))
def test_a_histogram_is_within_a_fifth_of_a_percent(cells):
    sketch = Histogram()
    for part in np.array_split(cells, 3):
        sketch.add(part)
    shares = np.array([0.0, 0.25, 0.5, 0.9, 1.0])
    found = sketch.quantiles(shares)
    numbers = np.sort(cells[cells == cells])
    if not numbers.size:
        assert np.isnan(found).all()
        return
    there = numbers[np.ceil(shares * (numbers.size - 1)).astype(int)]
    tiny = np.abs(there) < 1e-300  # below, doubles themselves get coarse
    np.testing.assert_allclose(found[~tiny], there[~tiny], rtol=2e-3)
    assert (np.abs(found[tiny]) < 1e-299).all()


@given(cells=hnp.arrays(np.float64, (3, 7), elements=st.floats(-1e9, 1e9) | st.just(np.nan)))
def test_exact_quantiles_are_those_of_numpy(cells):
    shares = np.array([0.0, 0.1, 0.5, 1.0])
    found = exact(cells, shares)
    for row, got in zip(cells, found.T, strict=True):
        numbers = row[row == row]
        want = np.quantile(numbers, shares) if numbers.size else np.full(4, np.nan)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-6)


def test_too_many_cells_to_sort_are_counted(random_inputs, cube, monkeypatch):
    from prophet_xr.queries import summarize

    monkeypatch.setattr(summarize, "SORTED", 10)
    over = ["batch", "context", "hit_rate"]
    found = px.summarize(random_inputs, "step_time", over, "quantile", quantiles=SHARES)
    cells, _ = expected(cube, "step_time", over)
    want = quantiles(cells, "higher")
    got = found.step_time_quantile.transpose(*want.dims)
    np.testing.assert_allclose(got, want, rtol=2e-3)


# --- Fronts ----------------------------------------------------------------------------------


def worse(cells: np.ndarray) -> np.ndarray:
    """Rows that another row beats; a row that an earlier one equals."""
    found = np.zeros(len(cells), bool)
    for i, row in enumerate(cells):
        other = (cells <= row).all(1) & ((cells < row).any(1) | (np.arange(len(cells)) < i))
        found[i] = other.any()
    return found


@settings(deadline=None)  # compiles first
@given(
    cells=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 6)
    )
)
def test_a_front_is_what_no_row_beats(cells):
    kept = pareto.front(cells)
    assert sorted(kept) == np.flatnonzero(~worse(cells)).tolist()
    np.testing.assert_array_equal(pareto_compiled.front(cells), kept)
    half = len(cells) // 2
    for found in (pareto, pareto_compiled):
        old = cells[:half][found.front(cells[:half])]
        more = np.where(cells == 6, np.nan, cells)[half:]
        asked = found.candidates(np.ascontiguousarray(more.T), old)
        whole = np.concatenate([old, more[asked]])
        good = np.concatenate([old, more[(more == more).all(1)]])
        got, expected = whole[found.front(whole)], good[pareto.front(good)]
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("rows", [0, 10**9], ids=["compiled", "in Python"])
@pytest.mark.parametrize("keep", [[], ["model"], ["policy", "gpu"]])
def test_a_frontier_is_that_of_the_cube(random_inputs, keep, memory, rows, monkeypatch):
    monkeypatch.setattr(frontiers, "SCREENED", rows)
    names = ["kv_budget", "step_time"]
    found = px.frontier(random_inputs, names[0], names[1], keep, where="fits")
    cube = px.sweep(random_inputs, [*names, "fits"])
    both = xr.broadcast(*(cube[n].where(cube.fits) for n in names))
    rest = [d for d in both[0].dims if d not in keep]
    order = ["policy", *(d for d in rest if d != "policy")] if "policy" in rest else rest
    points = set()
    for key in np.ndindex(*(cube.sizes[d] for d in keep)):
        here = [v.isel(dict(zip(keep, key, strict=True))).transpose(*order) for v in both]
        costs = np.stack([-here[0].values.ravel(), here[1].values.ravel()], 1)
        good = np.flatnonzero((costs == costs).all(1))
        points |= {(key, *costs[i]) for i in good[pareto.front(costs[good])]}
    got = {
        (
            tuple(int(np.flatnonzero(cube[d].values == p[d].item())[0]) for d in keep),
            -p.kv_budget.item(),
            p.step_time.item(),
        )
        for p in (found.isel(point=i) for i in range(found.sizes["point"]))
    }
    assert got == points
    one = found.isel(point=0)
    cell = {d: one[d].item() for d in rest if d in found.coords}
    at = {**cell, **{d: one[d].item() for d in keep}}
    assert cube.step_time.sel({d: v for d, v in at.items() if d in cube.step_time.dims}).item() == (
        one.step_time.item()
    )


def test_a_front_of_nothing_has_no_point():
    data = px.inputs(model="deepseek-v3-671b", gpu="V100-32GB", batch=[1, 2], context=4096)
    found = px.frontier(data, "throughput", where="serves_context")
    assert found.sizes["point"] == 0


# --- Break-even and choices ------------------------------------------------------------------


def test_a_crossing_is_interpolated_between_its_neighbours(memory):
    data = px.inputs(model=["mixtral-8x7b", "olmoe-1b-7b"], gpu="H200", batch=[1, 2, 4, 8, 16])
    found = px.solve(data, "expert_savings_fraction", 0.5, "batch").sel(policy="prophet")
    curve = px.sweep(data, ["expert_savings_fraction"]).expert_savings_fraction
    for model in data.model.values:
        line = curve.sel(policy="prophet", model=model)
        want = np.interp(-0.5, -line.values, line.batch.values)
        assert found.batch.sel(model=model).item() == pytest.approx(want, rel=1e-12)
    assert (found.crossings == 1).all()
    whole = px.solve(data, "expert_savings_fraction", 0.5, "batch").sel(policy="baseline")
    assert whole.batch.isnull().all()
    assert (whole.above == 0).all()
    assert (whole.cells == 5).all()


def test_a_target_is_reached_from_above_as_from_below():
    data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=range(1, 9), policy="prophet")
    for metric, target in (("expert_savings_fraction", 0.0), ("resident_experts", 8.0)):
        found = px.solve(data, metric, target, "batch")
        assert (found.batch.item(), found.crossings.item()) == (5, 1)


def test_a_dim_is_not_called_as_what_is_found():
    for name in ("count", "cost"):
        rates = xr.DataArray([0.5, 0.9], {name: [1, 2]}, name)
        data = px.inputs(model="olmoe-1b-7b", batch=1, hit_rate=rates)
        with pytest.raises(InputError, match=f"'{name}' is a coordinate"):
            px.cheapest(data, "gpu")


def test_a_label_is_the_first_beyond_the_target():
    data = px.inputs(model="mixtral-8x7b", gpu=["V100-32GB", "A100-80GB", "H200"], batch=1)
    found = px.solve(data, "kv_budget", 0.0, "gpu")
    budget = px.sweep(data, ["kv_budget"]).kv_budget
    for policy in data.policy.values:
        line = budget.sel(policy=policy)
        beyond = line.gpu.values[np.flatnonzero((line >= 0) != (line[0] >= 0))]
        assert found.gpu.sel(policy=policy).item() == (beyond[0] if beyond.size else "")


def test_a_gap_is_not_bridged():
    from prophet_xr.queries.solve import _crossings

    line = np.array([[0.0, np.nan, 2.0, 3.0], [0.0, 2.0, 0.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    place, counts = _crossings(line, 1.0, np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(place, [np.nan, 0.5, np.nan])
    assert counts.tolist() == [[0, 3, 0], [3, 4, 4], [2, 2, 4]]


def test_the_smallest_gpu_that_serves_a_context():
    gpus = ["H200", "A100-80GB", "V100-32GB", "A100-40GB"]
    data = px.inputs(model=["mixtral-8x7b", "deepseek-v3-671b"], gpu=gpus, batch=1, context=4096)
    found = px.cheapest(data)
    cube = px.sweep(data, ["serves_context"])
    for model in data.model.values:
        for policy in data.policy.values:
            flags = cube.serves_context.sel(model=model, policy=policy)
            will = [g for g in gpus if flags.sel(gpu=g)]
            want = min(will, key=lambda g: data.usable_memory.sel(gpu=g).item(), default="")
            one = found.sel(model=model, policy=policy)
            assert one.gpu.item() == want
            assert one["count"].item() == len(will)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda d: px.summarize(d, "kv_extension", "bach"), "nearest: batch"),
        (lambda d: px.summarize(d, "kv_extention", "batch"), "nearest: kv_extension"),
        (lambda d: px.summarize(d, "kv_extension", "batch", "median"), "median"),
        (lambda d: px.summarize(d, "kv_extension", "batch", where="regime"), "no flag"),
        (lambda d: px.summarize(d, "kv_extension", "batch", quantiles=[1.5]), "from 0 to 1"),
        (lambda d: px.frontier(d), "at least one"),
        (lambda d: px.frontier(d, "throughput", "throughput"), "each once"),
        (lambda d: px.solve(d, "kv_extension", np.nan, "batch"), "finite"),
        (lambda d: px.solve(d, "max_context", 1, "batch", method="cubic"), "cubic"),
        (lambda d: px.solve(d, "max_context", 1, "policy", method="linear"), "labels"),
        (lambda d: px.solve(d, "unique_experts", 1, "policy"), "does not vary along policy"),
        (lambda d: px.cheapest(d, "batch", cost="price"), "no number"),
    ],
)
def test_bad_questions_are_refused(small, ask, says):
    with pytest.raises(InputError, match=says):
        ask(small)


def test_numbers_out_of_order_are_not_interpolated():
    data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=[1, 4, 2], context=4096)
    with pytest.raises(InputError, match="neither rises nor falls"):
        px.solve(data, "kv_extension", 1.0, "batch")


# --- Buffers and memory ----------------------------------------------------------------------


def test_a_cube_can_be_filled_again(small):
    first = px.sweep(small, ["step_time", "max_context"])
    buffer = first.step_time.values
    other = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 4])
    again = px.sweep(other, ["step_time", "max_context"], out=first)
    assert np.shares_memory(again.step_time.values, buffer)
    xr.testing.assert_identical(again, px.sweep(other, ["step_time", "max_context"]))


def test_a_buffer_that_does_not_match_is_refused(small):
    first = px.sweep(small, ["step_time"])
    with pytest.raises(InputError, match="max_context"):
        px.sweep(small, ["step_time", "max_context"], out=first)
    with pytest.raises(InputError, match=r"shape \(2, 2\)"):
        px.sweep(
            px.inputs(model="mixtral-8x7b", gpu="H200", batch=[1, 2, 3]), ["step_time"], out=first
        )


def test_a_buffer_without_the_baseline_first_is_refused():
    chosen = {"model": "mixtral-8x7b", "gpu": "H200", "batch": [1, 4], "context": 4096}
    for policy in ("prophet", ["prophet", "baseline"]):
        data = px.inputs(policy=policy, **chosen)
        cube = px.sweep(data, ["slowdown"])
        with pytest.raises(InputError, match="expected the baseline first"):
            px.sweep(data, ["slowdown"], out=cube)
    with pytest.raises(InputError, match="out= is a list"):
        px.sweep(data, ["slowdown"], out=[1])


def test_a_cube_larger_than_memory_is_refused_before_it_is_made():
    many = np.arange(1, 100_001)
    data = px.inputs(batch=many, context=many, hit_rate=np.linspace(0, 1, 1001))
    with pytest.raises(InputError, match=r"TB|GB.*metrics=.*px.summarize.*px.sweep_to"):
        px.sweep(data, ["step_time"])
