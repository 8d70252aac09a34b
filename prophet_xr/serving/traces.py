"""Traces: a load from a user's file, in one of three formats.

In comes the path of a file; out goes a load whose arrivals are counted from the first request.

- azure: CSV with TIMESTAMP (ISO date and time), ContextTokens, GeneratedTokens
- mooncake: a JSON object a line with timestamp (ms), input_length, output_length; what prompts
  share (hash_ids) is ignored
- generic: CSV with arrival (s), prompt, output and, if wanted, priority

Columns stand in any order and others are ignored.  A file is not trusted: it is read line by line,
of bounded length and number, and the first line that is no request is named in the error.  So no
file takes more memory than its requests do, and a mistake is found where it was made.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError, nearest
from prophet_xr.serving.loads import LARGEST_TOKENS, LATEST, MOST, load

LINE = 2**16  # bytes; the longest line of the Mooncake trace has 2 kB
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
Line = tuple[int, str]  # its number from 1, and its text
LineReader = Callable[[str], list]  # text of a line -> its values, in order of the names asked for


class Format(NamedTuple):
    """How a kind of file names time, prompt and output, and reads its time.

    ``seconds`` turns the name of the time and its value into seconds; ``optional`` are columns that
    a file may have; ``origin`` is where such files come from.
    """

    columns: tuple[str, ...]
    seconds: Callable[[str, object], float]
    origin: str
    optional: tuple[str, ...] = ()
    json: bool = False


def trace(path: str | Path, format: str | None = None) -> xr.Dataset:
    """Read a load from a file of requests.

    Parameters
    ----------
    path
        A plain file in UTF-8.
    format
        azure, mooncake or generic; recognized from the first line by default.

    Returns
    -------
    xr.Dataset
        ``arrival`` [s] from 0, ``prompt``, ``output`` [token] and, where the file has it,
        ``priority``, on ``request``.

    Raises
    ------
    InputError
        For a file that is missing, empty or of no known format, and for the first line whose
        numbers are no times in order or no tokens, naming file and line.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"trace {file} is no file; expected one of {_format_list()}")
    with file.open("rb") as source:
        lines = _numbered_lines(source, f"trace {file}")
        first = next(lines, None)
        if first is None:
            raise InputError(f"trace {file} is empty; expected one of {_format_list()}")
        name = _format_of(first[1], file) if format is None else format
        if name not in FORMATS:
            raise InputError(f"format {name!r} is unknown; {nearest(name, FORMATS)}")
        times, *counts = _read_columns(FORMATS[name], first, lines, f"trace {file}")
    if not times:
        raise InputError(f"trace {file} holds a header only; expected requests below it")
    origin = f", in the format {FORMATS[name].origin}" if FORMATS[name].origin else ""
    attrs = {"source": f"trace {file.name}{origin}", "file": file.name, "format": name}
    return load(np.array(times) - times[0], *counts, **attrs)


def _numbered_lines(source: IO[bytes], where: str) -> Iterator[Line]:
    """Lines that hold something, with their numbers; of bounded length and number."""
    for number in range(1, MOST + 2):
        raw = source.readline(LINE + 1)
        if not raw:
            return
        if len(raw) > LINE:
            raise InputError(f"{where}, line {number}: over {LINE:,} bytes; expected a request")
        try:
            text = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise InputError(f"{where}, line {number}: is no text in UTF-8") from None
        if text:
            yield number, text
    raise InputError(f"{where} has over {MOST:,} lines; expected a request a line, so many at most")


def _format_of(first: str, file: Path) -> str:
    """The format whose columns the first line names."""
    for name, form in FORMATS.items():
        cells = set(_cells(first))
        if first.startswith("{") if form.json else cells.issuperset(form.columns):
            return name
    raise InputError(f"trace {file} starts with {_short(first)}; expected one of {_format_list()}")


def _read_columns(form: Format, first: Line, lines: Iterable[Line], where: str) -> list[array]:
    """Times, prompts, outputs and, if the file has them, priorities."""
    number, text = first
    try:
        names, read_line = _json_reader(form) if form.json else _csv_reader(form, text)
        times, columns = array("d"), [array("q") for _ in names[1:]]
        for number, text in chain([first] if form.json else [], lines):  # noqa: B007 (see below)
            time, *counts = read_line(text)
            times.append(_in_order(form.seconds(names[0], time), times, names[0]))
            for column, name, value in zip(columns, names[1:], counts, strict=True):
                column.append(_whole_number(name, value))
    except InputError:  # of reading, which names its line
        raise
    except ValueError as problem:
        raise InputError(f"{where}, line {number}: {problem}") from None
    return [times, *columns]


def _csv_reader(form: Format, header: str) -> tuple[tuple[str, ...], LineReader]:
    """Names of the columns, and a reader of their values in a line of CSV."""
    titles = _cells(header)
    names = form.columns + tuple(name for name in form.optional if name in titles)
    for name in names:
        if name not in titles:
            raise ValueError(f"has no column {name!r}: {_short(header)}")
    positions = [titles.index(name) for name in names]

    def read_line(line: str) -> list:
        cells = _cells(line)
        if len(cells) != len(titles):
            raise ValueError(f"has {len(cells)} columns; expected {len(titles)}")
        return [cells[position] for position in positions]

    return names, read_line


def _json_reader(form: Format) -> tuple[tuple[str, ...], LineReader]:
    """Names of the keys, and a reader of their values in a line of JSON."""

    def read_line(line: str) -> list:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"is no JSON: {_short(line)}") from None
        if not isinstance(entry, dict) or not entry.keys() >= set(form.columns):
            raise ValueError(f"{_short(line)}; expected an object with {', '.join(form.columns)}")
        return [entry[name] for name in form.columns]

    return form.columns, read_line


def _cells(line: str) -> list[str]:
    """The values of a line of CSV, without blanks and quotes around them."""
    return [cell.strip(' \t"') for cell in line.split(",")]


def _in_order(seconds: float, times: array, name: str) -> float:
    """The time itself, if it is not before the last one, nor decades after the first."""
    if times and seconds < times[-1]:
        raise ValueError(f"{name} is {times[-1] - seconds:g} s before the last; expected sorted")
    if times and seconds - times[0] > LATEST:
        raise ValueError(f"{name} is over {LATEST:g} s after the first")
    return seconds


def _whole_number(name: str, value: object) -> int:
    """Tokens, or a priority: a whole number written as one."""
    text = str(value) if type(value) in (int, str) else ""
    low = -LARGEST_TOKENS if name == "priority" else 1
    digits = text.removeprefix("-")
    if digits.isdecimal() and digits.isascii() and len(digits) <= 10:
        number = int(text)
        if low <= number <= LARGEST_TOKENS:
            return number
    raise ValueError(
        f"{name}={_short(value)}; expected a whole number, {low:,} to {LARGEST_TOKENS:,}"
    )


def _seconds_of_date(name: str, value: object) -> float:
    """Seconds of a date and time since `EPOCH`; without a zone it is taken as UTC."""
    try:
        date = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{name}={_short(value)}; expected a date and time") from None
    return (date.replace(tzinfo=date.tzinfo or UTC) - EPOCH).total_seconds()


def _seconds(name: str, value: object) -> float:
    """A number of seconds, finite and not negative."""
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else np.nan
    except (ValueError, OverflowError):
        seconds = np.nan
    if isinstance(value, bool) or not isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name}={_short(value)}; expected a time from 0")
    return seconds


def _milliseconds(name: str, value: object) -> float:
    """A number of milliseconds as seconds."""
    return _seconds(name, value) / 1e3


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _format_list() -> str:
    """The formats and their columns, for error messages."""
    return "; ".join(f"{kind} ({', '.join(form.columns)})" for kind, form in FORMATS.items())


AZURE = "of the Azure LLM inference traces (github.com/Azure/AzurePublicDataset)"
MOONCAKE = "of the Mooncake traces (github.com/kvcache-ai/Mooncake)"
FORMATS = {
    "azure": Format(("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _seconds_of_date, AZURE),
    "mooncake": Format(
        ("timestamp", "input_length", "output_length"), _milliseconds, MOONCAKE, json=True
    ),
    "generic": Format(("arrival", "prompt", "output"), _seconds, "", ("priority",)),
}
