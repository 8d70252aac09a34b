"""Cubes on disk equal those in memory, whatever stopped the run that wrote them."""

import errno
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.engine.limits import Limits, using
from prophet_xr.errors import InputError
from prophet_xr.streaming import checkpoint, to_disk
from prophet_xr.streaming.cube_on_disk import plan_cube

METRICS = ["step_time", "unique_experts", "max_context", "fits", "predictor_memory"]
AXES = {"batch": [1, 2, 4, 8, 16], "context": [1024, 4096, 8192], "hit_rate": [0.9, 0.99]}
MODELS = ["mixtral-8x7b", "olmoe-1b-7b", "dbrx-132b"]


@pytest.fixture
def data():
    return px.inputs(model=MODELS, gpu=["A100-80GB", "H200"], **AXES)


@pytest.fixture(autouse=True)
def small_slabs():
    with using(Limits(disk_slab_memory=4_000)):
        yield


def same(found, cube):
    """The same numbers, labels, dims, types and attributes."""
    for name, variable in cube.variables.items():
        got = found[name]
        assert got.dims == variable.dims
        assert got.dtype == variable.dtype or variable.dtype.kind == "U"
        np.testing.assert_array_equal(got.values.astype(variable.dtype), variable.values)
    for name, metric in cube.data_vars.items():
        attrs = {k: v for k, v in metric.attrs.items() if k != "flag_values"}
        assert {k: v for k, v in found[name].attrs.items() if k != "flag_values"} == attrs
    assert set(found.coords) == set(cube.coords)


def planned(data, path):
    return plan_cube(data, path, METRICS, "float64", None)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("compression", [None, 1])
def test_a_cube_on_disk_is_that_in_memory(data, tmp_path, suffix, compression):
    path = tmp_path / f"cube{suffix}"
    with px.sweep_to(data, path, METRICS, compression=compression, progress=False) as found:
        same(found, px.sweep(data, METRICS))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_scalar_policy_and_float32(tmp_path):
    data = px.inputs(model=MODELS, gpu="H200", policy="prophet", batch=[1, 4], context=4096)
    path = tmp_path / "cube.zarr"
    with px.sweep_to(data, path, METRICS, dtype="float32", progress=False) as found:
        same(found, px.sweep(data, METRICS, dtype="float32"))


def test_a_cube_that_is_whole_is_not_swept_again(data, tmp_path, monkeypatch):
    path = tmp_path / "cube.zarr"
    px.sweep_to(data, path, METRICS, progress=False).close()
    monkeypatch.setattr(to_disk, "_write", None)
    px.sweep_to(data, path, METRICS, progress=False).close()
    with pytest.raises(InputError, match="a cube of other inputs"):
        px.sweep_to(data, path, METRICS[:1], progress=False)


def computed(monkeypatch):
    """Record the slabs that are computed."""
    slabs = []
    compute = to_disk._computed

    def recorded(cube, slab):
        slabs.append(slab)
        return compute(cube, slab)

    monkeypatch.setattr(to_disk, "_computed", recorded)
    return slabs


def stopped(data, path, count):
    """Begin a cube, or go on with it, and be interrupted after so many slabs."""
    compute, left = to_disk._computed, iter(range(count))

    def fails(cube, slab):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return compute(cube, slab)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_disk, "_computed", fails)
        with pytest.raises(KeyboardInterrupt):
            px.sweep_to(data, path, METRICS, progress=False)


def test_a_stopped_run_goes_on_where_it_was(data, tmp_path, monkeypatch):
    path = tmp_path / "cube.zarr"
    stopped(data, path, 5)
    assert not path.exists()
    journal = tmp_path / ".cube.zarr.part" / "journal"
    assert journal.read_text().split()[1:] == ["0", "1", "2", "3", "4"]
    with journal.open("a") as file:
        file.write("1")  # killed while it wrote the number of slab 10
    seen = computed(monkeypatch)
    with px.sweep_to(data, path, METRICS, progress=False) as found:
        same(found, px.sweep(data, METRICS))
    assert len(seen) == len(planned(data, path).slabs()) - 5


def test_half_a_number_in_the_journal_is_nothing(data, tmp_path):
    path = tmp_path / "cube.zarr"
    for count in (3, 1):
        stopped(data, path, count)
        with (tmp_path / ".cube.zarr.part" / "journal").open("a") as file:
            file.write("1")  # killed while it wrote the number of a slab
    with px.sweep_to(data, path, METRICS, progress=False) as found:
        same(found, px.sweep(data, METRICS))


def test_a_lost_chunk_is_missed(data, tmp_path):
    path = tmp_path / "cube.zarr"
    px.sweep_to(data, path, METRICS, progress=False).close()
    next(p for p in (path / "step_time" / "c").rglob("*") if p.is_file()).unlink()
    for again in (px.sweep_to, lambda d, p, **kw: px.extend(p, d, progress=False)):
        with pytest.raises(InputError, match="has lost chunks of step_time"):
            again(data, path, metrics=METRICS, progress=False)


def test_a_broken_folder_names_the_remedy(data, tmp_path):
    folder = tmp_path / ".cube.zarr.part"
    cube = planned(data, tmp_path / "cube.zarr")
    with checkpoint.locked(cube.target):
        assert to_disk._finished(cube) == set()
    for line in (b"no number\n", b"\xff\n", b"999999\n"):
        (folder / "journal").write_bytes(cube.digest.encode() + b"\n" + line)
        with pytest.raises(InputError, match="remove"):
            px.sweep_to(data, tmp_path / "cube.zarr", METRICS, progress=False)
    shutil.rmtree(folder)
    folder.touch()
    with pytest.raises(InputError, match="is in the way"):
        px.sweep_to(data, tmp_path / "cube.zarr", METRICS, progress=False)


def test_what_is_left_of_another_cube_is_neither_used_nor_lost(data, tmp_path, monkeypatch):
    path = tmp_path / "cube.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(to_disk, "swap", lambda new, target: sys.exit(1))
        with pytest.raises(SystemExit):
            px.sweep_to(data, path, METRICS, progress=False)
    other = data.assign(software_floor=0.005)
    with pytest.raises(InputError, match="slabs of another cube"):
        px.sweep_to(other, path, METRICS, progress=False)
    with px.sweep_to(data, path, METRICS, progress=False) as found:
        same(found, px.sweep(data, METRICS))


def test_two_writers_of_a_cube_do_not_mix(data, tmp_path):
    path = tmp_path / "cube.zarr"
    with checkpoint.locked(path), pytest.raises(InputError, match="written by another process"):
        px.sweep_to(data, path, METRICS, progress=False)
    px.sweep_to(data, path, METRICS, progress=False).close()


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_inputs_in_chunks_are_written_too(data, tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    lazy = data.chunk(model=1)
    with px.sweep_to(lazy, path, METRICS, progress=False) as found:
        same(found, px.sweep(data, METRICS))


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_link_is_followed(data, tmp_path, suffix):
    path, link = tmp_path / f"cube{suffix}", tmp_path / f"link{suffix}"
    link.symlink_to(path)
    px.sweep_to(data, link, METRICS, progress=False).close()
    wide = px.inputs(model=[*MODELS, "grok-1-314b"], gpu=["A100-80GB", "H200"], **AXES)
    px.extend(link, wide, progress=False).close()
    assert link.is_symlink()
    with px.load(path) as found:
        same(found, px.sweep(wide, METRICS))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, link.name])


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_dates_along_a_dim_of_its_own(tmp_path, suffix):
    days = xr.date_range("2026-01-01", periods=3)
    rates = xr.DataArray([0.5, 0.9, 0.99], {"day": days}, "day")
    chosen = {"model": "olmoe-1b-7b", "gpu": "H200", "policy": ["prophet"]}
    two, three = (px.inputs(**chosen, hit_rate=rates[:n]) for n in (2, 3))
    path = tmp_path / f"cube{suffix}"
    px.sweep_to(two, path, ["slowdown"], progress=False).close()
    with px.extend(path, three, progress=False) as found:
        np.testing.assert_array_equal(found.slowdown, px.sweep(three, ["slowdown"]).slowdown)
    never = px.solve(three, "slowdown", 1e9, "day", method="label")
    assert np.isnat(never.day).all()


def test_a_kill_between_two_names_leaves_nothing_in_the_way(data, tmp_path):
    path = tmp_path / "cube.zarr"
    px.sweep_to(data, path, METRICS, progress=False).close()
    (tmp_path / ".cube.zarr.old" / "c").mkdir(parents=True)
    wide = px.inputs(model=[*MODELS, "grok-1-314b"], gpu=["A100-80GB", "H200"], **AXES)
    px.extend(path, wide, progress=False).close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_grown_cube_keeps_its_type(data, tmp_path):
    path = tmp_path / "cube.zarr"
    px.sweep_to(data, path, METRICS, dtype="float32", progress=False).close()
    wide = px.inputs(model=[*MODELS, "grok-1-314b"], gpu=["A100-80GB", "H200"], **AXES)
    with px.extend(path, wide, progress=False) as found:
        assert {found[n].dtype for n in METRICS if n not in ("fits", "max_context")} == {
            np.dtype("float32")
        }
        same(found, px.sweep(wide, METRICS, dtype="float32"))


KILLED = """
import sys
import numpy as np
import prophet_xr as px
from prophet_xr.engine.limits import Limits, using
data = px.inputs(model={models!r}, gpu=["A100-80GB", "H200"], **{axes!r})
with using(Limits(disk_slab_memory=4_000, interpreted_in_all=10**9)):
    px.sweep_to(data, sys.argv[1], {metrics!r}, progress=False)
"""


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_killed_run_loses_nothing(data, tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    program = KILLED.format(models=MODELS, axes=AXES, metrics=METRICS)
    chance = random.Random(suffix)
    folder = tmp_path / f".cube{suffix}.part"
    for _ in range(3):
        run = subprocess.Popen([sys.executable, "-c", program, str(path)])
        while run.poll() is None and not (folder / "journal").exists():
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        run.send_signal(signal.SIGKILL)
        run.wait()
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    with px.load(path) as found:
        same(found, px.sweep(data, METRICS))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_is_said_and_leaves_what_is_finished(data, tmp_path, monkeypatch):
    path = tmp_path / "cube.zarr"
    compute = to_disk._computed
    left = iter(range(3))

    def full(cube, slab):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return compute(cube, slab)

    with monkeypatch.context() as patch:
        patch.setattr(to_disk, "_computed", full)
        with pytest.raises(OSError, match=r"disk full at .*cube.zarr.*same call goes on"):
            px.sweep_to(data, path, METRICS, progress=False)
    seen = computed(monkeypatch)
    with px.sweep_to(data, path, METRICS, progress=False) as found:
        same(found, px.sweep(data, METRICS))
    assert len(seen) == len(planned(data, path).slabs()) - 3


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize(
    "more",
    [
        {"model": ["olmoe-1b-7b", *MODELS[::2], "grok-1-314b"]},
        {"batch": [1, 2, 3, 4, 8, 16, 32]},
        {"model": [*MODELS, "grok-1-314b"], "gpu": ["B200", "H200", "A100-80GB"]},
        {"policy": ["prophet", "lru", "baseline"]},
    ],
    ids=["models", "batches", "both", "a policy"],
)
def test_only_new_cells_are_computed(data, tmp_path, monkeypatch, suffix, more):
    path = tmp_path / f"cube{suffix}"
    px.sweep_to(data, path, METRICS, progress=False).close()
    wide = px.inputs(**{"model": MODELS, "gpu": ["A100-80GB", "H200"], **AXES, **more})
    seen = computed(monkeypatch)
    with px.extend(path, wide, progress=False) as found:
        same(found, px.sweep(wide, METRICS))
    cells = [np.prod([c.stop - c.start for c in slab.values()]) for slab in seen]
    every = np.prod(list(wide.sizes.values()))
    new = every - np.prod(list(data.sizes.values()))
    assert sum(cells) == (every if "policy" in more else new)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_grown_cube_is_compressed_as_it_was(data, tmp_path, suffix):
    wide = px.inputs(model=[*MODELS, "grok-1-314b"], gpu=["A100-80GB", "H200"], **AXES)
    found = {}
    for level in (None, 9):
        path = tmp_path / f"cube{level}{suffix}"
        px.sweep_to(data, path, METRICS, compression=level, progress=False).close()
        px.extend(path, wide, progress=False).close()
        again = px.sweep_to(wide, path, METRICS, compression=level, progress=False)  # the same cube
        found[level] = again.step_time.encoding
        again.close()
    said = "compressors" if suffix == ".zarr" else "complevel"
    assert not found[None][said]
    assert found[9][said]


def test_a_cube_of_other_inputs_is_not_extended(data, tmp_path):
    path = tmp_path / "cube.zarr"
    px.sweep_to(data, path, METRICS, progress=False).close()
    with pytest.raises(InputError, match="'mixtral-8x7b' is in"):
        px.extend(path, data.isel(model=[1, 2]), progress=False)
    other = data.assign(memory_rate=data.memory_rate * 2)
    with pytest.raises(InputError, match="memory_rate differs"):
        px.extend(path, other, progress=False)
    with pytest.raises(InputError, match="dedup_exponent is no dim of"):
        px.extend(
            path,
            px.inputs(model=MODELS, gpu=["A100-80GB", "H200"], **AXES, dedup_exponent=[0.9, 1.0]),
            progress=False,
        )
    px.save(px.sweep(data, METRICS), tmp_path / "cube.nc")
    with pytest.raises(InputError, match=r"is no cube of px\.sweep_to"):
        px.extend(tmp_path / "cube.nc", data, progress=False)


def test_bad_targets_are_refused(data, tmp_path):
    with pytest.raises(InputError, match=r"\.zarr or \.nc"):
        px.sweep_to(data, tmp_path / "cube.csv")
    with pytest.raises(InputError, match="from 1 to 9"):
        px.sweep_to(data, tmp_path / "cube.nc", compression=12)
