"""Cubes larger than memory: swept slab by slab to disk, resumed where a run was stopped.

Finished slabs are chunks of a Zarr store beside the target and lines of a journal.  A line is
written after its chunks, so a run that is killed at any moment loses at most the slab at hand.
When every slab is there the store takes the place of the target, or is copied to a NetCDF file.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise, product
from math import prod
from pathlib import Path

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError
from prophet_xr.files import replacing
from prophet_xr.grid import chosen
from prophet_xr.jobs import DIGEST, FORMULAS, Job, beside, comparable, labels, planned_job
from prophet_xr.provenance import provenance
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.slabs import Slab, lengths
from prophet_xr.store import load

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None

SLAB = 96 * 2**20  # bytes that a slab takes in memory
STORE, COMPRESSION = "cube.zarr", "compression"


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
    job = planned_job(data, target, chosen(metrics, data), dtype, level, SLAB)
    if target.exists():
        cube = load(target)
        if cube.attrs.get(DIGEST) == job.digest:
            _complete(job, target)
            if _lines(job.folder / "journal")[:1] == [job.digest.encode()]:
                shutil.rmtree(job.folder, ignore_errors=True)  # of a run killed at its very end
            return cube
        raise InputError(
            f"{target} holds a cube of other inputs, metrics, dtype or compression; expected "
            f"another path, or px.extend, which adds labels"
        )
    _run(job, progress)
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
        packed = old.attrs.get(COMPRESSION)
        level = None if packed is None else _level(packed)
        names = [n for n in map(str, old.data_vars) if n in QUANTITIES and QUANTITIES[n].formula]
        reals = {str(old[n].dtype) for n in names if QUANTITIES[n].dtype == "float64"}
        job = planned_job(data, target, names, reals.pop() if reals else "float64", level, SLAB)
        _complete(job, target)
        if old.attrs.get(DIGEST) == job.digest:
            return load(target)
        comparable(old, job)
        _run(job, progress, old)
    return load(target)


def _level(compression: object) -> int:
    return checks.whole("compression", compression, 1, 9, "a level from 1 to 9, or None")


def _complete(job: Job, target: Path) -> None:
    """Raise InputError for a store that has lost chunks: they would read as what does not fit."""
    import zarr

    if target.suffix != ".zarr":
        return
    store = zarr.open_group(target, mode="r")
    for name in job.names:
        array = store.get(name)
        if not isinstance(array, zarr.Array) or array.nchunks_initialized < array.nchunks:
            raise InputError(f"{target} has lost chunks of {name}; expected all: sweep it anew")


def _target(path: str | Path) -> Path:
    target = checks.path(path)
    target = target.resolve() if target.is_symlink() else target
    if target.suffix not in (".zarr", ".nc"):
        raise InputError(f"path {str(path)!r} ends in {target.suffix!r}; expected .zarr or .nc")
    if target.suffix == ".zarr" and _aside(target).is_dir():
        with _alone(target):  # a run was killed while it exchanged the two
            if target.exists():
                shutil.rmtree(_aside(target))
            else:
                _aside(target).rename(target)
    return target


def _run(job: Job, progress: bool, old: xr.Dataset | None = None) -> None:
    """Compute what is missing and put the cube in its place."""
    with _room(job), _alone(job.target):
        _fill(job, _begun(job), progress, old)
        if job.target.suffix == ".zarr":
            _swap(job.folder / STORE, job.target)
        else:
            _copy(job)
        shutil.rmtree(job.folder)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Refuse a cube that another process writes; a lock goes with the process that holds it."""
    folder = beside(target)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is in the way; expected to make that folder: remove it")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    with path.open("w") as lock:
        if not _locked(lock.fileno(), path):
            raise InputError(f"{target} is being written by another process")
        yield
        if folder.exists() and [p.name for p in folder.iterdir()] == ["lock"]:
            shutil.rmtree(folder)


def _locked(number: int, path: Path) -> bool:
    """Lock an open file; False if another process has it, or has finished and removed it."""
    try:
        if fcntl:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _room(job: Job) -> Iterator[None]:
    """Say what a full disk means; HDF5 reports it as a failure of its own."""
    try:
        yield
    except (OSError, RuntimeError) as problem:
        code = problem.errno if isinstance(problem, OSError) else None
        full = shutil.disk_usage(job.target.parent).free < SLAB
        if code not in (errno.ENOSPC, errno.EDQUOT) and not (full and code is None):
            raise
        width = np.dtype(job.dtype).itemsize
        size = sum(width * prod(job.sizes[d] for d in job.dims[n]) for n in job.names) / 1e9
        raise OSError(
            code or errno.ENOSPC,
            f"disk full at {job.target}, which takes up to {size:.3g} GB; what is finished is kept "
            f"in {job.folder.name}, and the same call goes on",
        ) from None


def _begun(job: Job) -> set[int]:
    """Slabs that an earlier run of the same cube finished."""
    journal = job.folder / "journal"
    first, *lines = _lines(journal) or [b""]
    if first and first != job.digest.encode():
        raise InputError(
            f"{job.folder} holds {len(lines)} slabs of another cube that is not whole; "
            f"expected the call that began it, or to remove the folder"
        )
    made = all((job.folder / STORE / n / "zarr.json").exists() for n in job.names)
    if not first or not made:
        _empty(job)
        lines = []
    most = len(job.slabs())
    if not all(line.isdigit() and int(line) < most for line in lines):
        raise InputError(f"{journal} is damaged; expected numbers of slabs: remove {job.folder}")
    with replacing(journal) as draft:  # without half a number that a killed run may have left
        draft.write_bytes(b"".join(line + b"\n" for line in (job.digest.encode(), *lines)))
    return {int(line) for line in lines}


def _lines(file: Path) -> list[bytes]:
    """Lines of a file that are whole."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def _empty(job: Job) -> None:
    """Write the store without its numbers."""
    import dask.array as da
    from zarr.codecs import ZstdCodec

    kinds = {n: q.dtype if q.dtype != "float64" else job.dtype for n, q in QUANTITIES.items()}
    packed = job.compression if job.target.suffix == ".zarr" else None
    made, encoding = {}, {}
    for name in job.names:
        dims = job.dims[name]
        shape = [job.sizes[d] for d in dims]
        array = da.empty(shape, dtype=kinds[name], chunks=[job.step[d] for d in dims])
        made[name] = (dims, array, QUANTITIES[name].attrs)
        encoding[name] = {"compressors": ZstdCodec(level=packed) if packed else None}
    marks: dict[str, object] = {DIGEST: job.digest, FORMULAS: job.formulas}
    marks |= {COMPRESSION: job.compression} if job.compression else {}
    cube = job.data.assign(made).assign_attrs(provenance() | marks)
    text = {n: v.astype(object) for n, v in cube.coords.items() if v.dtype.kind == "U"}
    cube.assign_coords(text).to_zarr(
        job.folder / STORE, mode="w", compute=False, consolidated=False, encoding=encoding
    )


def _fill(job: Job, finished: set[int], progress: bool, old: xr.Dataset | None) -> None:
    """Write every slab that is not there yet, then its line of the journal."""
    import zarr
    from tqdm import tqdm

    store = zarr.open_group(job.folder / STORE, mode="r+")
    slabs = job.slabs()
    cells = [prod(lengths(slab).values()) for slab in slabs]
    bar = tqdm(
        total=sum(cells),
        initial=sum(cells[i] for i in finished),
        desc=job.target.name,
        unit="cell",
        unit_scale=True,
        disable=not progress,
    )
    known = {d: _known(job, d, old) for d in job.plan.sizes} if old else {}
    # Every chunk is written, one of nothing but NaN too: one that is missing has been lost.
    full = zarr.config.set({"array.write_empty_chunks": True})
    with full, bar, (job.folder / "journal").open("a") as journal:
        for number, slab in enumerate(slabs):
            if number in finished:
                continue
            for part, seen in _parts(slab, known):
                values = _copied(job, part, old) if old and seen else _computed(job, part)
                for name, array in values.items():
                    store[name][job.region(name, part)] = array  # pyright: ignore[reportArgumentType, reportIndexIssue]
            journal.write(f"{number}\n")
            journal.flush()
            bar.update(cells[number])


def _computed(job: Job, part: Slab) -> dict[str, np.ndarray]:
    """Metrics that are written with a part of the grid, of the policies asked for."""
    arrays, _ = job.plan.run(part)
    found = {}
    for name in job.written(part):
        values = xr.Variable(job.plan.dims[name], arrays[name])
        if POLICY in values.dims:
            own = job.plan.asked if POLICY in job.dims[name] else job.plan.asked[0]
            values = values.isel({POLICY: own})
        found[name] = values.transpose(*job.dims[name]).values
    return found


def _parts(slab: Slab, known: Mapping[str, np.ndarray]) -> Iterator[tuple[Slab, bool]]:
    """Cut a slab into parts whose cells are all in the old cube, if there is one, or all new."""
    if not known:
        yield slab, False
        return
    runs = []
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
        yield part, all(seen for _, seen in box)


def _known(job: Job, dim: str, old: xr.Dataset) -> np.ndarray:
    """Which labels of a dim the old cube has; a dim that it lacks was the same for all."""
    if dim not in job.data.dims:
        return np.ones(job.plan.sizes[dim], bool)
    known = set(labels(old, dim))
    return np.array([label in known for label in labels(job.data, dim)])


def _copied(job: Job, part: Slab, old: xr.Dataset) -> dict[str, np.ndarray]:
    """Metrics of a part of the grid that an old cube has."""
    found = {}
    for name in job.written(part):
        dims = job.dims[name]
        at = {d: job.data[d].values[slice(None) if d == POLICY else part[d]] for d in dims}
        found[name] = old[name].sel(at).transpose(*dims).values
    return found


def _copy(job: Job) -> None:
    """Copy the finished store into a NetCDF file, chunk by chunk."""
    packed = {"zlib": True, "complevel": job.compression} if job.compression else {}
    with xr.open_dataset(job.folder / STORE, engine="zarr", consolidated=False, chunks={}) as cube:
        for variable in cube.variables.values():
            variable.encoding.clear()
        encoding = {
            n: {"chunksizes": [min(job.step[d], job.sizes[d]) for d in job.dims[n]], **packed}
            for n in job.names
            if job.dims[n]
        }
        draft = job.folder / "cube.nc"  # a run that is killed here leaves it to the next
        cube.to_netcdf(draft, engine="netcdf4", encoding=encoding)
        draft.replace(job.target)


def _swap(new: Path, target: Path) -> None:
    """Put a folder in the place of another; `_target` undoes what a kill between leaves."""
    old = _aside(target)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")
