"""Where the study's numbers on offloading hold, in words."""

import xarray as xr

from prophet_xr.studies.offloading import regions, wording


def test_cells_beyond_the_native_context_are_not_counted(costs):
    one = costs.slowdown.sel(policy="prophet", batch=1, cache_slots=0, hit_rate=1.0)
    count = sum(int((costs.context <= native).sum()) for native in costs.native_context.values)
    cells = count * costs.sizes["gpu"] * costs.sizes["host_link_rate"]
    assert wording.extent(one >= 0, costs) == f"{cells:,} of {cells:,} cells"
    only = wording.extent((one >= 0) & (one.model == "dbrx-132b") & (one.gpu == "H100-80GB"), costs)
    assert only == f"12 of {cells:,} cells (DBRX-132B; H100-80GB)"
    fast = wording.extent((one >= 0) & (one.host_link_rate > 20e9), costs)
    assert fast == f"{cells // 2:,} of {cells:,} cells (link 24.8 to 55 GB/s)"


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


def test_the_report_follows_the_cube(costs):
    fast = costs.assign(slowdown=xr.ones_like(costs.slowdown))
    assert wording.free_region(fast).startswith(
        "with only a step's experts resident, in 3,528 of 3,528 cells"
    )
    assert "in 0 of 588 cells" in wording.slow_region(fast)


def test_the_summary_says_what_the_costs_say(results):
    text = results["offloading_summary"]
    assert '"1.2x"' in text
    assert "0 of 20 models reach 99.4%" in text
