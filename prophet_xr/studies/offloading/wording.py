"""Where the study's numbers on offloading hold, in words: cube -> sentences."""

import xarray as xr

from prophet_xr.reporting.numbers import ends, names
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.published.latency_claims import (
    HIT,
    fetching_row,
    latency_targets,
    prophet_row,
    step_ratio,
)

_UNITS = {"host_link_rate": ("link", 1e-9, "GB/s"), "hit_rate": ("hit rate", 100, "%")}
_UNITS |= {"batch": ("batch", 1, ""), "context": ("context", 1, "tokens")}
_UNITS |= {"cache_slots": ("slots", 1, "")}


def pair_region(cube: xr.Dataset) -> str:
    """Say where each of the two slowdowns holds."""
    targets = latency_targets()
    return (
        f"{targets.free_text} holds {free_region(cube)} {targets.slow_text} holds for "
        f"{slow_region(cube)}"
    )


def ratio_region(cube: xr.Dataset) -> str:
    """Say where their ratio holds."""
    return f"Over more links, cards and models {lower_region(cube)}"


def claim_lines(cube: xr.Dataset) -> list[str]:
    """Say, one line a number, in which cells it holds at batch 1."""
    targets = latency_targets()
    return [
        f'- **"{targets.free_text}"** (Prophet, at most {targets.free:g}): {free_region(cube)}',
        f'- **"{targets.slow_text}"** (offloading, at least {targets.slow:g}): {slow_region(cube)}',
        f"- **\"{targets.lower_text} lower\"** (offloading's step over Prophet's, at least "
        f"{targets.lower:g}): {lower_region(cube)}",
    ]


def free_region(cube: xr.Dataset) -> str:
    """Say where Prophet is as fast as the study says."""
    most = latency_targets().free
    one = cube.sel(batch=1)
    bare = prophet_row(one).sel(cache_slots=0).slowdown <= most
    least = regions.least_share(one.sel(hit_rate=HIT), most)
    least = least.where(one.context <= one.native_context)
    low, high = ends(cube.hit_rate)
    text = (
        f"with only a step's experts resident, in {extent(bare, cube)}, at hit rates of {low:.0%} "
        f"to {high:.0%}. With more resident, at {HIT:.1%}:"
    )
    return f"{text} {'; '.join(_by_link(least, cube))}. {_by_hit_rate(one, most)}"


def _by_hit_rate(cube: xr.Dataset, most: float) -> str:
    """In how many cells some share short of all experts will do, hit rate by hit rate."""
    least = regions.least_share(cube, most)
    within = (cube.context <= cube.native_context).broadcast_like(least.isel(hit_rate=0))
    parts = [
        f"{hit:.1%} {int((least.sel(hit_rate=hit).notnull() & within).sum())}"
        for hit in least.hit_rate.values
    ]
    return f"Cells of {int(within.sum())} in which some share will do, by hit rate: " + (
        ", ".join(parts) + "."
    )


def _by_link(least: xr.DataArray, cube: xr.Dataset) -> list[str]:
    """How many experts must stay, link by link, over models, cards and contexts."""
    parts = []
    within = (cube.context <= cube.native_context).broadcast_like(least.isel(host_link_rate=0))
    for link in least.host_link_rate.values:
        own = least.sel(host_link_rate=link)
        count, size = int(own.count()), int(within.sum())
        at = f"at {link / 1e9:g} GB/s"
        if not count:
            parts.append(f"{at} in none of {size} cells")
            continue
        best = own.isel(own.argmin(...))
        parts.append(
            f"{at} in {count} of {size} cells, from {best.item():.0%} of the experts "
            f"({best.model_name.item()}, {best.gpu.item()}), in the median from "
            f"{own.median().item():.0%}"
        )
    return parts


def slow_region(cube: xr.Dataset) -> str:
    """Say where offloading is as slow as the study says: fetched, or computed on the host."""
    most = latency_targets().slow
    slow = fetching_row(cube.sel(batch=1)).slowdown
    parts = [
        f"at {link / 1e9:g} GB/s {extent(slow.sel(host_link_rate=link) >= most, cube)}"
        for link in slow.host_link_rate.values
    ]
    first = {"hit_rate": 0, "host_link_rate": 0}  # it depends on neither
    host = cube.slowdown.sel(policy="cpu_compute", batch=1, cache_slots=0).isel(first, drop=True)
    middle = host.where(cube.context <= cube.native_context).median().item()
    return (
        f"fetching when needed, in {extent(slow >= most, cube)}. By link: {'; '.join(parts)}. If "
        f"the CPU computes every expert, at {cube.host_memory_rate.item() / 1e9:g} GB/s: in "
        f"{extent(host >= most, cube)}, the median is {middle:.0f}."
    )


def lower_region(cube: xr.Dataset) -> str:
    """Say where fetching when needed is slower than Prophet by what the study says."""
    one = cube.sel(batch=1)
    ratio, lower = step_ratio(one), latency_targets().lower
    within = one.context <= one.native_context
    same = ratio.sel(cache_slots=0).where(within)
    share = prophet_row(one).share
    holds = (ratio >= lower) & within
    shares = share.broadcast_like(holds).where(holds)
    text = (
        f"in the same memory the ratio is {same.max().item():.2f} at most and "
        f"{same.median().item():.2f} in the median, whatever the hit rate, as both move the same "
        f"bytes and overlap can at most halve a step. Where Prophet holds more than what it is "
        f"compared with: in {extent(holds, cube)}"
    )
    return f"{text}, from {shares.min().item():.0%} of the experts on." if holds.any() else text


def extent(holds: xr.DataArray, cube: xr.Dataset) -> str:
    """Say in how many cells within the native context something holds, and what confines it."""
    within = (cube.context <= cube.native_context).broadcast_like(holds)
    holds = (holds & within).transpose(*within.dims)
    count, size = int(holds.sum()), int(within.sum())
    text = f"{count:,} of {size:,} cells"
    if not count or count == size:
        return text
    parts = [_kept(holds, within, cube, str(dim)) for dim in holds.dims]
    return f"{text} ({'; '.join(p for p in parts if p)})" if any(parts) else text


def _kept(holds: xr.DataArray, within: xr.DataArray, cube: xr.Dataset, dim: str) -> str:
    """Labels of a dimension that have a holding cell; nothing if all do that could."""
    rest = [d for d in holds.dims if d != dim]
    some, able = holds.any(rest).values, within.any(rest).values
    if (some == able).all():
        return ""
    if dim == "model":
        found = [name for name, yes in zip(names(cube), some, strict=True) if yes]
        return ", ".join(found) if len(found) <= 6 else f"{len(found)} of {some.size} models"
    values = holds[dim].values[some]
    if dim not in _UNITS:
        return ", ".join(map(str, values))
    title, scale, unit = _UNITS[dim]
    ends = dict.fromkeys(f"{scale * v:g}" for v in (values.min(), values.max()))
    return f"{title} {' to '.join(ends)} {unit}".strip()
