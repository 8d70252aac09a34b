"""The study's multi-GPU note by its own rule, and the verdict on each of its claims."""

import tomllib

import pandas as pd
import xarray as xr

from prophet_xr import specs, statements
from prophet_xr.errors import SpecError

HELD = {True: "reproduced", False: "not reproduced"}
PHYSICS = 0.1  # share by which physics may differ and still agree, as for all other claims


def rows() -> xr.Dataset:
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
            f"systems: {file} cannot be read ({problem}); expected a checkout"
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

    Reads throughput, communication_share (system, policy) of `grids.systems`.
    """
    made = {}
    for policy in ("baseline", "prophet"):
        cell = cube.sel(policy=policy, drop=True)
        made[f"{policy}_throughput"] = cell.throughput.where(cell.serves_context)
        made[f"{policy}_communication"] = 100 * cell.communication_share
    keep = ["system"]
    plain = xr.Dataset(made).reset_coords(drop=True)
    return _priced(plain.assign_coords(system=rows[keep[0]]), rows)


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


def verdicts(rule: xr.Dataset, physics: xr.Dataset) -> pd.DataFrame:
    """Judge each claim of the note by its rule and by physics.

    Reproduced: within the claim's rounding by the rule.  Agrees: within a tenth by physics.
    """
    lines = []
    for claim in statements.read():
        if claim.document != "multi_gpu":
            continue
        if claim.quantity == "multi_gpu_trend":
            lines.append([claim.id, claim.quote, "", *_trend(claim.quote, rule, physics)])
            continue
        system = claim.gpu[0]
        name = claim.quantity
        if name == "communication" and "overhead" in claim.quote:
            name = "baseline_communication"
        own, true = (d[name].sel(system=system).item() for d in (rule, physics))
        hit = abs(own - claim.value) <= claim.tolerance + 1e-9
        agrees = abs(true - claim.value) <= PHYSICS * abs(claim.value)
        lines.append([claim.id, claim.quote, system, claim.value, own, true, hit, agrees])
    heads = ["claim", "quote", "system", "published", "by its rule", "by physics"]
    frame = pd.DataFrame(lines, columns=[*heads, "hit", "agrees"])
    return frame.assign(verdict=_verdict(frame)).drop(columns=["hit", "agrees"])


def _trend(quote: str, rule: xr.Dataset, physics: xr.Dataset) -> list:
    """Whether speed-up grows with what the quote names: the rank correlation over the systems."""
    source = rows()
    cause = source.gpus if "count" in quote else source.bandwidth
    found = []
    for made in (rule, physics):
        pairs = pd.DataFrame({"x": cause.values, "y": made.multi_gpu_speedup.values})
        found.append(pairs.dropna().corr("spearman").x.y)
    return [1.0, *found, found[0] > 0, found[1] > 0]


def _verdict(frame: pd.DataFrame) -> list[str]:
    words = []
    for hit, agrees in zip(frame.hit, frame.agrees, strict=True):
        physics = "physics agrees" if agrees else "physics does not"
        words.append(f"{HELD[bool(hit)]} by its rule; {physics}")
    return words
