"""One cube that is written slab by slab: its metrics, dims and slabs, and its digest.

Comes in: the inputs, the metrics asked for, and the bytes that a slab may take in memory.  Goes
out: a `CubeOnDisk`, which says which slabs there are, which metrics are written with a slab, and
where in the cube.  It writes nothing itself; `to_disk` does.
Why so: a run that goes on where another was stopped must come to the same slabs.  All that they
depend on is in the digest, so two runs of one digest may write into one store.  `extend` compares
less: the formulas, and the inputs of the cells that both cubes have.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from prophet_xr.checks import unique
from prophet_xr.engine import codegen
from prophet_xr.engine.nests import Dims, dim_order
from prophet_xr.engine.output_arrays import real_dtype
from prophet_xr.engine.partition import slices
from prophet_xr.errors import InputError
from prophet_xr.registry import POLICY, QUANTITIES, required
from prophet_xr.streaming.checkpoint import part_folder
from prophet_xr.streaming.slabs import Slab, SlabPlan, planned

DIGEST, FORMULAS_DIGEST = "sweep_digest", "formulas_digest"  # attributes of a cube


@dataclass(frozen=True)
class CubeOnDisk:
    """A cube to be written: what it is made of, its slabs, and where they are until it is whole.

    ``plan``          how its slabs are computed
    ``metrics``       those to be written, in the order of the formulas, with their ``dims``
    ``slab_lengths``  length of a slab along each dim, which is that of a chunk too
    ``digest``        hash of all that its numbers and its chunks depend on
    """

    data: xr.Dataset
    plan: SlabPlan
    metrics: list[str]
    dims: Mapping[str, Dims]
    slab_lengths: Mapping[str, int]
    target: Path
    dtype: str
    compression: int | None
    formulas_digest: str
    digest: str

    @property
    def folder(self) -> Path:
        """Where the finished slabs are until the cube is whole."""
        return part_folder(self.target)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dim of the cube."""
        return {**self.plan.sizes, POLICY: self.plan.asked.size}

    def shape(self, metric: str) -> tuple[int, ...]:
        """Length of a metric along each of its dims."""
        return tuple(self.sizes[d] for d in self.dims[metric])

    def slabs(self) -> list[Slab]:
        """Every slab, in order; its number is its place in this list."""
        sizes = self.plan.sizes
        parts = product(*(slices(n, self.slab_lengths[d]) for d, n in sizes.items()))
        return [dict(zip(sizes, part, strict=True)) for part in parts]

    def written_with(self, slab: Slab) -> list[str]:
        """Metrics to write with a slab: each once, with the first slab along dims it lacks."""
        return [
            metric
            for metric in self.metrics
            if not any(slab[d].start for d in slab if d not in self.dims[metric])
        ]

    def region(self, metric: str, slab: Slab) -> tuple[slice, ...]:
        """Where a slab of a metric is in the cube."""
        return tuple(slice(None) if d == POLICY else slab[d] for d in self.dims[metric])


def plan_cube(
    data: xr.Dataset,
    target: Path,
    metrics: list[str],
    dtype: str,
    compression: int | None,
) -> CubeOnDisk:
    """Plan a cube, in slabs of the size that is written at once."""
    data, dtype = data.compute() if data.chunks else data, real_dtype(dtype)
    plan = planned(data, metrics, dtype=dtype)
    has_policies = data[POLICY].ndim > 0
    order = [d for d in dim_order(plan.full) if d != POLICY or has_policies]
    formulas_digest = _formulas_digest(metrics)
    return CubeOnDisk(
        data=data,
        plan=plan,
        metrics=[name for name in QUANTITIES if name in metrics],
        dims={name: tuple(d for d in order if d in plan.dims[name]) for name in metrics},
        slab_lengths=plan.slab_lengths((), (), plan.limits.disk_slab_memory),
        target=target,
        dtype=dtype,
        compression=compression,
        formulas_digest=formulas_digest,
        digest=_digest(data, formulas_digest, sorted(metrics), dtype, compression),
    )


def _formulas_digest(metrics: list[str]) -> str:
    """Hash of the text of every formula that metrics depend on."""
    names = required(metrics)
    texts = [
        codegen.function(q.formula, q.name)
        for q in QUANTITIES.values()
        if q.formula and q.name in names
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def _digest(data: xr.Dataset, *rest: object) -> str:
    """Hash of everything that the numbers of a cube depend on."""
    text = hashlib.sha256(repr(rest).encode())
    for name in sorted(map(str, data.variables)):
        variable = data.variables[name]
        text.update(f"{name} {variable.dims} {variable.values.tolist()!r}".encode())
    return text.hexdigest()[:32]


# --- Two cubes ---------------------------------------------------------------------------------


def stored_labels(data: xr.Dataset, dim: str) -> list:
    """Labels of a dim; times in one unit, as a file may hold them in another."""
    values = data[dim].values
    return values.astype("M8[us]").tolist() if values.dtype.kind == "M" else values.tolist()


def check_extends(cube: CubeOnDisk, old: xr.Dataset) -> None:
    """Raise InputError if the cells of an old cube are not cells of the new one."""
    target = cube.target
    if FORMULAS_DIGEST not in old.attrs:
        raise InputError(f"{target} is no cube of px.sweep_to, which alone can be extended")
    if old.attrs[FORMULAS_DIGEST] != cube.formulas_digest:
        raise InputError(f"{target} was made by other formulas; expected to sweep it anew")
    _check_labels(cube, old)
    for metric in cube.metrics:
        if set(old[metric].dims) != set(cube.dims[metric]):
            raise InputError(
                f"{metric} of {target} has dims {old[metric].dims}; expected {cube.dims[metric]}"
            )
    for name in (n for n in cube.plan.arrays if n in old.variables):
        before, now = old[name], cube.data[name]
        now = now.sel({d: old[d].values for d in before.dims if d in now.dims})
        if now.dims != before.dims or not np.array_equal(now.values, before.values):
            raise InputError(f"{name} differs from that of {target}; expected the same input")


def _check_labels(cube: CubeOnDisk, old: xr.Dataset) -> None:
    """Raise InputError for a dim that the old cube lacks, or a label that the new one lacks."""
    for dim in map(str, cube.data.dims):
        if dim not in old.dims:
            raise InputError(
                f"{dim} is no dim of {cube.target}, but the same for all of it; expected new "
                f"labels along its dims, or to sweep it anew"
            )
    for dim in map(str, old.dims):
        unique(dim, old[dim].values)
        known = stored_labels(cube.data, dim) if dim in cube.data.dims else []
        lost = [label for label in stored_labels(old, dim) if label not in known]
        if lost:
            raise InputError(f"{dim}={lost[0]!r} is in {cube.target} but not in the inputs")
