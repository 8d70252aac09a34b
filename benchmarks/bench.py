"""Timings, as ratios within one run: medians of several, never part of the tests.

Run with ``make bench``, which keeps the document it prints in docs/performance.md.
"""

import argparse
import itertools
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path

import sweeps

from prophet_xr.catalogue.config import reader
from prophet_xr.engine.run import cores

HERE = Path(__file__).parent
FIRST = """
import time
start = time.perf_counter()
import numpy as np, prophet_xr as px
axes = {"batch": np.arange(1, 65), "context": np.arange(1, 33) * 2048.0}
axes["hit_rate"] = [0.8, 0.9, 0.95, 0.99]
metrics = ["step_time", "slowdown", "throughput", "kv_extension", "max_context"]
cube = px.sweep(px.inputs(**axes), metrics)
assert cube.step_time.size == 2**20
print(time.perf_counter() - start)
"""
MEMORY = """
import sys
sys.path.insert(0, {here!r})
import sweeps

def high_water():  # ru_maxrss would begin at that of the parent
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

data = sweeps.grid(batches=96)
sweeps.px.summarize(data.isel(batch=[0]), sweeps.METRICS, sweeps.OVER, sweeps.STATS)
before = high_water()
{action}
print((high_water() - before) / 1e6)
"""


def main():
    """Print the document, and write it to a file if one is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    text = "\n".join(
        [HEAD, machine(), "", *grids(), "", *questions(), "", *starts(), "", *commands(), ""]
    )
    print(text)
    if out:
        out.write_text(text)


HEAD = """# Performance

Written by `make bench`: every ratio is within one run, every time the median of several. A value is
one number of one metric; a fill writes constants with every core, which is the limit of the
machine for arrays that are kept.
"""


def machine():
    """One line on what it ran on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{n} {version(n)}" for n in ("numpy", "numba", "xarray"))
    python = platform.python_version()
    return f"{cores()} cores of {cpu}, {memory:.0f} GiB; Python {python}, {libraries}."


def row(*cells):
    """One line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def grids():
    """Compare what fills, and what reduces, a grid of six axes."""
    data = sweeps.grid(batches=48, exponents=20)
    rows = sweeps.fills(data)
    own = {what: seconds for what, seconds, _, _ in rows}
    values = sweeps.cells(data) * len(sweeps.METRICS)
    yield f"## {values / 1e6:.0f} million values: four decode metrics on policy and six axes\n"
    yield "numpy and xarray are given every metric of fewer axes; the engine computes them too.\n"
    yield row("what", "ms", "Mvalues/s", "GB/s", "of the fill of its bytes", "engine is faster by")
    yield row("---", "---:", "---:", "---:", "---:", "---:")
    for what, seconds, count, size in rows:
        limit = own[LIMITS[what]] / seconds if what in LIMITS else None
        faster = seconds / own["engine, fresh arrays"] if "broadcasting" in what else None
        yield _line(what, seconds, count, size, limit, faster)
    for what, cell in (
        ("Python loop into a data frame", sweeps.loop(data, 4000)),
        ("xyzpy", sweeps.combos(data, 1000)),
    ):
        if cell:
            seconds = cell * sweeps.cells(data)
            faster = seconds / own["engine, fresh arrays"]
            yield _line(f"{what} (from a part)", seconds, values, 8 * values, None, faster)
    yield "\n## The same values reduced: mean, min, max, argmax, count over four axes\n"
    yield row("what", "ms", "Mvalues/s", "GB/s", "memory over its inputs, GB", "faster by")
    yield row("---", "---:", "---:", "---:", "---:", "---:")
    folded, stored = sweeps.reductions(data)
    yield _line(
        *folded, peak("sweeps.px.summarize(data, sweeps.METRICS, sweeps.OVER, sweeps.STATS)"), None
    )
    yield _line(*stored, peak("sweeps.stored(data)"), stored[1] / folded[1])
    yield "\n## Time per cell as the grid grows\n"
    yield GROWTH.format(call=sweeps.call() * 1e3)
    yield row("grid", "cells", "ms", "ns / cell", "to that of the largest")
    yield row("---", "---:", "---:", "---:", "---:")
    for _, group in itertools.groupby(sweeps.growth(), key=itemgetter(0)):
        found = [(what, cells, seconds, seconds / cells) for what, cells, seconds in group]
        for what, cells, seconds, each in found:
            numbers = (f"{seconds * 1e3:,.1f}", f"{each * 1e9:.2f}", f"{each / found[-1][-1]:.2f}")
            yield row(what, f"{cells:.1e}", *numbers)


GROWTH = """A call takes {call:.1f} ms whatever its size: labels in, labels out. Then `axes` are
the four metrics above on six axes, where most of what a cell needs is evaluated once for many: as
little as a cell can cost. `draws` are eight metrics of every policy, model and GPU, whose batch,
context, hit rate and dedup exponent are drawn at random.
"""


def questions():
    """Time queries."""
    yield "## Queries, nothing stored\n"
    yield row("query", "cells", "ms", "ns / cell")
    yield row("---", "---:", "---:", "---:")
    for what, count, seconds in sweeps.queries():
        yield row(what, f"{count:.1e}", f"{seconds * 1e3:,.0f}", f"{seconds / count * 1e9:.1f}")


LIMITS = {
    "engine, arrays reused": "fill, arrays reused",
    "engine float32, reused": "fill float32, reused",
    "engine, fresh arrays": "fill, fresh arrays",
}


def _line(what, seconds, count, size, share, faster):
    return row(
        what,
        f"{seconds * 1e3:,.0f}",
        f"{count / seconds / 1e6:,.3g}",
        f"{size / seconds / 1e9:.3g}",
        "" if share is None else f"{share:.2f}",
        "" if faster is None else f"{faster:,.1f}x",
    )


def python(text, **environment):
    """Run a program of this Python; the number that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", text],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return float(done.stdout)


def peak(action):
    """Memory that an action on the grid needs next to its inputs, in GB."""
    return python(MEMORY.format(here=str(HERE), action=action))


def starts():
    """Time the first sweep of 2**20 cells in a process, imports included, cold and warm."""
    with tempfile.TemporaryDirectory() as folder:
        cold = python(FIRST, PROPHET_XR_CACHE=folder)
        warm = sweeps.statistics.median(python(FIRST, PROPHET_XR_CACHE=folder) for _ in range(5))
    yield "## The first sweep of a process: 1,048,576 cells of five metrics, imports included\n"
    yield f"- cold (compiles its nests, once): {cold:.1f} s"
    yield f"- warm: {warm:.2f} s"


def commands():
    """Time what a user waits for."""
    yield "## Commands\n"
    yield row("command", "s")
    yield row("---", "---:")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        cold = {**os.environ, "PROPHET_XR_CACHE": cache}
        study = ("-m", "prophet_xr", "study", "--out", folder)
        rows = {
            "import prophet_xr": (("-c", "import prophet_xr"), None),
            "import prophet_xr; prophet_xr.sweep": (
                ("-c", "import prophet_xr; prophet_xr.sweep"),
                None,
            ),
            "prophet-xr --help": (("-m", "prophet_xr", "--help"), None),
            "prophet-xr fit": (("-m", "prophet_xr", "fit", "--model", "mixtral-8x7b"), None),
            "prophet-xr study, warm": (study, None),
        }
        start = sweeps.time.perf_counter()
        subprocess.run([sys.executable, *study], check=True, capture_output=True, env=cold)
        yield row("prophet-xr study, cold", f"{sweeps.time.perf_counter() - start:.2f}")
        for title, (arguments, env) in rows.items():
            seconds = sweeps.median(
                lambda a=arguments, e=env: subprocess.run(
                    [sys.executable, *a], check=True, capture_output=True, env=e
                ),
                3,
            )
            yield row(title, f"{seconds:.2f}")
    files = sorted((HERE.parent / "data" / "configs").glob("*.json"))
    took = sweeps.median(lambda: [reader.read_config(file) for file in files])
    yield row(f"import of {len(files)} config.json", f"{took:.3f}")


if __name__ == "__main__":
    main()
