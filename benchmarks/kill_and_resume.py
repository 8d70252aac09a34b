"""Kill a large sweep to disk at random moments, resume it, compare it with one that ran through.

Run as ``python benchmarks/kill_and_resume.py FOLDER [GB] [kills]``; FOLDER takes twice the size.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import prophet_xr as px
from prophet_xr.streaming.cube_on_disk import plan_cube

PROGRAM = """
import sys
sys.path.insert(0, {here!r})
import kill_and_resume
kill_and_resume.sweep(sys.argv[1], float(sys.argv[2]))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
METRICS = ["step_time", "throughput"]


def inputs(size):
    """Inputs of a cube of about so many GB."""
    batches = max(1, round(size * 1e9 / (8 * len(METRICS)) / (2 * 16 * 4 * 64 * 20 * 20)))
    return px.inputs(
        batch=np.arange(1, batches + 1),
        context=np.geomspace(1024, 131072, 64).round(),
        hit_rate=np.linspace(0.5, 1.0, 20),
        dedup_exponent=np.linspace(0.8, 1.0, 20),
    )


def sweep(path, size):
    """Write the cube."""
    px.sweep_to(inputs(size), path, METRICS, progress=False).close()


def run(path, size, stop=None):
    """Peak memory of a run in GB; None if it was killed, soon after it had so many slabs."""
    program = PROGRAM.format(here=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path), str(size)], stdout=subprocess.PIPE, text=True
    )
    if stop:
        while process.poll() is None and finished(path) < stop:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.1))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return None
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run failed: {process.returncode}")
    return int(out) / 1e6


def finished(path):
    """Slabs that are on disk."""
    journal = path.with_name(f".{path.name}.part") / "journal"
    return max(0, len(journal.read_text().splitlines()) - 1) if journal.exists() else 0


def main():
    """Print what happened."""
    folder = Path(sys.argv[1])
    size = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    through, stopped = folder / "through.zarr", folder / "stopped.zarr"
    start = time.perf_counter()
    memory = run(through, size)
    took = time.perf_counter() - start
    print(f"{size:g} GB in {took:.0f} s, {size / took:.2f} GB/s, peak RSS {memory:.2f} GB")
    cube = plan_cube(inputs(size), stopped, METRICS, "float64", None)
    slabs = len(cube.slabs())
    for stop in sorted(random.sample(range(1, max(slabs * 9 // 10, kills + 1)), kills)):
        if run(stopped, size, stop) is not None:
            raise SystemExit("the run ended before it was killed; expected a larger size")
        print(f"killed with {finished(stopped)} of {slabs} slabs finished", flush=True)
    memory = run(stopped, size)
    print(f"resumed to the end, peak RSS {memory:.2f} GB")
    with px.load(through) as a, px.load(stopped) as b:
        for name in METRICS:
            for model in a.model.values:
                np.testing.assert_array_equal(a[name].sel(model=model), b[name].sel(model=model))
    print("both cubes are equal")


if __name__ == "__main__":
    main()
