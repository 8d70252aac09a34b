"""Inputs and cubes that several test files share."""

import os
import tempfile

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

# Compiled modules of a test run are kept, so that a second run is quick; never the user's own.
os.environ.setdefault("PROPHET_XR_CACHE", os.path.join(tempfile.gettempdir(), "prophet_xr_tests"))
os.environ["PROPHET_XR_CATALOGUE"] = os.path.join(tempfile.gettempdir(), "prophet_xr_no_models")

from prophet_xr import grid
from prophet_xr.engine.limits import Limits, using
from prophet_xr.registry import QUANTITIES

SIZES = {
    "policy": ["baseline", "prophet", "lru"],
    "model": ["a", "b"],
    "gpu": ["x", "y", "z"],
    "batch": [1.0, 16.0, 64.0],
    "context": [128.0, 4096.0],
    "hit_rate": [0.0, 0.5, 1.0],
    "dedup_exponent": [0.5, 0.932],
    "runtime": ["r", "s"],
}


# The first call of compiled code compiles it: how long a test takes says nothing of the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def random_inputs() -> xr.Dataset:
    """Every declared input, at random within its bounds, on eight axes."""
    random = np.random.default_rng(0)
    data = xr.Dataset(coords=SIZES)
    for q in QUANTITIES.values():
        if q.formula or q.name in data.variables or q.name in ("plan", "routing", "precision"):
            continue
        dims = (q.of,) if q.of in data.dims else ()
        low, high = q.bounds
        high = min(high, max(low + 1, 100.0))
        shape = [data.sizes[d] for d in dims]
        values = low + (high - low) * random.random(shape)
        data[q.name] = (dims, np.floor(values) if q.whole else values)
    rows = {"keep_all": [1, 0, 0], "keep_batch": [0, 1, 0], "keep_top_k": [0, 0, 0]}
    rows |= {"keep_slots": [0, 0, 1], "host_compute": [0, 0, 0.3]}
    for name, values in rows.items():
        data[name] = ("policy", np.array(values, float))
    data["nominal_memory"] = ("gpu", [1e8, 2e9, 5e10])
    data["usable_memory"] = ("gpu", [1.1e8, 2.1e9, 5.1e10])
    data["memory_rate"] = ("gpu", [1e9, 2e9, 3e12])
    data["compute_rate"] = ("gpu", [1e11, 2e12, 1e15])
    data["host_link_rate"] = ("gpu", [1e8, 2e8, 1e11])
    data["n_experts"] = ("model", [8.0, 64.0])
    data["top_k"] = ("model", [2.0, 8.0])
    data["cache_slots"] = 16.0  # more than the experts of one model
    data["expert_parameters"] = ("model", [2e5, 3e5])
    data["attention_heads"], data["kv_heads"] = 16.0, ("model", [4.0, 1.0])
    data["n_layers"], data["moe_layers"] = ("model", [9.0, 12.0]), ("model", [8.0, 12.0])
    data["decode_moe_layers"], data["moe_interval"] = data.moe_layers, 1.0
    degrees = {"tensor": 2.0, "pipeline": 2.0, "data": 2.0, "expert": 4.0}
    data = data.assign({f"{name}_degree": n for name, n in degrees.items()})
    data["redundant_experts"] = 2.0
    data["full_layers"] = data["windowed_layers"] = data["state_layers"] = 4.0
    data["attention_parameters"] = ("model", [3e6, 2e8])
    return data.drop_vars("kv_precision", errors="ignore")


@pytest.fixture(scope="session")
def compiled_cube(random_inputs) -> xr.Dataset:
    """The cube of every metric with nothing interpreted."""
    with using(Limits(interpreted_in_all=0, interpreted_below=0)):
        return grid.sweep(random_inputs)


@pytest.fixture(scope="session")
def verified() -> xr.Dataset:
    """The study's grid under the true architectures."""
    return grid.sweep(grid.inputs("verified"))


@pytest.fixture
def small() -> xr.Dataset:
    """Inputs of a few cells."""
    return grid.inputs(model="mixtral-8x7b", gpu="A100-80GB", batch=[1, 4])


@pytest.fixture(scope="session")
def long_axes() -> xr.Dataset:
    """Inputs on axes that do not fit into a row of `pieces`."""
    return grid.inputs(
        model=["mixtral-8x7b", "deepseek-v3-671b", "olmoe-1b-7b"],
        gpu=["A100-80GB", "B200"],
        batch=np.arange(1, 15),
        dedup_exponent=np.linspace(0.8, 1.0, 17),
    )


@pytest.fixture(scope="session")
def pieces():
    """Compile every nest, for short rows, many threads and little memory; or compile none."""

    def limits(*, compiled: bool = True, row: int = 6, memory: int = 3_000, **others):
        if not compiled:
            return using(Limits(interpreted_in_all=10**9))
        never = {"interpreted_in_all": 0, "interpreted_below": 0}
        small = {"threaded_above": 1, "row_cells": row, "accumulated_row_cells": row}
        return using(Limits(kept_memory=memory, **never, **small, **others))

    return limits
