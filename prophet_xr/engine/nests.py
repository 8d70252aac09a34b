"""What is asked -> the loop nests that compute it, one per set of dims.

Comes in: inputs with their dims, the names of what is wanted, limits.  Goes out: nests (`Nest`) in
an order in which each reads only what earlier ones stored.

The dims of a metric are the union of those of what it reads, so a metric is computed once for each
cell on which it can differ, and xarray spreads it on demand.  Metrics of the same dims share a
nest: what they read is read once, and what only they read of each other is never stored.

>>> from prophet_xr import grid
>>> from prophet_xr.engine.limits import Limits
>>> from prophet_xr.registry import needed
>>> data = grid.inputs(model="mixtral-8x7b", gpu=["A100-80GB", "H200"], batch=[1, 4])
>>> split = nests(data, needed(["fits"]), ["fits"], dim_order(data), "float64", Limits())
>>> for nest in split[1:]:
...     print(*nest.dims, "->", *nest.stores)
batch -> unique_experts activation_memory
policy -> policy_reason predictor_memory
gpu -> memory_budget
policy batch -> static_memory
policy gpu batch -> fits
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import xarray as xr

from prophet_xr.engine.limits import Limits
from prophet_xr.registry import POLICY, QUANTITIES, Quantity, inputs_of, metrics, quantity_of

Dims = tuple[str, ...]

_DimsOf = Mapping[str, Dims]
_InputDims = tuple[tuple[str, tuple[Hashable, ...]], ...]


@dataclass(frozen=True, eq=False)
class Nest:
    """The metrics of one set of dims.

    ``row``     the last of ``dims``, collapsed into the innermost loops
    ``reads``   what comes from outside, with its dims
    ``stores``  what goes outside, with the dtype it is stored in
    ``arrays_per_loop``  at most so many arrays are written by one loop
    ``reduces``    what is accumulated instead, over the dims ``over``, which stand together;
                   ``where`` names the flag of the cells that count, ``with_positions`` asks for
                   the positions of the extremes
    ``split_dim``  an outer dim of which it runs on a part at a time: the arrays of ``uncut`` are
                   whole along it, all others hold the part alone
    ``block``      cells of a row that are evaluated at a time, if it is a long one: 0 for all
    """

    dims: Dims
    row: Dims
    metrics: tuple[Quantity, ...]
    reads: Mapping[str, Dims]
    stores: Mapping[str, str]
    arrays_per_loop: int
    reduces: tuple[str, ...] = ()
    over: Dims = ()
    where: str = ""
    with_positions: bool = False
    split_dim: str = ""
    uncut: frozenset[str] = frozenset()
    block: int = 0

    @property
    def outer(self) -> Dims:
        """Dims that the threads share out."""
        return tuple(d for d in self.dims if d not in (*self.row, POLICY))

    @property
    def index_text(self) -> str:
        """Text of the index in a row."""
        return "first + j" if self.block else "j"

    @property
    def reduces_rows(self) -> bool:
        """Whether it is reduced along its rows, not row upon row."""
        return bool(self.reduces) and not {*self.row}.isdisjoint(self.over)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the formulas, each once."""
        return tuple(dict.fromkeys(n for q in self.metrics for n in q.inputs))

    @property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that it reads or reduces, each once."""
        return tuple(dict.fromkeys([*map(quantity_of, self.arguments), *self.read_to_reduce]))

    @property
    def read_to_reduce(self) -> tuple[str, ...]:
        """What is reduced, and the flag of the cells that count."""
        return (*self.reduces, self.where) if self.where else self.reduces


def dim_order(data: xr.Dataset) -> Dims:
    """Dims of a cube in order: those that are no axis, then axes as the schema has them."""
    return _ordered(tuple(map(str, data.sizes)))


@lru_cache(256)
def _ordered(dims: Dims) -> Dims:
    extra = [d for d in dims if d not in QUANTITIES]
    return (*extra, *(n for n in QUANTITIES if n in dims))


def dims_of_quantities(data: xr.Dataset, required: frozenset[str], order: Dims) -> _DimsOf:
    """Dims of each quantity: of an input its own, of a metric the union of what it reads."""
    return _dims_of_quantities(_input_dims(data, required), required, order)


def _input_dims(data: xr.Dataset, required: frozenset[str]) -> _InputDims:
    """Name the dims of every input: with their sizes all that nests depend on."""
    variables = data.variables
    return tuple((n, variables[n].dims) for n in inputs_of(required))


@lru_cache(256)
def _dims_of_quantities(input_dims: _InputDims, required: frozenset[str], order: Dims) -> _DimsOf:
    dims_of_input = dict(input_dims)
    dims_of: dict[str, Dims] = {}
    for name, q in QUANTITIES.items():
        if name in required:
            dims = {d for n in q.reads for d in dims_of[n]} if q.formula else dims_of_input[name]
            dims_of[name] = tuple(d for d in order if d in dims)
    return dims_of


@dataclass(frozen=True)
class Reduction:
    """What a query asks of the nests: see `Nest`."""

    over: Dims
    where: str = ""
    with_positions: bool = False

    def read_for(self, name: str) -> tuple[str, ...]:
        """What has to be read to reduce one metric."""
        return (name, self.where) if self.where else (name,)


def nests(
    data: xr.Dataset,
    required: frozenset[str],
    wanted: Iterable[str],
    order: Dims,
    dtype: str,
    limits: Limits,
    reduction: Reduction | None = None,
) -> tuple[Nest, ...]:
    """Split what is required into nests, one per set of dims, in an order that can be run.

    With a reduction, what is wanted is accumulated instead of stored, on the dims that it shares
    with the flag that says which cells count.
    """
    sizes = tuple((d, data.sizes[d]) for d in order)
    input_dims = _input_dims(data, required)
    return _nests(input_dims, required, sizes, tuple(wanted), dtype, limits, reduction)


@lru_cache(256)
def _nests(
    input_dims: _InputDims,
    required: frozenset[str],
    sizes: tuple[tuple[str, int], ...],
    wanted: tuple[str, ...],
    dtype: str,
    limits: Limits,
    reduction: Reduction | None,
) -> tuple[Nest, ...]:
    order = tuple(d for d, _ in sizes)
    dims_of = _dims_of_quantities(input_dims, required, order)
    computed: dict[Dims, list[Quantity]] = {}
    for q in metrics():
        if q.name in required:
            computed.setdefault(dims_of[q.name], []).append(q)
    reduced: dict[Dims, list[str]] = {}
    if reduction:
        for name in wanted:
            read = {d for n in reduction.read_for(name) for d in dims_of[n]}
            reduced.setdefault(tuple(d for d in order if d in read), []).append(name)
    passed_on = _passed_on(computed, reduced, dims_of, reduction)
    kept = passed_on if reduction else passed_on.union(wanted)
    split: list[Nest] = []
    for dims in sorted(dict.fromkeys([*computed, *reduced]), key=len):
        group = computed.get(dims, [])
        # What another nest reads is stored as it is computed, what is only wanted as asked for.
        asked = {q.name for q in group if q.dtype == "float64" and q.name not in passed_on}
        stores = {q.name: dtype if q.name in asked else q.dtype for q in group if q.name in kept}
        nest = Nest(
            dims=dims,
            row=(),
            metrics=tuple(group),
            reads={},
            stores=stores,
            arrays_per_loop=limits.arrays_per_loop,
        )
        if reduction and dims in reduced:
            nest = _reducing(nest, reduced[dims], reduction)
        split.append(_with_row(nest, dims_of, dict(sizes), limits))
    return tuple(split)


def _passed_on(
    computed: Mapping[Dims, list[Quantity]],
    reduced: Mapping[Dims, list[str]],
    dims_of: _DimsOf,
    reduction: Reduction | None,
) -> set[str]:
    """What nests read that is on other dims than their own."""
    read = {(n, dims) for dims, group in computed.items() for q in group for n in q.reads}
    if reduction:
        read |= {
            (n, dims)
            for dims, names in reduced.items()
            for name in names
            for n in reduction.read_for(name)
        }
    return {n for n, dims in read if dims_of[n] != dims}


def _reducing(nest: Nest, names: list[str], reduction: Reduction) -> Nest:
    """Let a nest reduce metrics, over those of the dims that it has."""
    return replace(
        nest,
        reduces=tuple(names),
        over=tuple(d for d in nest.dims if d in reduction.over),
        where=reduction.where,
        with_positions=reduction.with_positions,
    )


def _with_row(nest: Nest, dims_of: _DimsOf, sizes: Mapping[str, int], limits: Limits) -> Nest:
    """Choose the innermost loops of a nest, and what it reads from outside."""
    computed = {q.name for q in nest.metrics}
    reads = {n: dims_of[n] for n in nest.quantities if n not in computed}
    row_upon_row = bool(nest.reduces) and nest.dims[-1:] != nest.over[-1:]
    cells = limits.accumulated_row_cells if row_upon_row else limits.row_cells
    inner = _not_reduced(nest.dims, nest.over) if row_upon_row else nest.dims
    row = _row(inner, sizes, cells, reads.values(), limits.row_start_cost)
    block = limits.accumulated_row_cells if nest.reduces else limits.row_cells
    long = len(row) == 1 and sizes[row[0]] > block
    return replace(nest, reads=reads, row=row, block=block if long else 0)


def _not_reduced(dims: Dims, over: Dims) -> Dims:
    """Last dims of which none is reduced."""
    reduced = [i for i, d in enumerate(dims) if d in over]
    return dims[reduced[-1] + 1 :] if reduced else dims


def _row(
    dims: Dims, sizes: Mapping[str, int], cells: int, reads: Iterable[Dims], start_cost: int
) -> Dims:
    """Last dims of a nest, at most so many cells but at least one dim; never the policy.

    Of the rows that can be chosen the cheapest: what varies over only a part of a row has to be
    spread over it, cell by cell, and a short row pays its start with few cells.
    """
    inner = dims[dims.index(POLICY) + 1 :] if POLICY in dims else dims
    if not inner:
        return ()

    def cost(row: Dims) -> float:
        spread = sum(bool({*read} & {*row}) and not {*row} <= {*read} for read in reads)
        return spread + start_cost / prod(sizes[d] for d in row)

    rows = [inner[i:] for i in range(len(inner))]
    short = (row for row in rows if prod(sizes[d] for d in row) <= cells)
    return min(short, key=cost, default=rows[-1])
