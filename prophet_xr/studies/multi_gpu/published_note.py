"""The study's multi-GPU note by its own rule, and the verdict on each of its claims."""

import tomllib

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.errors import SpecError
from prophet_xr.studies.published import claim_file

HELD = {True: "reproduced", False: "not reproduced"}
PHYSICS = 0.1  # share by which physics may differ and still agree, as for all other claims


def note_rows() -> xr.Dataset:
    """Read the four systems and the constants of the rule from ``data/systems.toml``.

    Raises SpecError if the file is missing or broken.
    """
    file = specs.path().with_name("systems.toml")
    try:
        table = tomllib.loads(file.read_text(encoding="ascii"))
        rule = {name: entry["value"] for name, entry in table.pop("rule").items()}
        own = {n: [t[n]["value"] for t in table.values()] for n in ("gpus", "bandwidth", "price")}
        cards = [entry["gpu"] for entry in table.values()]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SpecError(
            f"systems: {file} cannot be read ({problem}); expected the file of the package"
        ) from None
    columns = {name: ("system", values) for name, values in {**own, "gpu": cards}.items()}
    return xr.Dataset({**columns, **rule}, coords={"system": list(table)})


def by_rule(rows: xr.Dataset) -> xr.Dataset:
    """Follow the rule that reproduces the note.

    overhead o = c / (1 + c), c = 800 / bandwidth; baseline N x 100 (1 - o) / 2 tokens/s; Prophet
    N x 250 (1 - o') 0.8 with a fifth of c.
    """

    def overhead(share: float) -> xr.DataArray:
        moved = share * rows.moved / rows.bandwidth
        return moved / (1 + moved)

    o, less = overhead(1.0), overhead(float(rows.traffic_kept))
    made = {
        "baseline_throughput": rows.gpus * rows.pair_rate * (1 - o) / 2,
        "prophet_throughput": rows.gpus * rows.prophet_rate * (1 - less) * rows.prophet_share,
        "baseline_communication": 100 * o,
        "prophet_communication": 100 * less,
    }
    return _priced(xr.Dataset(made), rows)


def by_physics(rows: xr.Dataset, cube: xr.Dataset) -> xr.Dataset:
    """Give the same numbers by the formulas of the project.

    Reads throughput, communication_share (system, policy) of `sweeps.systems`.
    """
    made = {}
    for policy in ("baseline", "prophet"):
        cell = cube.sel(policy=policy, drop=True)
        made[f"{policy}_throughput"] = cell.throughput.where(cell.serves_context)
        made[f"{policy}_communication"] = 100 * cell.communication_share
    plain = xr.Dataset(made).reset_coords(drop=True)
    return _priced(plain.assign_coords(system=rows["system"]), rows)


def _priced(made: xr.Dataset, rows: xr.Dataset) -> xr.Dataset:
    """Add speed-up, cost of a million tokens and savings of a year."""
    made = made.assign(multi_gpu_speedup=made.prophet_throughput / made.baseline_throughput)
    for policy in ("baseline", "prophet"):
        made[f"{policy}_cost"] = 1e6 * rows.price / (3600 * made[f"{policy}_throughput"])
    saved = (made.baseline_cost - made.prophet_cost) * rows.yearly_tokens / 1e6
    ideal = rows.gpus * rows.prophet_rate
    less = 100 * (1 - made.prophet_communication / made.baseline_communication)
    return made.assign(
        annual_savings=saved,
        communication=less,
        scaling_efficiency=100 * made.prophet_throughput / ideal,
    )


def both(systems: xr.Dataset, doubled: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Give the note's numbers by its rule and by physics, each also with twice the GPUs.

    Reads the cubes systems and doubled; adds trend (cause): the sign of what a speed-up gains,
    ``gpus`` from twice as many of them, ``bandwidth`` from the slowest to the fastest system.
    """
    source = note_rows()
    more = source.assign(gpus=2 * source.gpus)
    rule = _trends(by_rule(source), by_rule(more), source)
    single, double = by_physics(source, systems), by_physics(more, doubled)
    return rule, _trends(single, double, source)


def _trends(made: xr.Dataset, more: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    up = made.multi_gpu_speedup
    gained = (more.multi_gpu_speedup - up).mean().item()
    known = up.where(source.bandwidth > 0).dropna("system")
    order = source.bandwidth.sel(system=known.system)
    ends = known.isel(system=[order.values.argmin(), order.values.argmax()]).values
    signs = [np.sign(np.round(d, 9)) for d in (gained, ends[1] - ends[0])]
    return made.assign(trend=xr.DataArray(signs, {"cause": ["gpus", "bandwidth"]}))


def verdicts(rule: xr.Dataset, physics: xr.Dataset) -> pd.DataFrame:
    """Judge each claim of the note by its rule and by physics.

    Reproduced: within the claim's rounding by the rule.  Agrees: within a tenth by physics.
    """
    lines = []
    for claim in claim_file.read_claims():
        if claim.document != "multi_gpu":
            continue
        system, (own, true) = _found(claim, rule, physics)
        stated = float(np.atleast_1d(claim.value)[0])
        hit = abs(own - stated) <= float(np.atleast_1d(claim.tolerance)[0]) + 1e-9
        agrees = abs(true - stated) <= PHYSICS * abs(stated)
        what = claim.quantity.replace("_", " ")
        lines.append([claim.id, system, what, claim.quote, stated, own, true, hit, agrees])
    heads = ["claim", "system", "of", "quote", "published", "by its rule", "by physics"]
    frame = pd.DataFrame(lines, columns=[*heads, "hit", "agrees"])
    return frame.assign(verdict=_verdict(frame)).drop(columns=["hit", "agrees"])


def _found(claim: claim_file.Claim, *made: xr.Dataset) -> tuple[str, list[float]]:
    if claim.quantity == "multi_gpu_trend":
        cause = "gpus" if "count" in claim.quote else "bandwidth"
        return "", [d.trend.sel(cause=cause).item() for d in made]
    system, name = claim.gpu[0], claim.quantity
    if name == "communication" and "overhead" in claim.quote:
        name = "baseline_communication"
    return system, [d[name].sel(system=system).item() for d in made]


def _verdict(frame: pd.DataFrame) -> list[str]:
    words = []
    for hit, agrees in zip(frame.hit, frame.agrees, strict=True):
        physics = "physics agrees" if agrees else "physics does not"
        words.append(f"{HELD[bool(hit)]} by its rule; {physics}")
    return words
