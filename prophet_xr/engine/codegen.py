"""Formulas in, the text of one loop nest out.  The only room that generates code.

A nest covers every metric of one set of dims.  Its text is what a person would write: outer dims
flattened into one range that threads can share, the policies of a row together with the baseline
first, and inside one contiguous loop per metric, because a loop with many outputs does not
vectorise.  A nest that folds stores nothing: it adds each row to accumulators.
"""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from prophet_xr.engine import accumulate
from prophet_xr.registry import BASELINE, MODULES, POLICY, Quantity, carried, is_baseline, of

Dims = tuple[str, ...]

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
COMPILED = '@njit(error_model="numpy", nogil=True)'
FOLDING = (
    accumulate.empty,
    accumulate.add,
    accumulate.ends,
    accumulate.places_of_ends,
    accumulate.settle,
)
TOGETHER = 4  # arrays that one loop writes


@dataclass(frozen=True, eq=False)
class Nest:
    """The metrics of one set of dims.

    ``row``     the last of ``dims``, collapsed into the innermost loops
    ``reads``   what comes from outside, with its dims
    ``stores``  what goes outside, with the dtype it is stored in
    ``folds``   what is accumulated instead, over the dims ``over``, which stand together;
                ``where`` names the flag of the cells that count, ``placed`` asks for the places
                of the extremes
    ``part``    an outer dim of which it runs on a part at a time: the arrays of ``whole`` are not
                cut along it, all others hold the part alone
    ``block``   cells of a row that are evaluated at a time, if it is a long one: 0 for all
    """

    dims: Dims
    row: Dims
    metrics: tuple[Quantity, ...]
    reads: Mapping[str, Dims]
    stores: Mapping[str, str]
    folds: tuple[str, ...] = ()
    over: Dims = ()
    where: str = ""
    placed: bool = False
    part: str = ""
    whole: frozenset[str] = frozenset()
    block: int = 0

    @property
    def outer(self) -> Dims:
        """Dims that the threads share out."""
        return tuple(d for d in self.dims if d not in (*self.row, POLICY))

    @property
    def at(self) -> str:
        """Text of the place in a row."""
        return "first + j" if self.block else "j"

    @property
    def along(self) -> bool:
        """Whether it is folded along its rows, not row upon row."""
        return bool(self.folds) and not {*self.row}.isdisjoint(self.over)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the formulas, each once."""
        return tuple(dict.fromkeys(n for q in self.metrics for n in q.inputs))

    @property
    def named(self) -> tuple[str, ...]:
        """Quantities that it reads or folds, each once."""
        return tuple(dict.fromkeys([*map(of, self.arguments), *self.outcomes]))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What is folded, and the flag of the cells that count."""
        return (*self.folds, self.where) if self.where else self.folds


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
    at = {d: f"i_{d}" for d in dims if d not in nest.row}
    if baseline and POLICY in at:
        at[POLICY] = "0"
    if nest.part in at and name in nest.whole:
        at[nest.part] = f"w_{nest.part}"
    return list(at.values())


def _fetch(nest: Nest, argument: str) -> tuple[str, list[str], list[str]]:
    """How one cell of ``argument`` is written, its scratch and the lines that bring it in."""
    name = of(argument)
    dims = nest.reads[name]
    outer = _outer_index(nest, name, dims, baseline=is_baseline(argument))
    inner = tuple(d for d in nest.row if d in dims)
    array = f"in_{name}"
    if not inner:
        return argument, [], [f"{argument} = {array}[{', '.join(outer) or '()'}]"]
    if inner == nest.row:
        return f"{array}[{', '.join([*outer, nest.at])}]", [], []
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
        if kind != last or sum(b.name in nest.stores for b in bodies[-1]) >= TOGETHER:
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
        out = f"out_{q.name}[{', '.join([*_outer_index(nest, q.name, nest.dims), nest.at])}]"
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
        if not {q.name, base}.isdisjoint([*rest, *nest.outcomes]):
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
    over, part = of(nest.over), short[nest.part]
    return replace(nest, dims=of(nest.dims), row=of(nest.row), reads=reads, over=over, part=part)


@lru_cache(1024)
def source(nest: Nest) -> str:
    """Text of the module of a nest: the formulas, then ``fill``, the loops over all arrays."""
    nest = _numbered(nest)
    cell, scratch, before, body = _row(nest)
    if nest.folds:
        own, lines = _accumulate(nest, cell)
        scratch, body = scratch + own, body + lines
    if POLICY in nest.dims:
        body = _loop(f"i_{POLICY}", f"n_{POLICY}", body)
    body = before + body
    if nest.block and (nest.along or not nest.folds):
        body = _loop("block", "n_blocks", [*_ends(nest), *body])
    head, loops = _folded(nest, body) if nest.folds else _shared(nest, body)
    count = " * ".join(f"n_{d}" for d in nest.row) or "1"
    arguments = [*head, *(f"n_{d}" for d in nest.dims)]
    arguments += ["start"] if nest.part else []
    arguments += [f"in_{n}" for n in nest.reads] + [f"out_{n}" for n in nest.stores]
    arguments += [f"{kind}_{n}" for n in nest.folds for kind in ("numbers", "places")]
    formulas = [function(q.formula, f"f_{q.name}") for q in nest.metrics if q.formula]
    helpers = [function(f, f.__name__, COMPILED) for f in FOLDING if nest.folds]
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
    for argument in dict.fromkeys([*nest.arguments, *nest.outcomes]):
        if of(argument) in nest.reads:
            cell[argument], own, lines = _fetch(nest, argument)
            scratch += own
            alike = is_baseline(argument) or POLICY not in nest.reads[of(argument)]
            (before if alike else body).extend(lines)
    for together in _bodies(nest):
        own, lines = _compute(nest, together, cell)
        scratch += own
        body += lines
    return cell, scratch, before, body


def _ends(nest: Nest) -> list[str]:
    """Lines for where a block of a row begins, and how many cells it has."""
    return ["first = block * n_row_most", f"n_row = min(n_row_most, n_{nest.row[0]} - first)"]


def _split(flat: str, dims: Dims) -> list[str]:
    return [f"rest = {flat}", *(f"rest, i_{d} = divmod(rest, n_{d})" for d in reversed(dims))]


def _shared(nest: Nest, body: list[str]) -> tuple[list[str], list[str]]:
    """Head and loops of a nest whose rows are shared out in one range."""
    whole = [f"w_{nest.part} = start + i_{nest.part}"] if nest.part else []
    rows = [*_split("row", nest.outer), *whole, *body]
    return ["begin", "end"], _loop("row", "begin, end", rows)


def _accumulate(nest: Nest, cell: dict[str, str]) -> tuple[list[str], list[str]]:
    """Scratch and lines that add a row of every folded metric to its accumulator."""
    at = f"i_{POLICY}" if POLICY in nest.dims else "0"
    policies = f"n_{POLICY}" if POLICY in nest.dims else "1"
    scratch = ["folded = np.empty(n_row)"]
    here = "row * n_blocks + block" if nest.block and nest.along else "row"
    part = "[:n_row]" if nest.block else ""
    lines: list[str] = []
    for name in nest.folds:
        own = f"acc_{name}[{at}], at_{name}[{at}]"
        scratch += [
            f"acc_{name} = np.empty(({policies}, 3, n_row))",
            f"at_{name} = np.empty(({policies}, 3, n_row), np.int64)",
        ]
        value = f"{cell[name]} if {cell[nest.where]} else math.nan" if nest.where else cell[name]
        row = name if value == f"{name}[j]" else "folded"
        if row == "folded":
            lines += _loop("j", "n_row", [f"folded[j] = {value}"])
        ends = f"ends({row}{part}, acc_{name}[{at}])"
        if nest.placed:
            ends = f"places_of_ends({row}{part}, {own}, {here})"
        lines += [f"add({row}{part}, {own})", ends]
    return scratch, lines


def _folded(nest: Nest, body: list[str]) -> tuple[list[str], list[str]]:
    """Head and loops of a nest that folds: for each kept cell, over all that is folded into it.

    Row upon row, each block of a long row counts as a kept cell.
    """
    kept = tuple(d for d in nest.outer if d not in nest.over)
    over = tuple(d for d in nest.outer if d in nest.over)
    width = " * ".join(f"n_{d}" for d in nest.row if d in nest.over) or "1"
    index, place = _split("kept", kept), "part, kept, p"
    if nest.block and nest.along:
        width = "n_row_most"
    elif nest.block:
        index = ["cell, block = divmod(kept, n_blocks)", *_ends(nest), *_split("cell", kept)]
        place = "part, cell, p, :, first : first + n_row"
    rows = _loop("row", "begin, end", [*_split("row", over), *body])
    settle = [
        f"settle(acc_{n}[p], at_{n}[p], numbers_{n}[{place}], places_{n}[{place}], {width})"
        for n in nest.folds
    ]
    start = [f"empty(acc_{n}[p], at_{n}[p])" for n in nest.folds]
    policies = f"n_{POLICY}" if POLICY in nest.dims else "1"
    one = [*index, *_loop("p", policies, start), *rows, *_loop("p", policies, settle)]
    return ["first_kept", "last_kept", "begin", "end", "part"], _loop(
        "kept", "first_kept, last_kept", one
    )
