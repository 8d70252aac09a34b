"""The engine against what else fills a grid: a plain fill, numpy, xarray, a Python loop, xyzpy.

All in one run, as medians; what numpy and xarray compute is checked to be equal.
"""

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import xarray as xr

import prophet_xr as px
from prophet_xr import kernels, registry
from prophet_xr.engine.run import cores

METRICS = ["exposed_time", "step_time", "slowdown", "throughput"]
LOWER = [
    *("prefetch_time", "fetch_time", "gpu_time", "memory_slack"),
    *("host_compute_time", "spared_time"),
]
FIELDS = ["batch", "tokens"]
OVER = ["batch", "context", "hit_rate", "dedup_exponent"]
STATS = ["mean", "min", "max", "argmax", "count"]


def grid(batches=24, contexts=16, hits=20, exponents=10):
    """Inputs on six axes and the policy; 9.8 million cells by default."""
    return px.inputs(
        batch=np.arange(1, batches + 1),
        context=np.geomspace(1024, 131072, contexts).round(),
        hit_rate=np.linspace(0.5, 1.0, hits),
        dedup_exponent=np.linspace(0.8, 1.0, exponents),
    )


def cells(data):
    """Cells of a metric that varies over every axis."""
    return int(np.prod([data.sizes[d] for d in ("policy", "model", "gpu", *OVER)]))


def median(action, repeats=5):
    """Median seconds of an action, after one run to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# --- What else there is ----------------------------------------------------------------------


def fill(arrays):
    """Write arrays with every core, nothing else."""
    parts = [part for a in arrays for part in np.array_split(a.reshape(-1), cores())]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda part: part.fill(1.0), parts))


def by_hand(values, baseline):
    """Compute the four metrics from those of fewer axes, with whatever array type they are."""
    v = values
    exposed = np.maximum(0.0, v["prefetch_time"] - v["gpu_time"]) + v["fetch_time"]
    host = v["host_compute_time"] - np.minimum(v["spared_time"], v["memory_slack"])
    step = v["gpu_time"] + exposed + host
    served = v["batch"] * v["tokens"]
    return {
        "exposed_time": exposed,
        "step_time": step,
        "slowdown": step / baseline(step),
        "throughput": served / step,
    }


def as_numpy(lower, dims):
    """Arrays that broadcast against each other: size 1 along the dims they have not."""
    found = {}
    for name in (*LOWER, *FIELDS):
        own = lower[name].transpose(*dims, missing_dims="ignore")
        sizes = dict(own.sizes)
        found[name] = own.values.reshape([sizes.get(d, 1) for d in dims])
    return found


def loop(data, count):
    """Evaluate cell by cell in plain Python into a data frame, as the study did; seconds a cell."""
    axes = ["policy", "model", "gpu", *OVER]
    places = itertools.islice(itertools.product(*(range(data.sizes[d]) for d in axes)), count)
    rows = {n: v for n, v in data.variables.items() if v.dtype.kind in "iuf"}
    start = time.perf_counter()
    table = [one_cell(rows, dict(zip(axes, place, strict=True))) for place in places]
    pd.DataFrame(table)
    return (time.perf_counter() - start) / len(table)


def one_cell(rows, at):
    """Every metric that the four need, of one cell and of its baseline."""
    chosen = []
    for policy in (0, at["policy"]):
        here = {**at, "policy": policy}
        own = {n: v.values[tuple(here[d] for d in v.dims)].item() for n, v in rows.items()}
        base = chosen[0] if chosen else own
        for q in registry.metrics():
            if q.name in NEEDED:
                given = [
                    base[registry.quantity_of(n)] if registry.is_baseline(n) else own[n]
                    for n in q.inputs
                ]
                own[q.name] = getattr(kernels, q.name)(*given)
        chosen.append(own)
    return {n: chosen[1][n] for n in METRICS}


def combos(data, count):
    """The same cells through xyzpy; seconds a cell, or None where it is not installed."""
    try:
        import xyzpy
    except ImportError:
        return None
    rows = {n: v for n, v in data.variables.items() if v.dtype.kind in "iuf"}
    axes = ["policy", "model", "gpu", *OVER]

    def cell(**at):
        return tuple(one_cell(rows, at).values())

    sizes = dict.fromkeys(axes, 1) | {"dedup_exponent": 10, "batch": 10, "context": count // 100}
    runner = xyzpy.Runner(cell, METRICS)
    start = time.perf_counter()
    runner.run_combos({d: list(range(n)) for d, n in sizes.items()}, verbosity=0)
    return (time.perf_counter() - start) / np.prod(list(sizes.values()))


NEEDED = registry.required(METRICS)


# --- Rows of the table -----------------------------------------------------------------------


def fills(data):
    """Rows (what, seconds, values, bytes) of everything that fills four arrays of full rank."""
    count = cells(data) * len(METRICS)
    lower = px.sweep(data, LOWER)
    cube = px.sweep(data, METRICS)
    dims = cube.step_time.dims
    narrow = px.sweep(data, METRICS, dtype="float32")
    _same(cube, by_hand(lower, lambda a: a.sel(policy="baseline")))
    flat = as_numpy(lower, dims)
    shape = cube.step_time.shape
    wide = [cube[n].values for n in METRICS]
    thin = [narrow[n].values for n in METRICS]
    rows = [
        ("fill, arrays reused", lambda: fill(wide), 8),
        ("engine, arrays reused", lambda: px.sweep(data, METRICS, out=cube), 8),
        ("fill float32, reused", lambda: fill(thin), 4),
        (
            "engine float32, reused",
            lambda: px.sweep(data, METRICS, dtype="float32", out=narrow),
            4,
        ),
        ("fill, fresh arrays", lambda: fill([np.empty(shape) for _ in METRICS]), 8),
        ("engine, fresh arrays", lambda: px.sweep(data, METRICS), 8),
        ("engine float32, fresh", lambda: px.sweep(data, METRICS, dtype="float32"), 4),
        ("numpy broadcasting", lambda: by_hand(flat, lambda a: a[:1]), 8),
        ("xarray broadcasting", lambda: by_hand(lower, lambda a: a.sel(policy="baseline")), 8),
    ]
    return [(what, median(action), count, count * size) for what, action, size in rows]


def _same(cube, found):
    for name, values in found.items():
        want = cube[name]
        np.testing.assert_allclose(values.transpose(*want.dims), want, rtol=1e-12)


def folded(data):
    """Statistics of arrays that are never stored."""
    return px.summarize(data, METRICS, OVER, STATS)


def stored(data):
    """Statistics as one would without `summarize`."""
    cube = px.sweep(data, METRICS)
    return [getattr(cube[n], stat)(OVER) for n in METRICS for stat in STATS]


def reductions(data):
    """Rows of the same statistics with and without storing the arrays."""
    count = cells(data) * len(METRICS)

    rows = [
        ("summarize", lambda: folded(data)),
        ("sweep, then xarray", lambda: stored(data)),
    ]
    return [(what, median(action, 3), count, 8 * count) for what, action in rows]


HEADLINES = [
    *("kv_extension", "max_context", "total_memory", "step_time"),
    *("throughput", "slowdown", "feasible_hit_rate", "link_utilization"),
]


def draws(count):
    """Inputs on the policy, models, GPUs and draws of four others at random."""
    random = np.random.default_rng(0)
    drawn = {
        "batch": random.integers(1, 65, count),
        "context": random.integers(1024, 131072, count),
        "hit_rate": random.uniform(0.5, 1.0, count),
        "dedup_exponent": random.uniform(0.8, 1.0, count),
    }
    return px.inputs(**{n: xr.DataArray(v.astype(float), dims="draw") for n, v in drawn.items()})


def queries():
    """Questions to a grid of 10**8 cells, with their cells and seconds."""
    data = grid(batches=122, exponents=20)
    rows = {
        "summarize: mean": lambda: px.summarize(data, "step_time", OVER, "mean"),
        "summarize: quantiles": lambda: px.summarize(data, "step_time", OVER, "quantile"),
        "solve: along the batch": lambda: px.solve(data, "slowdown", target=1.5, along="batch"),
        "cheapest: step time over GPU and batch": lambda: px.cheapest(
            data, ["gpu", "batch"], cost="step_time"
        ),
        "frontier: three objectives": lambda: px.frontier(
            data, maximise="throughput", minimise=["total_memory", "step_time"]
        ),
        "frontier: two, for each model": lambda: px.frontier(
            data, maximise="throughput", minimise="exposed_time", keep="model"
        ),
    }
    return [(what, cells(data), median(action, 3)) for what, action in rows.items()]


def call():
    """Seconds of a reduction of nothing but the policy, models and GPUs."""
    data = grid(batches=1, contexts=1, hits=1, exponents=1)
    return median(lambda: folded(data), 99)


def growth():
    """Cells and seconds of two reductions, from 10**6 to 10**9 cells.

    Of cells on many axes, where most is evaluated once for many cells; and of draws, where every
    cell is evaluated for itself.
    """
    for batches in (1, 12, 122, 1221):
        data = grid(batches=batches, exponents=20)
        yield "axes", cells(data), median(lambda d=data: folded(d), 9 if batches < 100 else 3)
    for count in (7_813, 78_125, 781_250, 7_812_500):
        data = draws(count)
        seconds = median(
            lambda d=data: px.summarize(d, HEADLINES, "draw", STATS), 9 if count < 100_000 else 3
        )
        yield "draws", int(np.prod(list(data.sizes.values()))), seconds
