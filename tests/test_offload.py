"""What offloading costs: one sweep, its bad input, and what is selected from it."""

import hashlib
import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import prophet_xr as px
from prophet_xr.reporting import figure_style
from prophet_xr.studies.offloading import figures, regions, report, run, sweeps, tables, wording
from prophet_xr.studies.published.latency_claims import MEASURED, latency_targets, step_ratio

AXES = {
    "model": ["mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b"],
    "gpu": ["A100-80GB", "H100-80GB"],
    "batch": [1, 4],
    "context": [1024, 4096],
    "hit_rate": [0.2, 0.9, 0.994],
    "policy": ["baseline", "prophet", "lru", "on_demand", "cpu_compute"],
    "host_link_rate": [10e9, 24.8e9],
    "cache_slots": [2, 4, 32],
}


@pytest.fixture(scope="module")
def made() -> dict[str, xr.Dataset]:
    return run.cubes()


@pytest.fixture(scope="module")
def costs(made) -> xr.Dataset:
    return made["costs"]


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    return px.sweep(px.inputs(**AXES))


# --- One call --------------------------------------------------------------------------------


def test_every_axis_is_one_call(grid):
    assert dict(grid.slowdown.sizes) == {name: len(values) for name, values in AXES.items()}
    cell = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 4, "context": 4096}
    cell |= {"hit_rate": 0.9, "policy": "lru", "host_link_rate": 24.8e9, "cache_slots": 32}
    alone = px.sweep(px.inputs(**cell), ["step_time"]).step_time.item()
    assert grid.step_time.sel(cell).item() == pytest.approx(alone, rel=1e-12)


def test_a_field_may_follow_the_axis_of_another():
    beside = xr.DataArray([0, 8], dims="cache_slots")
    data = px.inputs(model="olmoe-1b-7b", gpu="H200", cache_slots=[4, 16], staging=beside)
    cube = px.sweep(data, ["resident_experts"]).resident_experts.sel(policy="prophet", batch=1)
    assert cube.values.tolist() == [8, 16]


# --- Bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"host_link_rate": 0}, "host_link_rate=0 is outside [1e+08, 1e+13]"),
        ({"host_link_rate": [24.8e9, -1e9]}, "host_link_rate=-1e+09 is outside"),
        ({"host_memory_rate": 0}, "host_memory_rate=0 is outside"),
        ({"memory_rate": -1.0}, "memory_rate=-1 is outside"),
        ({"copy_latency": -1e-6}, "copy_latency=-1e-06 is outside [0, 1]"),
        ({"cache_slots": -1}, "cache_slots=-1 is outside"),
        ({"cache_slots": 9}, "cache_slots=9 exceeds the experts of every model it meets; expected"),
        ({"cache_slots": [4, 9]}, "cache_slots=9 exceeds the experts"),
    ],
)
def test_what_cannot_be_is_refused(chosen, message):
    data = px.inputs(model="mixtral-8x7b", gpu="A100-80GB", batch=1, policy="lru", **chosen)
    with pytest.raises(px.InputError, match=re.escape(message)):
        px.sweep(data)


def test_more_slots_than_one_model_has_are_empty_cells_with_a_reason(grid):
    caches = ["lru", "cpu_compute"]
    over = grid.sel(cache_slots=32, model="mixtral-8x7b", policy=caches)
    for name in ("resident_experts", "step_time", "slowdown", "throughput", "link_traffic"):
        assert over[name].isnull().all(), name
    codes = grid.policy_reason.attrs["flag_meanings"].split()
    assert codes[int(over.policy_reason.max())] == codes[int(over.policy_reason.min())]
    assert codes[int(over.policy_reason.min())] == "more_slots_than_experts"
    why = grid.reason.attrs["flag_meanings"].split()
    assert {why[int(i)] for i in over.reason.values.ravel()} == {"more_slots_than_experts"}
    rest = grid.slowdown.drop_sel(policy=caches)
    assert rest.notnull().all()
    assert grid.slowdown.sel(model=["olmoe-1b-7b", "qwen3-30b-a3b"]).notnull().all()


def test_a_hit_rate_below_what_residency_gives_is_raised_and_flagged(grid):
    own = grid.sel(policy="prophet", batch=1)
    low = own.sel(hit_rate=0.2)
    assert (low.reuse > 0.2).all()
    assert low.hit_rate_raised.all()
    np.testing.assert_array_equal(low.in_time, low.reuse)
    assert not own.hit_rate_raised.sel(hit_rate=0.994).any()
    assert not grid.hit_rate_raised.sel(policy=["lru", "on_demand", "baseline"]).any()


# --- What the cubes say ----------------------------------------------------------------------


def test_a_prediction_moves_no_byte_less(costs):
    moved = costs.link_traffic.sel(policy="prophet")
    least, most = moved.min("hit_rate"), moved.max("hit_rate")
    np.testing.assert_allclose(most, least, rtol=1e-9, atol=1e-3)


def test_beyond_the_feasible_hit_rate_nothing_is_gained(costs):
    own = costs.sel(policy="prophet")
    enough = own.feasible_hit_rate <= own.hit_rate.sel(hit_rate=0.98)
    gain = own.slowdown.sel(hit_rate=0.98) / own.slowdown.sel(hit_rate=1.0)
    assert enough.any()
    assert (gain.where(enough, 1.0) <= 1 + 1e-9).all()
    assert gain.max() > 1.5  # and below it something is


def test_overlap_at_most_halves_a_step_in_the_same_memory(costs):
    one = costs.sel(batch=1, cache_slots=0)
    same = one.resident_experts.sel(policy="prophet") == one.resident_experts.sel(
        policy="on_demand"
    )
    assert same.all()
    ratio = one.step_time.sel(policy="on_demand") / one.step_time.sel(policy="prophet")
    assert (ratio <= 2 + 1e-12).all()
    assert (ratio >= 1 - 1e-12).all()


def test_an_expert_is_on_the_card_or_on_the_host(costs):
    full = costs.expert_memory.sel(policy="baseline", drop=True)
    split = (costs.expert_memory + costs.host_memory).sel(policy="cpu_compute")
    np.testing.assert_allclose(split.where(split.notnull(), full), full.broadcast_like(split))
    assert costs.host_memory.sel(policy="baseline").max() == 0


def test_more_slots_never_slow_a_cache(costs):
    slow = costs.slowdown.sel(policy="lru")
    steps = slow.diff("cache_slots")
    assert (steps.where(steps.notnull(), 0) <= 1e-9).all()


def test_assumed_localities_are_marked(costs):
    known = costs.locality_measured.sel(model=MEASURED)
    assert known.all()
    assert not costs.locality_measured.sel(model="grok-1-314b")
    assert int(costs.locality_measured.sum()) == 8


# --- Regions ---------------------------------------------------------------------------------


@pytest.fixture
def toy() -> xr.Dataset:
    """Two policies, four caches, two hit rates; slowdowns by hand."""
    slow = np.array([[8.0, 4.0, 2.0, 1.0], [6.0, 3.0, 1.2, 1.0]])  # hit rate, slots
    data = xr.Dataset(coords={"hit_rate": [0.5, 1.0], "cache_slots": [0, 1, 2, 3]})
    policy = ("policy", ["prophet", "on_demand"])
    data["slowdown"] = (("policy", *data.dims), np.stack([slow, np.full_like(slow, 9.0)]))
    data["step_time"] = data.slowdown / 10
    data["resident_experts"] = (("policy", "cache_slots"), [[1.0, 2.0, 3.0, 4.0], [1.0] * 4])
    reuse = np.array([0.1, 0.3, 0.7, 1.0])
    data["in_time"] = data.slowdown * 0 + np.maximum(
        data.hit_rate, xr.DataArray(reuse, dims="cache_slots")
    )
    return data.assign_coords(policy=policy).assign(n_experts=4.0)


def test_the_least_share_and_hit_rate_by_hand(toy):
    assert regions.least_share(toy, 3.0).values.tolist() == [0.75, 0.5]
    assert np.isnan(regions.least_share(toy, 1.1).values).all()  # all experts are no answer
    least = regions.least_hit_rate(toy, 2.0)
    np.testing.assert_array_equal(least, [np.nan, np.nan, 0.7, 1.0])  # raised to the reuse
    assert step_ratio(toy).sel(hit_rate=1.0).values.tolist() == pytest.approx([1.5, 3, 7.5, 9])


def test_the_front_holds_what_nothing_beats():
    freed = np.array([0.0, 50.0, 50.0, 80.0, 90.0, 70.0, 95.0])
    slow = np.array([1.0, 3.0, 2.0, 9.0, 5.0, 5.0, np.nan])
    assert regions.front(freed, slow).tolist() == [0, 2, 4]


def test_a_share_that_no_slot_has_is_refused(toy):
    assert regions.at_share(toy, 0.5).cache_slots.item() == 2
    with pytest.raises(px.InputError, match=r"cache_slots lacks 0.4, 0.1 of a model's experts"):
        regions.at_share(toy, 0.1)


def test_a_sweep_without_the_usual_cell_is_refused(costs):
    with pytest.raises(px.InputError, match="batch lacks one of"):
        regions.usual(costs.sel(batch=[4, 16]))


def test_cells_beyond_the_native_context_are_not_counted(costs):
    one = costs.slowdown.sel(policy="prophet", batch=1, cache_slots=0, hit_rate=1.0)
    count = sum(int((costs.context <= native).sum()) for native in costs.native_context.values)
    cells = count * costs.sizes["gpu"] * costs.sizes["host_link_rate"]
    assert wording.extent(one >= 0, costs) == f"{cells:,} of {cells:,} cells"
    only = wording.extent((one >= 0) & (one.model == "dbrx-132b") & (one.gpu == "H100-80GB"), costs)
    assert only == f"12 of {cells:,} cells (DBRX-132B; H100-80GB)"
    fast = wording.extent((one >= 0) & (one.host_link_rate > 20e9), costs)
    assert fast == f"{cells // 2:,} of {cells:,} cells (link 24.8 to 55 GB/s)"


def test_the_studys_numbers_come_from_its_claims():
    targets = latency_targets()
    assert (targets.free, targets.slow, targets.lower) == (1.25, 47.5, 37.5)
    assert targets.stated == ((0.875, 1.2), (0.95, 50))


def test_nearly_free_needs_most_experts_or_a_faster_link(costs):
    own = costs.sel(policy="prophet", batch=1)
    within = own.context <= own.native_context
    bare = (own.slowdown.sel(cache_slots=0) <= 1.25) & within
    assert wording.free_region(costs).startswith(
        f"with only a step's experts resident, in {int(bare.sum())} of "
    )
    assert not bare.any()
    least = regions.least_share(costs.sel(batch=1, hit_rate=0.994), 1.25).where(within)
    assert least.sel(host_link_rate=24.8e9).median() > 0.75
    assert least.sel(host_link_rate=24.8e9).count() > 20


# --- Files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_reads_its_cube_and_has_a_row_a_model(name, made):
    cube, table = tables.TABLES[name]
    before = made[cube].copy()
    frame = table(made[cube])
    xr.testing.assert_identical(made[cube], before)
    models = made[cube].sizes["model"]
    assert frame.model.nunique() == models
    assert len(frame) % models == 0
    assert not frame.drop(columns=[c for c in frame if "least" in c]).isna().any(axis=None)


def test_a_break_even_link_is_where_the_slowdown_crosses(made):
    frame = tables.table5_break_even(made["closer"]).set_index(["model", "resident [%]"])
    least = frame.loc[("Mixtral-8x7B", 25.0), "least link at a hit rate of 99.4% [GB/s]"] * 1e9
    cell = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    slow = px.sweep(
        px.inputs(**cell, policy="prophet", host_link_rate=[0.92 * least, 1.01 * least])
    ).slowdown
    assert slow[0] > 1.25 > slow[1]
    hits = frame.filter(like="least hit rate").loc["Mixtral-8x7B"]
    assert hits.isna().all(axis=None)  # no link of today's will do


def test_a_table_shows_the_cell_it_says(costs):
    frame = tables.table1_policies(costs).set_index(["model", "policy"])
    row = frame.loc[("OLMoE-1B-7B", "lru")]
    cell = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    alone = px.sweep(px.inputs(**cell, policy="lru", cache_slots=16, host_link_rate=24.8e9))
    assert row["per token [ms]"] == pytest.approx(1e3 * alone.step_time.item())
    assert row["slowdown"] == pytest.approx(alone.slowdown.item())
    parts = row["memory [ms]"] + row["exposed [ms]"] + row["host [ms]"]
    assert parts == pytest.approx(row["per token [ms]"])


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_is_a_column_wide_names_units_and_has_the_same_bytes(
    name, made, tmp_path, monkeypatch
):
    monkeypatch.setitem(figure_style.STYLE, "savefig", {"dpi": 50})  # a coarser picture is quicker
    cube, draw = figures.FIGURES[name]
    digests = []
    for folder in ("a", "b"):
        drawing = draw(made[cube])
        assert isinstance(drawing, Figure)
        figure_style.save(drawing, tmp_path / folder, name)
        files = sorted((tmp_path / folder).iterdir())
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]
    assert drawing.get_figwidth() == figure_style.COLUMN
    said = " ".join([drawing.get_supxlabel(), *(a.get_xlabel() for a in drawing.axes)])
    assert "GB/s" in said
    assert "A100-80GB, batch 1" in said.replace("\n", " ")


def test_the_break_even_figure_draws_the_least_hit_rates(made):
    drawing = figures.FIGURES["figure2_break_even_hit_rate"][1](made["closer"])
    cell = made["closer"].sel(model="mixtral-8x7b")
    expected = 100 * regions.least_hit_rate(cell.sel(cache_slots=4), 1.25)
    lines = [ln.get_ydata() for ln in drawing.axes[0].lines]
    assert any(np.array_equal(y, expected, equal_nan=True) for y in lines if len(y) > 2)
    assert expected.isnull().any()
    assert expected.notnull().any()


def test_the_report_shows_every_table_and_figure_and_no_hole(made):
    text = report.report(made)
    for name in (*tables.TABLES, *figures.FIGURES):
        assert name in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert '"1.2x"' in text
    assert "0 of 20 models reach 99.4%" in text


def test_the_report_follows_the_cube(costs):
    fast = costs.assign(slowdown=xr.ones_like(costs.slowdown))
    assert wording.free_region(fast).startswith(
        "with only a step's experts resident, in 3,528 of 3,528 cells"
    )
    assert "in 0 of 588 cells" in wording.slow_region(fast)


def test_every_file_is_written_once_and_whole(made, tmp_path):
    for title, job in run.jobs(tmp_path, made):
        if not title.startswith("figure"):
            job()
    names = sorted(path.name for path in tmp_path.iterdir())
    kinds = [f"{table}{kind}" for table in tables.TABLES for kind in (".csv", ".md")]
    assert names == sorted([*(f"{n}.nc" for n in made), *kinds, run.REPORT])
    assert not any("draft" in name for name in names)
    again = px.load(tmp_path / "costs.nc")
    np.testing.assert_array_equal(again.slowdown, made["costs"].slowdown)
    again.close()


def test_the_grids_hold_the_models_of_the_study_and_those_measured():
    labels = sweeps.models()
    assert len(labels) == len(set(labels)) == 20
    assert labels[0] == "mixtral-8x7b"
    assert {"qwen3-30b-a3b", "gpt-oss-20b", "deepseek-v2-lite", "phi-3.5-moe"} < set(labels)


def test_a_host_that_computes_misses_has_an_arithmetic_roof():
    # Qwen3-30B: 48 layers, top-8, three matrices of 2048 x 768 an expert; nothing on the GPU
    chosen = {"model": "qwen3-30b-a3b", "gpu": "H100-80GB", "policy": "cpu_compute"}
    data = px.inputs(**chosen, cache_slots=0, batch=[1, 4096], host_compute_rate=2e12)
    cube = px.sweep(data, ["host_compute_time", "host_read_time"])
    few, many = cube.host_compute_time.values
    assert few == cube.host_read_time.values[0]
    assert many == pytest.approx(4096 * 48 * 8 * 2 * 3 * 2048 * 768 / 2e12)
