"""Cubes larger than memory: swept slab by slab to disk, resumed where a run was stopped.

Comes in: what `sweep` takes, and a path.  Goes out: the cube on disk, opened by `load`.  Memory
holds one slab at a time, however large the cube is.
Why so: the finished slabs are chunks of a Zarr store in a folder next to the target, and lines of
a journal there (`checkpoint`).  A line is written after its chunks, so a run that is killed at any
moment loses at most the slab it was computing, and the target is never half a cube.  When every
slab is there, the store takes the place of the target, or is copied to a NetCDF file: NetCDF has
no chunks that can be written apart and survive a kill.  `extend` writes a new store in the same
way and copies into it what the old cube has.
"""

import errno
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise, product
from math import prod
from pathlib import Path

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.errors import InputError
from prophet_xr.grid import metric_names
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.store import load
from prophet_xr.streaming.checkpoint import Journal, locked, recover, swap
from prophet_xr.streaming.cube_on_disk import (
    DIGEST,
    FORMULAS_DIGEST,
    CubeOnDisk,
    check_extends,
    plan_cube,
    stored_labels,
)
from prophet_xr.streaming.slabs import Slab, lengths

STORE = "cube.zarr"  # name of the store of finished slabs
COMPRESSION = "compression"  # attribute of a cube


def sweep_to(
    data: xr.Dataset,
    path: str | Path,
    metrics: Iterable[str] | None = None,
    *,
    dtype: str = "float64",
    compression: int | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Sweep to disk in bounded memory; the same call goes on where a run was stopped.

    Parameters
    ----------
    data, metrics, dtype
        As `sweep` takes them.
    path
        ``*.zarr`` (Zarr v3) or ``*.nc`` (NetCDF-4, which needs its size twice while it is made).
    compression
        Level 1 to 9; none by default, which is the fastest to write and to slice.
    progress
        Show cells, rate and time left on stderr.

    Returns
    -------
    xr.Dataset
        The cube, as `load` opens it.  A call that finds the same cube complete only opens it.

    Raises
    ------
    InputError
        As `sweep` does, for another suffix, and where the path holds another cube.
    OSError
        If the disk is full; what is finished stays, and the same call goes on.
    """
    target = _target(path)
    level = None if compression is None else _level(compression)
    cube = plan_cube(data, target, metric_names(metrics, data), dtype, level)
    if target.exists():
        return _existing(cube)
    _write(cube, progress)
    return load(target)


def extend(path: str | Path, data: xr.Dataset, *, progress: bool = True) -> xr.Dataset:
    """Grow a cube on disk to a larger grid: only the new cells are computed.

    Parameters
    ----------
    path
        A cube of `sweep_to`.
    data
        What `inputs` returns for the whole grid: every label of the cube, and new ones along any
        dims.
    progress
        Show cells, rate and time left on stderr.

    Returns
    -------
    xr.Dataset
        The cube, as `load` opens it, in the compression of the old one.  It replaces that once it
        is whole; a run that is stopped before leaves the old one, and the same call goes on.

    Raises
    ------
    InputError
        As `sweep` does, where an input differs from that of the cube, or the cube was made by
        other formulas.
    """
    target = _target(path)
    checks.dataset("the inputs", data)
    with load(target) as old:
        stored = old.attrs.get(COMPRESSION)
        level = None if stored is None else _level(stored)
        metrics = [n for n in map(str, old.data_vars) if n in QUANTITIES and QUANTITIES[n].formula]
        dtypes = {str(old[n].dtype) for n in metrics if QUANTITIES[n].dtype == "float64"}
        dtype = dtypes.pop() if dtypes else "float64"
        cube = plan_cube(data, target, metrics, dtype, level)
        _check_chunks(cube)
        if old.attrs.get(DIGEST) != cube.digest:
            check_extends(cube, old)
            _write(cube, progress, old)
    return load(target)


def _target(path: str | Path) -> Path:
    """Path of the cube itself, with what a kill may have left of a swap put in order."""
    target = checks.file_path(path)
    target = target.resolve() if target.is_symlink() else target
    if target.suffix not in (".zarr", ".nc"):
        raise InputError(f"path {str(path)!r} ends in {target.suffix!r}; expected .zarr or .nc")
    if target.suffix == ".zarr":
        recover(target)
    return target


def _level(compression: object) -> int:
    """Level of compression, or InputError."""
    return checks.whole("compression", compression, 1, 9, "a level from 1 to 9, or None")


def _existing(cube: CubeOnDisk) -> xr.Dataset:
    """Open the cube at the target; InputError if it is another one, or has lost chunks."""
    old = load(cube.target)
    if old.attrs.get(DIGEST) != cube.digest:
        raise InputError(
            f"{cube.target} holds a cube of other inputs, metrics, dtype or compression; expected "
            f"another path, or px.extend, which adds labels"
        )
    _check_chunks(cube)
    if Journal(cube.target, cube.digest).is_of_this_cube:  # a run was killed at its very end
        shutil.rmtree(cube.folder, ignore_errors=True)
    return old


def _check_chunks(cube: CubeOnDisk) -> None:
    """Raise InputError for a store that has lost chunks: they would read as what does not fit."""
    import zarr

    if cube.target.suffix != ".zarr":
        return
    store = zarr.open_group(cube.target, mode="r")
    for metric in cube.metrics:
        array = store.get(metric)
        if not isinstance(array, zarr.Array) or array.nchunks_initialized < array.nchunks:
            raise InputError(
                f"{cube.target} has lost chunks of {metric}; expected all: sweep it anew"
            )


# --- A run -------------------------------------------------------------------------------------


def _write(cube: CubeOnDisk, progress: bool, old: xr.Dataset | None = None) -> None:
    """Compute what is missing and put the cube in its place."""
    with _disk_full_explained(cube), locked(cube.target):
        _fill(cube, _finished(cube), progress, old)
        if cube.target.suffix == ".zarr":
            swap(cube.folder / STORE, cube.target)
        else:
            _to_netcdf(cube)
        shutil.rmtree(cube.folder)


@contextmanager
def _disk_full_explained(cube: CubeOnDisk) -> Iterator[None]:
    """Say what a full disk means; HDF5 reports it as a failure of its own."""
    try:
        yield
    except (OSError, RuntimeError) as problem:
        code = problem.errno if isinstance(problem, OSError) else None
        full = shutil.disk_usage(cube.target.parent).free < cube.plan.limits.disk_slab_memory
        if code not in (errno.ENOSPC, errno.EDQUOT) and not (full and code is None):
            raise
        size = np.dtype(cube.dtype).itemsize * sum(prod(cube.shape(m)) for m in cube.metrics) / 1e9
        raise OSError(
            code or errno.ENOSPC,
            f"disk full at {cube.target}, which takes up to {size:.3g} GB; what is finished is "
            f"kept in {cube.folder.name}, and the same call goes on",
        ) from None


def _finished(cube: CubeOnDisk) -> set[int]:
    """Slabs that an earlier run of the same cube finished; begins the store if there is none."""
    journal = Journal(cube.target, cube.digest)
    journal.check_owner()
    arrays = [cube.folder / STORE / metric / "zarr.json" for metric in cube.metrics]
    finished: set[int] = set()
    if journal.is_of_this_cube and all(array.exists() for array in arrays):
        finished = journal.finished(len(cube.slabs()))
    else:
        _make_store(cube)
    journal.start(finished)
    return finished


def _make_store(cube: CubeOnDisk) -> None:
    """Write the store without the numbers of its metrics."""
    import dask.array as da
    from zarr.codecs import ZstdCodec

    level = cube.compression if cube.target.suffix == ".zarr" else None
    variables, encoding = {}, {}
    for metric in cube.metrics:
        q = QUANTITIES[metric]
        dtype = cube.dtype if q.dtype == "float64" else q.dtype
        chunks = [cube.slab_lengths[d] for d in cube.dims[metric]]
        array = da.empty(cube.shape(metric), dtype=dtype, chunks=chunks)
        variables[metric] = (cube.dims[metric], array, q.attrs)
        encoding[metric] = {"compressors": ZstdCodec(level=level) if level else None}
    attrs = {**provenance(), DIGEST: cube.digest, FORMULAS_DIGEST: cube.formulas_digest}
    attrs |= {COMPRESSION: cube.compression} if cube.compression else {}
    dataset = cube.data.assign(variables).assign_attrs(attrs)
    texts = {n: v.astype(object) for n, v in dataset.coords.items() if v.dtype.kind == "U"}
    dataset.assign_coords(texts).to_zarr(
        cube.folder / STORE, mode="w", compute=False, consolidated=False, encoding=encoding
    )


def _fill(cube: CubeOnDisk, finished: set[int], progress: bool, old: xr.Dataset | None) -> None:
    """Write every slab that is not there yet, then its line of the journal."""
    import zarr
    from tqdm import tqdm

    store = zarr.open_group(cube.folder / STORE, mode="r+")
    journal = Journal(cube.target, cube.digest)
    slabs = cube.slabs()
    cells = [prod(lengths(slab).values()) for slab in slabs]
    bar = tqdm(
        total=sum(cells),
        initial=sum(cells[number] for number in finished),
        desc=cube.target.name,
        unit="cell",
        unit_scale=True,
        disable=not progress,
    )
    known = {d: _known(cube, d, old) for d in cube.plan.sizes} if old else {}
    # Every chunk is written, one of nothing but NaN too: one that is missing has been lost.
    with zarr.config.set({"array.write_empty_chunks": True}), bar:
        for number, slab in enumerate(slabs):
            if number in finished:
                continue
            for part, is_known in _parts(slab, known):
                arrays = _copied(cube, part, old) if old and is_known else _computed(cube, part)
                for metric, array in arrays.items():
                    store[metric][cube.region(metric, part)] = array  # pyright: ignore[reportArgumentType, reportIndexIssue]
            journal.add(number)
            bar.update(cells[number])


def _computed(cube: CubeOnDisk, part: Slab) -> dict[str, np.ndarray]:
    """Metrics that are written with a part of the grid, of the policies asked for."""
    arrays, _ = cube.plan.run(part)
    metric_arrays = {}
    for metric in cube.written_with(part):
        variable = xr.Variable(cube.plan.dims[metric], arrays[metric])
        if POLICY in variable.dims:
            rows = cube.plan.asked if POLICY in cube.dims[metric] else cube.plan.asked[0]
            variable = variable.isel({POLICY: rows})
        metric_arrays[metric] = variable.transpose(*cube.dims[metric]).values
    return metric_arrays


def _to_netcdf(cube: CubeOnDisk) -> None:
    """Copy the finished store into a NetCDF file, chunk by chunk."""
    level = {"zlib": True, "complevel": cube.compression} if cube.compression else {}
    store = cube.folder / STORE
    with xr.open_dataset(store, engine="zarr", consolidated=False, chunks={}) as dataset:
        for variable in dataset.variables.values():
            variable.encoding.clear()
        encoding = {}
        for metric in (m for m in cube.metrics if cube.dims[m]):
            chunks = [min(cube.slab_lengths[d], cube.sizes[d]) for d in cube.dims[metric]]
            encoding[metric] = {"chunksizes": chunks, **level}
        draft = cube.folder / "cube.nc"  # a run that is killed here leaves it to the next
        dataset.to_netcdf(draft, engine="netcdf4", encoding=encoding)
        draft.replace(cube.target)


# --- What an old cube has ----------------------------------------------------------------------


def _known(cube: CubeOnDisk, dim: str, old: xr.Dataset) -> np.ndarray:
    """Which labels of a dim the old cube has; a dim that it lacks was the same for all."""
    if dim not in cube.data.dims:
        return np.ones(cube.plan.sizes[dim], bool)
    known = set(stored_labels(old, dim))
    return np.array([label in known for label in stored_labels(cube.data, dim)])


def _parts(slab: Slab, known: Mapping[str, np.ndarray]) -> Iterator[tuple[Slab, bool]]:
    """Cut a slab into parts whose cells are all in the old cube, if there is one, or all new."""
    if not known:
        yield slab, False
        return
    runs = []  # along each dim: slices whose labels are all known, or all new, and which of both
    for dim, cut in slab.items():
        if dim == POLICY:  # the baseline belongs to every row: a new policy is swept with all
            runs.append([(cut, bool(known[dim].all()))])
            continue
        inside = known[dim][cut]
        edges = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), inside.size]
        spans = [(slice(cut.start + a, cut.start + b), bool(inside[a])) for a, b in pairwise(edges)]
        runs.append(spans)
    for box in product(*runs):
        part = {dim: cut for dim, (cut, _) in zip(slab, box, strict=True)}
        yield part, all(is_known for _, is_known in box)


def _copied(cube: CubeOnDisk, part: Slab, old: xr.Dataset) -> dict[str, np.ndarray]:
    """Metrics of a part of the grid that an old cube has."""
    metric_arrays = {}
    for metric in cube.written_with(part):
        dims = cube.dims[metric]
        cells = {d: cube.data[d].values[slice(None) if d == POLICY else part[d]] for d in dims}
        metric_arrays[metric] = old[metric].sel(cells).transpose(*dims).values
    return metric_arrays
