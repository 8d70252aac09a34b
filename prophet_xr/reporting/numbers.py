"""Numbers and names as people read them: display units, digits, lists."""

import numpy as np
import xarray as xr
from tabulate import tabulate

from prophet_xr.errors import InputError, nearest

_UNITS = {"B": 1.0, "GB": 1e9, "GiB": 2.0**30, "MB": 1e6, "KiB": 1024.0}


def shown(values: xr.DataArray, unit: str) -> xr.DataArray:
    """Convert a number to a display unit: GB = 1e9 B, GiB = 2**30 B, % of a fraction, G of a count.

    Raises InputError for a unit that the quantity is not measured in.
    """
    have = str(values.attrs.get("units", ""))
    if have.startswith("B") and unit in _UNITS:
        scale = 1 / _UNITS[unit]
    elif have == "1" and unit == "%":
        scale = 100.0
    elif have == "parameter" and unit == "1e9":
        scale = 1e-9
    elif have == "s" and unit == "ms":
        scale = 1e3
    else:
        raise InputError(f"{values.name} is in {have!r}, not in {unit!r}; {nearest(unit, _UNITS)}")
    return (values * scale).assign_attrs({**values.attrs, "units": unit})


def ends(values: xr.DataArray) -> tuple[float, float]:
    """Smallest and largest number, NaN where there is none."""
    flat = values.values[values.values == values.values]
    return (float(flat.min()), float(flat.max())) if flat.size else (np.nan, np.nan)


def names(cube: xr.Dataset) -> list[str]:
    """Display names of the models, their labels where there are none."""
    source = cube.model_name if "model_name" in cube.variables else cube.model
    return [str(n) for n in np.atleast_1d(source.values)]


def pipes(rows: list[list], headers: list[str]) -> str:
    """Table of text as Markdown."""
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def text_table(rows: list[list], headers: list[str]) -> str:
    """Table of text in columns, without rules."""
    return tabulate(rows, headers, tablefmt="plain", disable_numparse=True)


def arithmetic_text(arithmetic: str) -> str:
    """Write arithmetic as a person does: ``32 x (2 x 4096 x 1024)``."""
    return arithmetic.replace("*", "x")


def number_text(value: float) -> str:
    """Write a number in full if it is whole, else with six significant digits."""
    value = float(f"{value:.15g}")  # what a change of unit leaves behind
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.6g}"


def listed(items: list[str]) -> str:
    """Write a list of names."""
    return ", ".join(items) if items else "none"


def four_digits(value: float) -> str:
    """Write a number with four significant digits, without an exponent."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"
