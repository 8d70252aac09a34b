"""What is refused, each in one line: arguments of functions, then the arrays of a sweep.

Everything is checked once, where it comes in.  A validator returns what it has checked.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr

from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.registry import LABELLED, QUANTITIES, Quantity

FACTOR = re.compile(r"([*·/]?)\s*(1(?!\d)|[A-Za-zµ%_]+)(?:\s*(?:\*\*|\^)?([+-]?\d+))?\s*")
SYNONYMS = {"dimensionless": "1", "byte": "B", "bytes": "B", "second": "s", "seconds": "s"}
SYNONYMS |= {f"{word}s": word for word in ("token", "expert", "element", "parameter")}
FINITE = float(np.finfo(np.float64).max)
_FEW = 4096  # numbers; more are not worth a copy
CONTINUOUS = "continuous"  # attribute of a count that is meant to lie between whole numbers
ALWAYS = 2**24  # bytes; to ask what is free takes longer than to fill so few

# --- Arguments -------------------------------------------------------------------------------


def dataset(what: str, value: object, expected: str = "what px.inputs gives") -> xr.Dataset:
    """Return a Dataset."""
    if not isinstance(value, xr.Dataset):
        raise InputError(f"{what} is a {type(value).__name__}; expected {expected}")
    return value


def file_path(value: object) -> Path:
    """Return a path, with the user's home in place of ``~``."""
    if not isinstance(value, str | Path):
        raise InputError(f"path={brief(value)}; expected text or a Path")
    return Path(value).expanduser()


def text(what: str, value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise InputError(f"{what}={brief(value)}; expected text")
    return value


def texts(what: str, values: object) -> list[str]:
    """Return one text or several as a list."""
    if isinstance(values, str):
        return [values]
    found = values.values.tolist() if isinstance(values, xr.DataArray) else values
    if isinstance(found, bytes) or not isinstance(found, Iterable):
        raise InputError(f"{what}={brief(values)}; expected text or a list of it")
    return [text(what, value) for value in found]


def yes_or_no(what: str, value: object) -> bool:
    """Return a flag."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{what}={brief(value)}; expected True or False")
    return bool(value)


def choice(what: str, value: object, known: Iterable[str]) -> str:
    """Return one of the texts that are known."""
    if text(what, value) not in (options := list(known)):
        raise InputError(f"{what}={brief(value)} is unknown; {nearest(value, options)}")
    return str(value)


def number(
    name: str,
    value: object,
    low: float = -np.inf,
    high: float = np.inf,
    expected: str = "",
    *,
    ends: bool = True,
) -> float:
    """Return a finite number from ``low`` to ``high``; ``ends`` tells whether it may be one."""
    got = _real(value)
    if abs(got) <= FINITE and (low < got < high or (ends and got in (low, high))):
        return got
    span = f"from {low:g} to {high:g}" if ends else f"between {low:g} and {high:g}"
    raise InputError(f"{name}={brief(value)}; expected {expected or f'a number {span}'}")


def _real(value: object) -> float:
    """Value of a real number, NaN of anything else."""
    got = value
    if isinstance(value, np.ndarray | xr.DataArray) and not value.ndim:
        got = value.item()
    if isinstance(got, bool) or not isinstance(got, Real):
        return np.nan
    try:
        return float(got)
    except OverflowError:
        return np.inf


def whole(name: str, value: object, least: int, most: float = np.inf, expected: str = "") -> int:
    """Return a whole number, at least so large."""
    words = expected or f"a whole number, at least {least}"
    if number(name, value, least, most, words) % 1:
        raise InputError(f"{name}={brief(value)}; expected {words}")
    return int(value)  # pyright: ignore[reportArgumentType]


def numbers(name: str, values: object) -> list[float]:
    """Return a list of finite numbers."""
    found = [_real(v) for v in values] if isinstance(values, Iterable) else [np.nan]
    if not np.isfinite(found).all():
        got = values.values.tolist() if isinstance(values, xr.DataArray) else values
        raise InputError(f"{name}={brief(got)}; expected a list of finite numbers")
    return found


def mapping(name: str, values: object) -> dict[Any, Any]:
    """Return a mapping as a dict."""
    if not isinstance(values, Mapping):
        raise InputError(f"{name}={brief(values)}; expected a mapping, such as a dict")
    return dict(values)


def numeric(what: str, data: xr.Dataset, name: object) -> None:
    """Raise InputError for a name that is no numeric input of the data."""
    variables = dataset("the inputs", data).variables
    known = [
        n for n, q in QUANTITIES.items() if n in variables and not (q.formula or n in LABELLED)
    ]
    if not isinstance(name, str) or name not in known:
        words = nearest(name, known, "`px.inputs()`")
        raise InputError(f"{what} {brief(name)}, which is no numeric input; {words}")


def array(values: object, what: str) -> xr.DataArray:
    """Return a labelled array of real numbers or flags."""
    if not isinstance(values, xr.DataArray):
        raise InputError(f"{what} is a {type(values).__name__}; expected a labelled xr.DataArray")
    if values.dtype.kind not in "iufb":
        raise InputError(f"{what} holds {values.dtype}; expected numbers or flags")
    return values


def labels_of(values: xr.DataArray, chosen: Mapping[str, object], what: str) -> dict[str, Any]:
    """Return a label for each dim that is named, as the array has it."""
    found = {}
    for dim, label in chosen.items():
        if dim not in values.dims:
            raise InputError(f"{what} names {dim!r}, no dimension; {nearest(dim, values.dims)}")
        known = values[dim].values.tolist()
        if label not in known:
            words = nearest(label, known)
            raise InputError(f"{what}: {dim}={label!r} is not in the space; {words}")
        found[dim] = label
    return found


def shares(name: str, values: object) -> np.ndarray:
    """Return a list of numbers from 0 to 1."""
    found = np.array(numbers(name, values))
    if not found.size or not ((found >= 0) & (found <= 1)).all():
        raise InputError(f"{name}={brief(values)}; expected a list of shares from 0 to 1")
    return found


def unique(name: str, values: np.ndarray | Sequence[object]) -> None:
    """Raise InputError for the first value that is there twice."""
    if isinstance(values, np.ndarray):
        if values.size > _FEW and np.unique(values).size == values.size:
            return
        values = values.tolist()
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise InputError(f"{name} holds {value!r} twice; expected unique values")
        seen.add(value)


def units(q: Quantity, given: object) -> None:
    """Raise InputError for units that do not mean those of a quantity, however they are written."""
    if (powers := _powers(str(given))) is None or powers != _powers(q.units):
        raise InputError(f"{q.name} is in {brief(given)}; expected {q.units!r} ({q.long_name})")


def _powers(units: str) -> dict[str, int] | None:
    """Units and their powers in a product or quotient, such as ``B / s``; None for other text."""
    rest, powers = units.strip(), Counter()
    while rest:
        if not (factor := FACTOR.match(rest)):
            return None
        sign, unit, power = factor.groups()
        powers[SYNONYMS.get(unit, unit)] += int(power or 1) * (-1 if sign == "/" else 1)
        rest = rest[factor.end() :]
    return {unit: power for unit, power in powers.items() if power and unit != "1"}


def enough_memory(size: int) -> None:
    """Raise InputError if arrays of so many bytes do not fit into the memory that is free."""
    if size > ALWAYS and size > (free := _free_memory()):
        raise InputError(
            f"the cube takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory is free; "
            "metrics= keeps fewer, px.summarize stores none, px.sweep_to writes to disk"
        )


def _free_memory() -> int:
    """Bytes this process can still take, by the machine and by the container it runs in."""
    free = psutil.virtual_memory().available
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no such container, or no limit
        return free
    return min(free, max(limit - used, 0))


# --- Arrays of a sweep ------------------------------------------------------------------------


def check(data: xr.Dataset, names: Sequence[str]) -> None:
    """Raise InputError for the first input among ``names`` that is missing or out of bounds."""
    variables = dataset("the inputs", data).variables
    arrays: list[np.ndarray] = []
    for name in names:
        if name not in variables:
            raise InputError(_missing(name, variables))
        arrays.append(variables[name].values)
        if arrays[-1].dtype.kind not in "iufb":
            got, units = arrays[-1].dtype, QUANTITIES[name].units
            raise InputError(f"{name} has dtype {got}; expected numbers in {units}")
    for dim, size in data.sizes.items():
        if size == 0:
            raise InputError(f"{dim} is empty; expected at least one value")
    inside = _inside(names, arrays)
    if not inside.all():
        raise InputError(_out_of_bounds(data, QUANTITIES[names[int(inside.argmin())]]))
    _counts(data, names)
    if "keep_slots" in names and "n_experts" in names and variables["keep_slots"].values.any():
        _slots(variables["cache_slots"], variables["n_experts"])
    if "top_k" in names and "n_experts" in names:
        _top_k(variables["top_k"], variables["n_experts"])
    for dim in data.sizes:
        if dim in variables:
            unique(str(dim), variables[dim].values)


def _missing(name: str, known: Iterable[Hashable]) -> str:
    q, close = QUANTITIES[name], get_close_matches(name, map(str, known), n=1)
    hint = f"; is it {close[0]!r}?" if close else ""
    return f"{name} is missing ({q.long_name}, {q.units}){hint}"


def _inside(names: Sequence[str], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Tell of each array whether every number is within bounds; all at once, as most are small."""
    if not arrays:
        return np.ones(0, bool)
    few = [a.ravel() if a.size <= _FEW else np.array([a.min(), a.max()]) for a in arrays]
    starts = np.cumsum([0, *(a.size for a in few[:-1])])
    numbers = np.concatenate(few)
    low, high = _bounds(tuple(names))
    return (low <= np.minimum.reduceat(numbers, starts)) & (  # NaN compares false
        np.maximum.reduceat(numbers, starts) <= high
    )


@lru_cache(256)
def _bounds(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.array([QUANTITIES[n].bounds for n in names])
    return bounds[:, 0], np.minimum(bounds[:, 1], FINITE)


def _out_of_bounds(data: xr.Dataset, q: Quantity) -> str:
    """Word the first number that is out of bounds, and where it is."""
    values, (low, high) = data.variables[q.name].values, q.bounds
    good = (values >= low) & (values <= min(high, FINITE))
    first = _first(data, q.name, ~good)
    return f"{first} is outside [{low:g}, {high:g}] ({q.long_name}, {q.units})"


def _counts(data: xr.Dataset, names: Sequence[str]) -> None:
    """Refuse a fraction of what is counted, unless it is marked as meant."""
    for q in (QUANTITIES[name] for name in names if QUANTITIES[name].whole):
        variable = data.variables[q.name]
        if variable.dtype.kind != "f" or CONTINUOUS in variable.attrs:
            continue
        fraction = variable.values != np.floor(variable.values)
        if fraction.any():
            first = _first(data, q.name, fraction)
            raise InputError(f"{first}; expected a whole number ({q.long_name}, {q.units})")


def _first(data: xr.Dataset, name: str, wrong: np.ndarray) -> str:
    """Word the first number that is wrong, and where it is."""
    variable, index = data.variables[name], np.argwhere(wrong)[0]
    got = float(variable.values[tuple(index)])
    at = [
        f"{d}={data[d].values.tolist()[i]!r}" if d in data.coords else f"{d}[{i}]"
        for d, i in zip(variable.dims, index, strict=True)
        if d != name
    ]
    text = f"{got:g}" if float(f"{got:g}") == got else repr(got)
    return f"{name}={text}{' at ' if at else ''}{', '.join(at)}"


def _top_k(asked: xr.Variable, experts: xr.Variable) -> None:
    """Refuse more experts for a token than a layer has."""
    over = _exceeds(asked, experts)
    if over.values.any():
        at = dict(zip(over.dims, np.argwhere(over.values)[0], strict=True))
        k, e = (float(v[{d: at[d] for d in v.dims}].values) for v in (asked, experts))
        raise InputError(f"top_k={k:g} exceeds the {e:g} experts of a layer (n_experts)")


def _exceeds(asked: xr.Variable, experts: xr.Variable) -> xr.Variable:
    """Tell where more is asked for than a model with experts has."""
    if asked.dims == experts.dims:  # as they mostly are, and arrays compare faster
        return asked.copy(data=(asked.values > experts.values) & (experts.values > 0))
    return (asked > experts) & (experts > 0)


def _slots(slots: xr.Variable, experts: xr.Variable) -> None:
    """Refuse a cache that no model of the sweep can have.

    A grid of models x slots has cells with more slots than experts: these are NaN with a reason,
    see ``policy_reason``.  Slots that exceed the experts of every model they meet are a mistake.
    """
    over = _exceeds(slots, experts)
    if not over.values.any():
        return
    always = over.all([d for d in over.dims if d not in slots.dims])
    if always.values.any():
        at = slots.values[always.transpose(*slots.dims).values].ravel()[0]
        raise InputError(
            f"cache_slots={at:g} exceeds the experts of every model it meets; "
            f"expected at most {experts.values.max():g} (n_experts)"
        )
