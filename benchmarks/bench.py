"""Timings, as ratios within one run: medians of several, never part of the tests.

Run with ``make bench``.  Prints the commands against their targets, and a six-axis sweep against
xarray broadcasting and against a plain two-thread fill of the same bytes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

import prophet_xr as px
from prophet_xr import importer
from prophet_xr.engine import cores

AXES = {
    "context": [2**n for n in range(10, 18)],
    "hit_rate": np.linspace(0.9, 0.999, 10),
    "dedup_exponent": np.linspace(0.85, 0.95, 10),
}


def median(action, repeats=5):
    """Median seconds of an action, after one run to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def command(*arguments):
    """Run a command of this Python, its output dropped."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def fill(size, threads):
    """Write ``size`` doubles with every core, nothing else."""
    array = np.empty(size)
    parts = np.array_split(array, threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.fill(1.0), parts))


def sweeps():
    """Compare the engine with xarray broadcasting, on the six-axis decode-step metrics."""
    data = px.inputs(**AXES)
    names = ["exposed_time", "step_time", "slowdown", "throughput"]
    cube = px.sweep(data, names)
    cells = sum(cube[n].size for n in names)
    engine = median(lambda: px.sweep(data, names))
    plain = median(lambda: six_axis(data))
    store = median(lambda: fill(cells, cores()))
    print(f"six-axis metrics: {cells / 1e6:.1f} million cells in fresh arrays")
    print(f"  engine  {engine * 1e3:7.1f} ms  {cells / engine / 1e6:6.0f} Mcells/s")
    print(f"  xarray  {plain * 1e3:7.1f} ms  ratio {plain / engine:.1f}x")
    print(f"  fill    {store * 1e3:7.1f} ms  engine at {store / engine:.2f} of it")


def configs():
    """Import every config of the catalogue."""
    files = sorted((Path(__file__).parent.parent / "data" / "configs").glob("*.json"))
    took = median(lambda: [importer.read(file) for file in files])
    print(f"import of {len(files)} configs: {took * 1e3:.1f} ms, target 50 ms")


def six_axis(data):
    """The same metrics by hand in xarray, on natural dims."""
    cube = px.sweep(
        data, ["early_traffic", "late_traffic", "gpu_time", "in_time", "unique_experts"]
    )
    link = data.host_link_rate
    hidden = np.maximum(cube.early_traffic / link - cube.gpu_time, 0.0)
    copies = data.expert_matrices * data.decode_moe_layers * cube.unique_experts
    exposed = hidden + cube.late_traffic / link + copies * (1 - cube.in_time) * data.copy_latency
    step = cube.gpu_time + exposed
    return xr.Dataset(
        {
            "exposed_time": exposed,
            "step_time": step,
            "slowdown": step / step.sel(policy="baseline"),
            "throughput": data.batch / step,
        }
    )


def commands():
    """Time what a user waits for."""
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "import prophet_xr": ("-c", "import prophet_xr; prophet_xr.sweep"),
            "prophet-xr --help": ("-m", "prophet_xr", "--help"),
            "prophet-xr fit": ("-m", "prophet_xr", "fit", "--model", "mixtral-8x7b"),
            "prophet-xr study, warm": ("-m", "prophet_xr", "study", "--out", folder),
        }
        targets = {
            "import prophet_xr": 1.0,
            "prophet-xr --help": 0.3,
            "prophet-xr study, warm": 10.0,
        }
        for title, arguments in rows.items():
            seconds = median(lambda a=arguments: command(*a), 3)
            target = f"target {targets[title]:g} s" if title in targets else ""
            print(f"{title:24s} {seconds:6.2f} s  {target}")


if __name__ == "__main__":
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    commands()
    sweeps()
    configs()
