"""Exact Sobol indices of 10**8 cells that are never stored: seconds, and the memory of the process.

Run it in a process of its own: ``python benchmarks/sensitivity.py``.  Seconds are medians; those of
the processor, over all threads, hardly depend on what else the machine does.
"""

import re
import time
from pathlib import Path
from statistics import median

import numpy as np

import prophet_xr as px

AXES = ["policy", "model", "gpu", "batch", "context", "hit_rate", "dedup_exponent"]
CASES = {
    "first order and total": {"second_order": False},
    "and pairs": {},
    "of the cells that fit": {"second_order": False, "where": "fits"},
}
REPEATS = 5


def main() -> None:
    data = px.inputs(
        model=px.inputs().model.values[:10].tolist(),
        batch=np.arange(1, 26),
        context=np.geomspace(1024, 131072, 20).round(),
        hit_rate=np.linspace(0.5, 1.0, 25),
        dedup_exponent=np.linspace(0.8, 1.0, 100),
    )
    cells = int(np.prod([data.sizes[d] for d in AXES]))
    print(f"{cells:.2e} cells on {len(AXES)} axes")
    for metric in ("step_time", "slowdown"):
        for title, how in CASES.items():
            px.sobol_sweep(data.isel(batch=slice(3)), metric, AXES, **how)  # may compile
            times = [timed(data, metric, how) for _ in range(REPEATS)]
            wall, processor = (median(each) for each in zip(*times, strict=True))
            print(f"{metric}, {title}: {wall:.1f} s, {processor:.1f} s of processor")
    print(re.findall("VmHWM.*", Path("/proc/self/status").read_text())[0])


def timed(data, metric: str, how: dict) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    px.sobol_sweep(data, metric, AXES, **how)
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
