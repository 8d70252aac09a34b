"""Exact Sobol indices of 10**8 cells that are never stored: seconds, and the memory of the process.

Run it in a process of its own: ``python benchmarks/sensitivity.py``.
"""

import re
import time
from pathlib import Path

import numpy as np

import prophet_xr as px

AXES = ["policy", "model", "gpu", "batch", "context", "hit_rate", "dedup_exponent"]


def main() -> None:
    data = px.inputs(
        model=px.inputs().model.values[:10].tolist(),
        batch=np.arange(1, 26),
        context=np.geomspace(1024, 131072, 20).round(),
        hit_rate=np.linspace(0.5, 1.0, 25),
        dedup_exponent=np.linspace(0.8, 1.0, 100),
    )
    cells = int(np.prod([data.sizes[d] for d in AXES]))
    for metric in ("step_time", "slowdown"):
        for _ in range(3):  # the first may compile
            start = time.perf_counter()
            px.sobol_sweep(data, metric, AXES, second_order=False)
            print(f"{metric}: {cells:.2e} cells in {time.perf_counter() - start:.1f} s")
    print(re.findall("VmHWM.*", Path("/proc/self/status").read_text())[0])


if __name__ == "__main__":
    main()
