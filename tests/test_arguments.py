"""Whatever is given in place of an argument, the public functions refuse it in one line."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.serving.loads import load

CONFIG = Path(__file__).parent.parent / "data" / "configs" / "olmoe-1b-7b.json"
ONE = {"model": "olmoe-1b-7b", "gpu": "H200", "context": 4096}
DATA = px.inputs(**ONE, batch=[1, 2])
CUBE = px.sweep(DATA, ["step_time", "fits"])
SERVED = px.inputs(**ONE, runtime="vllm")
LOAD = load([0.0, 1.0], [5, 6], [5, 6])
SHARE = xr.DataArray([0.5, 0.5], {"batch": [1, 2]}, ["batch"])

WRONG = {
    "nothing": None,
    "number": 3,
    "text": "text",
    "bytes": b"bytes",
    "list": [1, 2],
    "empty list": [],
    "dict": {},
    "dict of a number": {"batch": 1},
    "cube": CUBE,
    "empty dataset": xr.Dataset(),
    "array": CUBE.step_time,
    "coordinate": CUBE.batch,
    "function": print,
    "class": xr.Dataset,
    "set": {1},
    "numpy array": np.array([1, 2]),
    "object": object(),
}
CALLS = {
    "sweep": {"data": DATA, "metrics": ["step_time"], "dtype": "float64", "out": None},
    "summarize": {"data": DATA, "metrics": "step_time", "over": "batch", "stats": "mean"}
    | {"where": "", "quantiles": (0.5,)},
    "solve": {"data": DATA, "metric": "step_time", "target": 1.0, "along": "batch"}
    | {"method": "linear", "where": ""},
    "frontier": {"data": DATA, "maximise": "throughput", "minimise": "total_memory"}
    | {"keep": (), "where": ""},
    "cheapest": {"data": DATA, "over": "batch", "cost": "usable_memory", "where": ""},
    "min_gpus": {"data": DATA, "where": ""},
    "draws": {"data": DATA, "priors": None, "count": 4, "correlation": None, "seed": 0},
    "sobol": {"values": CUBE.step_time, "over": "batch", "weights": None, "missing": "drop"}
    | {"second_order": True},
    "sobol_sweep": {"data": DATA, "metric": "step_time", "over": "batch", "where": ""}
    | {"weights": None, "missing": "drop", "second_order": True},
    "expected": {"cube": CUBE, "batch_share": SHARE},
    "simulate": {"inputs": SERVED, "load": LOAD, "ttft": 1.0, "tpot": 1.0}
    | {"quantiles": (0.5,), "time_bins": 4},
    "capacity": {"inputs": SERVED, "load": LOAD, "ttft": 1.0, "tpot": 1.0}
    | {"quantile": 0.5, "tolerance": 0.1},
    "save": {"cube": CUBE, "path": "saved.nc"},
    "load": {"path": "cube.nc"},
    "sweep_to": {"data": DATA, "path": "cube.nc", "metrics": ["step_time"], "dtype": "float64"}
    | {"compression": None},
    "extend": {"path": "cube.nc", "data": DATA},
    "spec_from_config": {"config": str(CONFIG), "name": None, "like": None},
    "inputs": {"study": "verified", "model": "olmoe-1b-7b", "gpu": "H200", "batch": 1}
    | {"hit_rate": 0.9, "policy": "prophet", "plan": "tp1", "precision": "bf16"},
}
SUIT = {("cube", "data"), ("cube", "cube"), ("empty dataset", "cube"), ("array", "values")}
SUIT |= {("coordinate", "values")}


def test_every_public_function_is_called_here():
    assert {n for n in px.__all__ if n[0].islower()} == set(CALLS)


def refusal(name, arguments) -> str:
    """Message of the refusal of a call, empty where it is taken."""
    try:
        getattr(px, name)(**arguments)
    except (px.InputError, px.SpecError) as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_argument_is_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "path" in CALLS[name]:
        px.sweep_to(DATA, "cube.nc", ["step_time"], progress=False)
    for argument in CALLS[name]:
        for what, wrong in WRONG.items():
            problem = refusal(name, {**CALLS[name], argument: wrong})
            first = argument == next(iter(CALLS[name]))
            assert problem or not first or (what, argument) in SUIT, (argument, what)
            assert "\n" not in problem
            assert len(problem) < 300, problem


@pytest.mark.parametrize("axis", ["model", "gpu", "policy", "plan", "precision", "runtime"])
@pytest.mark.parametrize("wrong", [CUBE, [CUBE], xr.Dataset(), 7, [None], b"H200", [["H200"]]])
def test_what_is_no_label_is_refused(axis, wrong):
    with pytest.raises(px.InputError, match=rf"{axis}=.* is no label; expected|model row has no"):
        px.inputs(**{axis: wrong})
