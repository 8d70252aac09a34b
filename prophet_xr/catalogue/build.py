"""``data/*.toml`` -> ``data/specs.nc``.

Comes in: a folder of TOML files, typed by hand, and the configs of the models.  Goes out: specs.nc,
with every number in SI, its source, its status and its arithmetic.
Why so: a person types "141 GB" as the datasheet says it, and a program never meets a unit.  Users
never build, so pint is a development dependency only.
"""

import ast
import operator
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from prophet_xr.catalogue import unstated
from prophet_xr.catalogue.config import reader
from prophet_xr.catalogue.specs import STATUSES
from prophet_xr.errors import SpecError
from prophet_xr.files import replacing
from prophet_xr.registry import LABELLED, QUANTITIES, Quantity, fields

OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def arithmetic(text: str) -> float:
    """Evaluate plain arithmetic such as ``32 * (2 * 4096 * 4096)``.

    Raises ValueError for anything else; names, calls and powers are not arithmetic here.
    """

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return number
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
        raise ValueError(f"{text!r} is not arithmetic")

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError) as problem:
        raise ValueError(f"{text!r} is not arithmetic: {problem}") from None


def parse_number(text: str, q: Quantity) -> float:
    """Read ``"141 GB"`` or ``"2 * 32 * 8 * 128"`` in the unit of ``q``."""
    try:
        return arithmetic(text)
    except ValueError:
        units = _units()
    try:
        return float(units.Quantity(text).to(q.units.replace("FLOP", "flop")).magnitude)
    except (TypeError, AttributeError, ValueError, SyntaxError) as problem:  # what pint raises
        raise SpecError(
            f"specs: {q.name}={text!r} is no quantity in {q.units}: {problem}"
        ) from None


@cache
def _units():
    """Registry of pint, with the units of the schema."""
    try:
        import pint
    except ImportError:
        raise SpecError("specs: building needs pint; install prophet_xr[dev]") from None
    units = pint.UnitRegistry()
    units.define("flop = [work] = FLOP")
    units.define("parameter = [parameter]")
    units.define("element = [element]")
    units.define("token = [token]")
    units.define("expert = [expert]")
    return units


def _load(file: Path) -> dict:
    """Content of a TOML file, or SpecError."""
    try:
        return tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise SpecError(f"specs: {file} cannot be read: {problem}") from None


def group(file: Path, label: str) -> xr.Dataset:
    """Turn one TOML file into rows of ``label``: numbers, sources, statuses and arithmetic."""
    table = _load(file)
    if file.stem == "model":
        table = {row: _counted(file.parent, row, entry) for row, entry in table.items()}
    data = xr.Dataset(
        coords={label: (label, list(table), {"long_name": QUANTITIES[label].long_name})}
    )
    known = {q.name for q in fields(label)}
    for row, entry in table.items():
        extra = {k for k, v in entry.items() if isinstance(v, dict)} - known
        if extra:
            raise SpecError(f"specs: {file}, row {row!r}: unknown fields {sorted(extra)}")
    for q in fields(label):
        cells = [_cell(entry, q, file, row) for row, entry in table.items()]
        values, sources, statuses, texts = zip(*cells, strict=True)
        about = {"ancillary_variables": f"{q.name}_source {q.name}_status"}
        data[q.name] = (label, np.array(values, float), {**q.attrs, **about})
        data[f"{q.name}_source"] = (label, np.array(sources, object), {"long_name": "Source"})
        data[f"{q.name}_status"] = (label, np.array(statuses, object), {"long_name": "Status"})
        if any(set(t) & set("+-*/") and t != s for t, s in zip(texts, sources, strict=True)):
            data[f"{q.name}_arithmetic"] = (
                label,
                np.array(texts, object),
                {"long_name": "Arithmetic"},
            )
    words = {k for entry in table.values() for k, v in entry.items() if isinstance(v, str)}
    words -= {"status"}
    for word in sorted(words):
        data[word] = (label, np.array([entry.get(word, "") for entry in table.values()], object))
    return data


def _counted(folder: Path, row: str, entry: dict) -> dict:
    """Fields counted from a model's config.json, under those that the TOML file gives itself."""
    counted = reader.read_config(folder / "configs" / f"{row}.json", entry["name"])
    status = entry.get("status", "exact")
    cells = {
        name: {**cell, "status": status} if cell["status"] == "exact" else cell
        for name, cell in unstated.entries(counted, folder / "unstated.toml").items()
    }
    words = {"stored_precision": counted.stored_precision, "config": counted.config}
    return {**words, **cells, **{k: v for k, v in entry.items() if k != "status"}}


def _cell(entry: dict, q: Quantity, file: Path, row: str) -> tuple[float, str, str, str]:
    """Number, source, status and text of one field of a row."""
    cell = entry.get(q.name)
    if not isinstance(cell, dict) or "value" not in cell or not cell.get("source"):
        raise SpecError(
            f"specs: {file}, row {row!r}: {q.name} needs a value and a source, got {cell}"
        )
    status = cell.get("status", "exact")
    if status not in STATUSES:
        raise SpecError(
            f"specs: {file}, row {row!r}: {q.name} has status {status!r}, not {STATUSES}"
        )
    text = str(cell["value"])
    return parse_number(text, q), cell["source"], status, text


def defaults(file: Path) -> xr.Dataset:
    """Turn ``defaults.toml`` into one dataset of default axis values."""
    data = xr.Dataset()
    for name, entry in _load(file).items():
        value = entry["value"]
        attrs = {**QUANTITIES[name].attrs, "source": entry["source"]}
        kind = object if name in LABELLED else None
        dims = (name,) if isinstance(value, list) else ()
        data[name] = (dims, np.array(value, kind), attrs)
    return data


def build(folder: Path, target: Path) -> None:
    """Write specs.nc from the TOML files of ``folder``; the old file stays until it is whole."""
    sources = {label: (folder / f"{label}.toml", label) for label in LABELLED}
    sources["published/model"] = (folder / "published.toml", "model")
    groups = {name: group(file, label) for name, (file, label) in sources.items()}
    groups["defaults"] = defaults(folder / "defaults.toml")
    with replacing(target) as draft:
        for name, data in groups.items():
            mode = "a" if draft.exists() else "w"
            data.to_netcdf(draft, mode=mode, group=name, engine="netcdf4")
