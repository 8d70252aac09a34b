"""Formulas in, the text of one loop nest out.  The only room that generates code.

Comes in: a `Nest`, which says which metrics to compute on which dims, what to read and what to
store.  Goes out: the text of a Python module for numba, as a person would write it (`source`).

Why text: numba compiles what it can see, so a loop over formulas that are called through a list
would neither be inlined nor vectorised.  The loops are laid out so that the compiler can do both.

- The outer dims are flattened into one range, which threads can share at any place.
- The policies of a row come one after the other, the baseline first: what it computes is still in
  the cache when a ratio to it is taken.
- Inside is one contiguous loop per few metrics: a loop with many outputs does not vectorise.
- What varies over only a part of a row is spread over the row first, by loops of its own.
- A nest of a reduction stores nothing: it adds each row to accumulators.

>>> def room(memory, batch, kv_memory):
...     return memory - batch * kv_memory
>>> nest = Nest(
...     dims=("gpu", "batch"),
...     row=("batch",),
...     metrics=(Quantity("room", "B", "Room", formula=room),),
...     reads={"memory": ("gpu",), "batch": ("batch",), "kv_memory": ("gpu", "batch")},
...     stores={"room": "float64"},
...     arrays_per_loop=4,
... )
>>> print(source(nest).partition("import njit")[2].strip())
@njit(error_model="numpy", inline="always")
def f_room(memory, batch, kv_memory):
    return memory - batch * kv_memory
@njit(error_model="numpy", cache=True, nogil=True)
def fill(begin, end, n_d0, n_d1, in_memory, in_batch, in_kv_memory, out_room):
    n_row = n_d1
    for row in range(begin, end):
        rest = row
        rest, i_d0 = divmod(rest, n_d0)
        memory = in_memory[i_d0]
        for j in range(n_row):
            v_room = (f_room(memory, in_batch[j], in_kv_memory[i_d0, j]))
            out_room[i_d0, j] = v_room

A thread fills the rows from ``begin`` to ``end``; there is one row for each GPU (``d0``: names of
dims are the user's and never become text).  `docs/architecture.md` explains a larger example.
"""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, lru_cache

from prophet_xr.engine import accumulate
from prophet_xr.engine.nests import Dims, Nest
from prophet_xr.registry import (
    BASELINE,
    MODULES,
    POLICY,
    Quantity,
    carried,
    is_baseline,
    quantity_of,
)

HEADER = "".join(
    [
        *(f"import {m}\n" if m == n else f"import {m} as {n}\n" for n, m in MODULES.items()),
        "from numba import njit\n",
    ]
)
# Formulas are inlined before typing and arrays indexed in place, without views: both halve the
# time to compile, and the loops are the same.
PLAIN = '@njit(error_model="numpy", inline="always")'
CACHED = '@njit(error_model="numpy", cache=True, nogil=True)'
_COMPILED = '@njit(error_model="numpy", nogil=True)'
FOLDING = (
    accumulate.clear,
    accumulate.add_row,
    accumulate.keep_extremes,
    accumulate.keep_extremes_and_positions,
    accumulate.collapse,
)


@cache
def function(formula: Callable, name: str, how: str = PLAIN) -> str:
    """Text of a formula without decorators and docstring, after the helpers it needs."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(formula))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    parts: list[str] = []
    for global_name, value in carried(formula).items():
        if not inspect.isfunction(value):
            parts.append(f"{global_name} = {_literal(value)}")
        elif value not in FOLDING:
            parts.append(function(value, global_name))
    tree.name, tree.decorator_list = name, []
    if ast.get_docstring(tree):
        tree.body = tree.body[1:]
    return "\n".join([*parts, how, ast.unparse(tree)])


def _literal(number: float) -> str:
    """Text of a constant."""
    if math.isfinite(number):
        return repr(number)
    return "math.nan" if math.isnan(number) else f"{'-' if number < 0 else ''}math.inf"


def _loop(index: str, count: str, body: Iterable[str]) -> list[str]:
    return [f"for {index} in range({count}):", *("    " + line for line in body)]


def _flat(dims: Dims) -> str:
    """Text of the C-order position in ``dims``."""
    text = f"i_{dims[0]}"
    for d in dims[1:]:
        text = f"({text}) * n_{d} + i_{d}"
    return text


def _outer_index(nest: Nest, name: str, dims: Dims, *, baseline: bool = False) -> list[str]:
    """Text of the index of an array in the dims outside the row."""
    index = {d: f"i_{d}" for d in dims if d not in nest.row}
    if baseline and POLICY in index:
        index[POLICY] = "0"
    if nest.split_dim in index and name in nest.uncut:
        index[nest.split_dim] = f"uncut_{nest.split_dim}"
    return list(index.values())


def _fetch(nest: Nest, argument: str) -> tuple[str, list[str], list[str]]:
    """How one cell of ``argument`` is written, its scratch and the lines that bring it in."""
    name = quantity_of(argument)
    dims = nest.reads[name]
    outer = _outer_index(nest, name, dims, baseline=is_baseline(argument))
    inner = tuple(d for d in nest.row if d in dims)
    array = f"in_{name}"
    if not inner:
        return argument, [], [f"{argument} = {array}[{', '.join(outer) or '()'}]"]
    if inner == nest.row:
        return f"{array}[{', '.join([*outer, nest.index_text])}]", [], []
    lines = [f"{argument}[{_flat(nest.row)}] = {array}[{', '.join([*outer, _flat(inner)])}]"]
    for d in reversed(nest.row):
        lines = _loop(f"i_{d}", f"n_{d}", lines)
    return f"{argument}[j]", [f"{argument} = np.empty(n_row, {array}.dtype)"], lines


def _simple(formula: Callable) -> bool:
    """Tell whether a formula is only arithmetic and comparisons, which vectorise; helpers too."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(formula))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    nodes = list(ast.walk(ast.Module(tree.body, [])))
    calls = {getattr(n.func, "id", "") for n in nodes if isinstance(n, ast.Call)}
    helpers = [formula.__globals__.get(name) for name in calls - {"min", "max", "abs"}]
    plain = all(inspect.isfunction(helper) and _simple(helper) for helper in helpers)
    return plain and not any(isinstance(n, ast.Pow | ast.While | ast.For) for n in nodes)


def _bodies(nest: Nest) -> list[list[Quantity]]:
    """Metrics that share a loop: what one computes the next reads without memory in between.

    A loop that writes many arrays does not vectorise, nor does one that calls a function.
    """
    bodies: list[list[Quantity]] = []
    last = ""
    for q in nest.metrics:
        assert q.formula is not None
        kind = "simple" if _simple(q.formula) else q.name
        written = sum(b.name in nest.stores for b in bodies[-1]) if bodies else 0
        if kind != last or written >= nest.arrays_per_loop:
            bodies.append([])
        bodies[-1].append(q)
        last = kind
    return bodies


def _compute(nest: Nest, body: list[Quantity], cell: dict[str, str]) -> tuple[list[str], list[str]]:
    """Scratch and lines of the loop that evaluates metrics over a row; ``cell`` learns of them."""
    rest = [n for q in nest.metrics if q not in body for n in q.inputs]
    local, scratch, lines = dict(cell), [], []
    for q in body:
        value = local[q.name] = f"v_{q.name}"
        kind = {"int64": "np.int64", "bool": "bool"}.get(q.dtype, "")
        lines.append(f"{value} = {kind}(f_{q.name}({', '.join(local[n] for n in q.inputs)}))")
        index = [*_outer_index(nest, q.name, nest.dims), nest.index_text]
        out = f"out_{q.name}[{', '.join(index)}]"
        if q.name in nest.stores:
            lines.append(f"{out} = {value}")
        base = f"{BASELINE}_{q.name}"
        if base in nest.arguments and POLICY in nest.dims:
            local[base], cell[base] = f"v_{base}", f"{base}[j]"
            scratch.append(f"{base} = np.empty(n_row, np.dtype('{q.dtype}'))")
            lines += [f"v_{base} = {value} if i_{POLICY} == 0 else {base}[j]"]
            lines += [f"{base}[j] = v_{base}"]
        elif base in nest.arguments:
            local[base] = value
        if not {q.name, base}.isdisjoint([*rest, *nest.read_to_reduce]):
            if nest.stores.get(q.name) == q.dtype:
                cell[q.name] = out
            else:
                cell[q.name] = f"{q.name}[j]"
                scratch.append(f"{q.name} = np.empty(n_row, np.dtype('{q.dtype}'))")
                lines.append(f"{q.name}[j] = {value}")
            cell.setdefault(base, cell[q.name])
    return scratch, _loop("j", "n_row", lines)


def _numbered(nest: Nest) -> Nest:
    """Number the dims of a nest: their names are the user's, and never become part of a text."""
    short = {d: d if d == POLICY else f"d{i}" for i, d in enumerate(nest.dims)} | {"": ""}

    def of(dims: Dims) -> Dims:
        return tuple(short[d] for d in dims)

    reads = {n: of(dims) for n, dims in nest.reads.items()}
    return replace(
        nest,
        dims=of(nest.dims),
        row=of(nest.row),
        reads=reads,
        over=of(nest.over),
        split_dim=short[nest.split_dim],
    )


@lru_cache(1024)
def source(nest: Nest) -> str:
    """Text of the module of a nest: the formulas, then ``fill``, the loops over all arrays."""
    nest = _numbered(nest)
    cell, scratch, before, body = _row(nest)
    if nest.reduces:
        accumulators, lines = _accumulate(nest, cell)
        scratch, body = scratch + accumulators, body + lines
    if POLICY in nest.dims:
        body = _loop(f"i_{POLICY}", f"n_{POLICY}", body)
    body = before + body
    if nest.block and (nest.reduces_rows or not nest.reduces):
        body = _loop("block", "n_blocks", [*_block_range(nest), *body])
    head, loops = (_reduced if nest.reduces else _shared)(nest, body)
    count = " * ".join(f"n_{d}" for d in nest.row) or "1"
    arguments = [*head, *(f"n_{d}" for d in nest.dims)]
    arguments += ["start"] if nest.split_dim else []
    arguments += [f"in_{n}" for n in nest.reads] + [f"out_{n}" for n in nest.stores]
    arguments += [f"{kind}_{n}" for n in nest.reduces for kind in ("numbers", "positions")]
    formulas = [function(q.formula, f"f_{q.name}") for q in nest.metrics if q.formula]
    helpers = [function(f, f.__name__, _COMPILED) for f in FOLDING if nest.reduces]
    fill = f"{CACHED}\ndef fill({', '.join(arguments)}):"
    sizes = [f"n_row = {count}"]
    if nest.block:
        sizes = [f"n_row = n_row_most = {nest.block}", f"n_blocks = -(-{count} // n_row_most)"]
    text = "\n".join([*sizes, *scratch, *loops])
    return "\n".join([HEADER, *formulas, *helpers, fill, textwrap.indent(text, "    "), ""])


def _row(nest: Nest) -> tuple[dict[str, str], list[str], list[str], list[str]]:
    """How each name is written in a row, its scratch, and the loops that compute it.

    The loops come in two: what is the same for every policy, and the rest.
    """
    cell: dict[str, str] = {}
    scratch: list[str] = []
    before: list[str] = []
    body: list[str] = []
    for argument in dict.fromkeys([*nest.arguments, *nest.read_to_reduce]):
        if quantity_of(argument) in nest.reads:
            cell[argument], spread, lines = _fetch(nest, argument)
            scratch += spread
            alike = is_baseline(argument) or POLICY not in nest.reads[quantity_of(argument)]
            (before if alike else body).extend(lines)
    for together in _bodies(nest):
        kept, lines = _compute(nest, together, cell)
        scratch += kept
        body += lines
    return cell, scratch, before, body


def _block_range(nest: Nest) -> list[str]:
    """Lines for where a block of a row begins, and how many cells it has."""
    return ["first = block * n_row_most", f"n_row = min(n_row_most, n_{nest.row[0]} - first)"]


def _split(flat: str, dims: Dims) -> list[str]:
    return [f"rest = {flat}", *(f"rest, i_{d} = divmod(rest, n_{d})" for d in reversed(dims))]


def _shared(nest: Nest, body: list[str]) -> tuple[list[str], list[str]]:
    """Head and loops of a nest whose rows are shared out in one range."""
    dim = nest.split_dim
    uncut = [f"uncut_{dim} = start + i_{dim}"] if dim else []
    rows = [*_split("row", nest.outer), *uncut, *body]
    return ["begin", "end"], _loop("row", "begin, end", rows)


def _accumulate(nest: Nest, cell: dict[str, str]) -> tuple[list[str], list[str]]:
    """Scratch and lines that add a row of every reduced metric to its accumulator."""
    policy = f"i_{POLICY}" if POLICY in nest.dims else "0"
    policies = f"n_{POLICY}" if POLICY in nest.dims else "1"
    scratch = ["counted = np.empty(n_row)"]
    number = "row * n_blocks + block" if nest.block and nest.reduces_rows else "row"
    part = "[:n_row]" if nest.block else ""
    lines: list[str] = []
    for name in nest.reduces:
        numbers, positions = f"numbers_of_{name}[{policy}]", f"positions_of_{name}[{policy}]"
        scratch += [
            f"numbers_of_{name} = np.empty(({policies}, 3, n_row))",
            f"positions_of_{name} = np.empty(({policies}, 3, n_row), np.int64)",
        ]
        value = f"{cell[name]} if {cell[nest.where]} else math.nan" if nest.where else cell[name]
        row = f"{name}{part}"
        if value != f"{name}[j]":
            row = f"counted{part}"
            lines += _loop("j", "n_row", [f"counted[j] = {value}"])
        lines.append(f"add_row({row}, {numbers}, {positions})")
        if nest.with_positions:
            lines.append(f"keep_extremes_and_positions({row}, {numbers}, {positions}, {number})")
        else:
            lines.append(f"keep_extremes({row}, {numbers})")
    return scratch, lines


def _reduced(nest: Nest, body: list[str]) -> tuple[list[str], list[str]]:
    """Head and loops of a nest that reduces: for each kept cell, over all that become it.

    Row upon row, each block of a long row counts as a kept cell.
    """
    kept = tuple(d for d in nest.outer if d not in nest.over)
    over = tuple(d for d in nest.outer if d in nest.over)
    width = " * ".join(f"n_{d}" for d in nest.row if d in nest.over) or "1"
    index, place = _split("kept", kept), "part, kept, p"
    if nest.block and nest.reduces_rows:
        width = "n_row_most"
    elif nest.block:
        index = ["cell, block = divmod(kept, n_blocks)", *_block_range(nest), *_split("cell", kept)]
        place = "part, cell, p, :, first : first + n_row"
    rows = _loop("row", "begin, end", [*_split("row", over), *body])
    accumulators = {n: f"numbers_of_{n}[p], positions_of_{n}[p]" for n in nest.reduces}
    start = [f"clear({both})" for both in accumulators.values()]
    end = [
        f"collapse({both}, numbers_{n}[{place}], positions_{n}[{place}], {width})"
        for n, both in accumulators.items()
    ]
    policies = f"n_{POLICY}" if POLICY in nest.dims else "1"
    one = [*index, *_loop("p", policies, start), *rows, *_loop("p", policies, end)]
    return ["first_kept", "last_kept", "begin", "end", "part"], _loop(
        "kept", "first_kept, last_kept", one
    )
