"""Fields of a model row that no config states, by the rules of ``data/unstated.toml``.

Comes in: the `Row` that the reader counted from a config.  Goes out: every field of the catalogue
with its number, its arithmetic as text, its source and its status.
Why so: the reader says what a config says and nothing else.  How a router behaves, or what the
published study charges every sequence, is a measurement, an assumption or a fitted constant; it is
data with a source, and is kept with the data.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from prophet_xr.catalogue import specs
from prophet_xr.catalogue.config.arithmetic import Count
from prophet_xr.catalogue.config.reader import Row
from prophet_xr.errors import SpecError


def _value(number: float, row: Row) -> Count:
    return Count(number, f"{number:g}")


def _per_parameter(number: float, row: Row) -> Count:
    return Count(number * row.parameters, f"{number} * {row.parameters}")


def _share_of_experts(share: float, row: Row) -> Count:
    """Slots of a cache whose size nobody gave."""
    experts, top_k = (row.fields[name][0].value for name in ("n_experts", "top_k"))
    slots = max(math.ceil(share * experts), top_k)
    return Count(slots, f"{slots:g}")


_RULES: Mapping[str, Callable[[float, Row], Count]] = {
    "value": _value,
    "per_parameter": _per_parameter,
    "share_of_experts": _share_of_experts,
}


def entries(row: Row, file: Path | None = None) -> dict[str, dict]:
    """Every field of a row as the catalogue holds it, stated or not.

    ``file`` has the rules, by default the one next to specs.nc.  Raises SpecError if it is missing
    or broken.
    """
    cells = {name: (count, keys, "exact") for name, (count, keys) in row.fields.items()}
    for name, (rule, number, source, status) in _read(file or _installed()).items():
        cells[name] = (_RULES[rule](number, row), source, status)
    return {
        name: {
            "number": count.value,
            "value": count.text,
            "source": source or f"every {row.family} model",
            "status": status,
        }
        for name, (count, source, status) in cells.items()
    }


def _installed() -> Path:
    return specs.path().with_name("unstated.toml")


@cache
def _read(file: Path) -> dict[str, tuple[str, float, str, str]]:
    """Rule, number, source and status of every field in the file."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: _entry(entry) for name, entry in table.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SpecError(f"specs: {file} cannot be read ({problem!r})") from None


def _entry(entry: Mapping) -> tuple[str, float, str, str]:
    (rule,) = entry.keys() - {"source", "status"}
    if rule not in _RULES or entry["status"] not in specs.STATUSES:
        raise ValueError(
            f"{dict(entry)} has no rule of {list(_RULES)} or no status of the catalogue"
        )
    return rule, float(entry[rule]), entry["source"], entry["status"]
