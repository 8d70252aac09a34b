"""Cube -> frame, for offloading.  A table's name is its file name."""

import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.published.latency_claims import (
    HIT,
    fetching_row,
    latency_targets,
    prophet_row,
    step_ratio,
)

TABLES = Listing()
_CARD = "A100-80GB"
QUARTER = 0.25
_LINKS = (10e9, 12e9, 24.8e9, 55e9)  # B/s, as swept


@TABLES.part
def table1_policies(costs: xr.Dataset) -> pd.DataFrame:
    """Every policy at batch 1 on A100-80GB over PCIe 4; caches hold a quarter of the experts.

    Reads what `sweeps.costs` keeps.
    """
    cell = regions.usual(costs).sel(gpu=_CARD, host_link_rate=24.8e9)
    quarter, none = regions.at_share(cell, QUARTER), cell.sel(cache_slots=0)
    frames = []
    for policy in costs.policy.values:
        own = none if policy == "prophet" else quarter
        frames.append(_policy(own.sel(policy=policy), str(policy)))
    return _interleaved(frames)


def _policy(row: xr.Dataset, policy: str) -> pd.DataFrame:
    frame = pd.DataFrame({"model": names(row)})
    frame["policy"] = policy
    frame["experts"] = row.n_experts.values.astype(int)
    frame["resident"] = row.resident_experts.values
    for title, name in (("GPU", "expert_memory"), ("host", "host_memory")):
        frame[f"experts in {title} memory [GB]"] = shown(row[name], "GB").values
    frame["over the link [GB/step]"] = shown(row.link_traffic, "GB").values
    frame["link in use [%]"] = shown(row.link_utilization, "%").values
    for title in ("compute", "memory", "hidden", "exposed", "host"):
        frame[f"{title} [ms]"] = shown(row[f"{title}_time"], "ms").values
    frame["per token [ms]"] = shown(row.step_time, "ms").values
    frame["tokens/s"] = row.throughput.values
    frame["slowdown"] = row.slowdown.values
    frame["largest useful hit rate [%]"] = shown(row.feasible_hit_rate, "%").values
    return frame


@TABLES.part
def table2_where_prophet_is_nearly_free(costs: xr.Dataset) -> pd.DataFrame:
    """Prophet at batch 1 on A100-80GB with a step's experts, and what the study's 1.2x would take.

    Reads slowdown, resident_experts, feasible_hit_rate (policy, ..., cache_slots).
    """
    cell = regions.usual(costs).sel(gpu=_CARD)
    bare = prophet_row(cell).sel(cache_slots=0)
    best = {"policy": "prophet", "gpu": _CARD, "cache_slots": 0, "batch": 1, "hit_rate": 1.0}
    perfect = costs.slowdown.sel({**best, "context": cell.context})
    least = 100 * regions.least_share(cell, latency_targets().free)
    frames = []
    for link in cell.host_link_rate.values:
        at = {"host_link_rate": link}
        frame = pd.DataFrame({"model": names(cell), "locality": _locality(cell)})
        frame["link [GB/s]"] = link / 1e9
        frame["resident [%]"] = 100 * bare.share.values
        frame["slowdown"] = bare.slowdown.sel(at).values
        frame["slowdown at a hit rate of 100 %"] = perfect.sel(at).values
        frame["largest useful hit rate [%]"] = 100 * bare.feasible_hit_rate.sel(at).values
        frame["least resident for 1.2x [%]"] = least.sel(at).values
        frames.append(frame)
    return _interleaved(frames)


def _interleaved(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """First rows of all frames, then second rows, and so on."""
    rows = pd.concat(frames, keys=range(len(frames)))
    return rows.swaplevel().sort_index(kind="stable").reset_index(drop=True)


def _locality(cube: xr.Dataset) -> list[str]:
    return ["measured" if yes else "assumed" for yes in cube.locality_measured.values]


@TABLES.part
def table3_fetching_when_needed(costs: xr.Dataset) -> pd.DataFrame:
    """Experts fetched when needed at batch 1 on A100-80GB: slowdown, and step over Prophet's.

    Reads slowdown, step_time (policy, ..., host_link_rate).
    """
    cell = regions.usual(costs).sel(gpu=_CARD)
    frame = pd.DataFrame({"model": names(cell), "locality": _locality(cell)})
    slow, ratio = fetching_row(cell).slowdown, step_ratio(cell).sel(cache_slots=0)
    for link in cell.host_link_rate.values:
        at, title = {"host_link_rate": link}, f"{link / 1e9:g} GB/s"
        frame[f"slowdown, {title}"] = slow.sel(at).values
        frame[f"over Prophet's step in the same memory, {title}"] = ratio.sel(at).values
    return frame


@TABLES.part
def table4_engines(engines: xr.Dataset) -> pd.DataFrame:
    """Slowdown when copies and steps have fixed costs, at batch 1 on A100-80GB over PCIe 4.

    Reads slowdown (policy, model, copy_latency, software_floor); the floor slows the baseline too.
    """
    cell = engines.sel(gpu=_CARD)
    frame = pd.DataFrame({"model": names(cell)})
    for policy in ("on_demand", "lru", "prophet"):
        for latency, floor in ((0.0, 0.0), (20e-6, 5e-3), (70e-6, 15e-3)):
            at = {"policy": policy, "copy_latency": latency, "software_floor": floor}
            title = f"{policy}, {1e6 * latency:.0f} us + {1e3 * floor:.0f} ms"
            frame[title] = cell.slowdown.sel(at).values
    return frame


@TABLES.part
def table5_break_even(closer: xr.Dataset) -> pd.DataFrame:
    """What the study's 1.2x takes at batch 1 on A100-80GB: a hit rate per link, or a faster link.

    Reads slowdown, in_time (policy, model, hit_rate, host_link_rate, cache_slots) [1].
    """
    most = latency_targets().free
    rows = []
    for model in closer.model.values:
        one = closer.sel(model=model)
        for share in (float(one.top_k / one.n_experts), 0.5, 0.75):
            cell = regions.at_share(one, share, one.top_k)
            hit, link = regions.least_hit_rate(cell, most), regions.least_link(cell, most)
            row = {"model": cell.model_name.item(), "resident [%]": 100 * share}
            for rate in _LINKS:
                name = f"least hit rate at {rate / 1e9:g} GB/s [%]"
                row[name] = 100 * hit.sel(host_link_rate=rate).item()
            for rate in (0.9, HIT, 1.0):
                at = link.sel(hit_rate=rate).item() / 1e9
                row[f"least link at a hit rate of {rate:.1%} [GB/s]"] = at
            rows.append(row)
    return pd.DataFrame(rows)
