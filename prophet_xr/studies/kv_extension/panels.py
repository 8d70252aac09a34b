"""What the figures of the study share: which cubes they draw, and the rows that they ask of one."""

from typing import Any

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.reporting.figure_style import (
    COLOURS,
)
from prophet_xr.reporting.numbers import listed, names
from prophet_xr.studies.published.averages import (
    BOTH,
    ONLY_PROPHET,
)

DIMS = {"policy", "model", "gpu", "batch"}
SHADE = "#f1f1f1"
SMALL: dict[str, Any] = {"fontsize": 7}
CARD_MARKS = list(zip([COLOURS[i] for i in (1, 2, 0, 4, 5, 7, 8, 9)], "vsoD^Pp*", strict=True))


def check_cube_of_figures(cube: xr.Dataset) -> None:
    """Raise InputError for a cube that is not on the dims that figures show."""
    got = {str(d) for d in cube.kv_extension.dims}
    if got != DIMS:
        raise InputError(
            f"figures show kv_extension over {sorted(DIMS)}, got {sorted(got)}; "
            f"sweep those as lists, and select one value of any other axis"
        )
    missing = {"baseline", "prophet"} - set(cube.policy.values.tolist())
    if missing:
        raise InputError(f"figures compare baseline and prophet; policy lacks {sorted(missing)}")


def prophet_cells(cube: xr.Dataset) -> xr.Dataset:
    """Row of the policy, with what figures ask of each cell.

    Adds both, alone (model, gpu, batch): both fit, only Prophet does; cell: the extension where
    both fit, else NaN.
    """
    row = cube.sel(policy="prophet").transpose("model", "gpu", "batch")
    both, alone = row.regime == BOTH, row.regime == ONLY_PROPHET
    return row.assign(both=both, alone=alone, cell=row.kv_extension.where(both))


def fitting_models(row: xr.Dataset) -> xr.Dataset:
    """Models that an extension exists for."""
    return row.isel(model=np.flatnonzero(row.both.any(["gpu", "batch"]).values))


def by_experts(row: xr.Dataset) -> xr.Dataset:
    """Models by expert count, then top-k."""
    return row.isel(model=np.lexsort((row.top_k.values, row.n_experts.values)))


def with_experts(row: xr.Dataset) -> list[str]:
    """Return ``name  k/E`` of each model."""
    shape = zip(names(row), row.top_k.values, row.n_experts.values, strict=True)
    return [f"{name}  {k:.0f}/{e:.0f}" for name, k, e in shape]


def unextended(cube: xr.Dataset) -> str:
    """Say which models have no extension: only Prophet fits them, or nothing does."""
    regime = cube.regime.sel(policy="prophet")
    over = ["gpu", "batch"]
    cells = (regime == ONLY_PROPHET).sum(over).values
    never = ~(regime == BOTH).any(over).values
    found = [(name, n) for name, n, no in zip(names(cube), cells, never, strict=True) if no]
    some = [f"{name} ({n})" for name, n in sorted(found, key=lambda pair: -pair[1]) if n]
    none = [name for name, n in found if not n]
    total = regime.sizes["gpu"] * regime.sizes["batch"]
    lines = [f"Only Prophet fits (cells of {total}): {listed(some)}."] if some else []
    return " ".join(lines + ([f"Neither fits: {listed(none)}."] if none else []))
