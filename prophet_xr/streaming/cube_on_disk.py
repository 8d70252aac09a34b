"""One cube that is written slab by slab: what it is made of, and what tells it from others."""

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
from prophet_xr.registry import POLICY, QUANTITIES, needed
from prophet_xr.streaming.slabs import Slab, SlabPlan, planned

DIGEST, FORMULAS = "sweep_digest", "formulas_digest"


def beside(target: Path) -> Path:
    """Folder of what is not whole yet."""
    return target.with_name(f".{target.name}.part")


@dataclass(frozen=True)
class Job:
    """One cube to be written: its plan, its slabs, and where they are kept meanwhile."""

    data: xr.Dataset
    plan: SlabPlan
    names: list[str]
    dims: Mapping[str, Dims]
    step: Mapping[str, int]
    target: Path
    dtype: str
    compression: int | None
    formulas: str
    digest: str

    @property
    def folder(self) -> Path:
        """Where the finished slabs are until the cube is whole."""
        return beside(self.target)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dim of the cube."""
        return {**self.plan.sizes, POLICY: self.plan.asked.size}

    def slabs(self) -> list[Slab]:
        """Every slab, in order."""
        sizes = self.plan.sizes
        cuts = product(*(slices(n, self.step[d]) for d, n in sizes.items()))
        return [dict(zip(sizes, cut, strict=True)) for cut in cuts]

    def written(self, slab: Slab) -> list[str]:
        """Metrics to write with a slab: along dims that a metric has not, with the first."""
        return [
            n for n in self.names if not any(slab[d].start for d in slab if d not in self.dims[n])
        ]

    def region(self, name: str, slab: Slab) -> tuple[slice, ...]:
        """Where a slab of a metric is in the cube."""
        return tuple(slice(None) if d == POLICY else slab[d] for d in self.dims[name])


def planned_job(
    data: xr.Dataset, target: Path, names: list[str], dtype: str, compression: int | None
) -> Job:
    """Plan a cube, in slabs of the size that is written at once."""
    data, dtype = data.compute() if data.chunks else data, real_dtype(dtype)
    plan = planned(data, names, dtype=dtype)
    policy = data[POLICY].ndim > 0
    order = [d for d in dim_order(plan.full) if d != POLICY or policy]
    formulas = _formulas(names)
    return Job(
        data=data,
        plan=plan,
        names=[n for n in QUANTITIES if n in names],
        dims={n: tuple(d for d in order if d in plan.dims[n]) for n in names},
        step=plan.slab_lengths((), (), plan.limits.disk_slab_memory),
        target=target,
        dtype=dtype,
        compression=compression,
        formulas=formulas,
        digest=_digest(data, formulas, sorted(names), dtype, compression),
    )


def _formulas(names: list[str]) -> str:
    """Hash of the text of every formula that metrics depend on."""
    asked = needed(names)
    texts = [
        codegen.function(q.formula, q.name)
        for q in QUANTITIES.values()
        if q.formula and q.name in asked
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def _digest(data: xr.Dataset, *rest: object) -> str:
    """Hash of everything that the numbers of a cube depend on."""
    text = hashlib.sha256(repr(rest).encode())
    for name in sorted(map(str, data.variables)):
        variable = data.variables[name]
        text.update(f"{name} {variable.dims} {variable.values.tolist()!r}".encode())
    return text.hexdigest()[:32]


def labels(data: xr.Dataset, dim: str) -> list:
    """Labels of a dim; times in one unit, as a file may hold them in another."""
    values = data[dim].values
    return values.astype("M8[us]").tolist() if values.dtype.kind == "M" else values.tolist()


def comparable(old: xr.Dataset, job: Job) -> None:
    """Raise InputError if the cells of an old cube are not cells of the new one."""
    data = job.data
    if FORMULAS not in old.attrs:
        raise InputError(f"{job.target} is no cube of px.sweep_to, which alone can be extended")
    if old.attrs[FORMULAS] != job.formulas:
        raise InputError(f"{job.target} was made by other formulas; expected to sweep it anew")
    for dim in map(str, data.dims):
        if dim not in old.dims:
            raise InputError(
                f"{dim} is no dim of {job.target}, but the same for all of it; expected new labels "
                f"along its dims, or to sweep it anew"
            )
    for dim in map(str, old.dims):
        unique(dim, old[dim].values)
        known = labels(data, dim) if dim in data.dims else []
        lost = [v for v in labels(old, dim) if v not in known]
        if lost:
            raise InputError(f"{dim}={lost[0]!r} is in {job.target} but not in the inputs")
    for name in job.names:
        if set(old[name].dims) != set(job.dims[name]):
            raise InputError(
                f"{name} of {job.target} has dims {old[name].dims}; expected {job.dims[name]}"
            )
    for name in (n for n in job.plan.arrays if n in old.variables):
        here = data[name].sel({d: old[d].values for d in old[name].dims if d in data[name].dims})
        if here.dims != old[name].dims or not np.array_equal(here.values, old[name].values):
            raise InputError(f"{name} differs from that of {job.target}; expected the same input")
