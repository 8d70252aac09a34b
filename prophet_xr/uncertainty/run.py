"""The files of ``prophet-xr sensitivity``: sweeps, indices, tables, figures and the report."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from prophet_xr import canvas
from prophet_xr.files import write
from prophet_xr.grid import inputs
from prophet_xr.offloading.grids import costs
from prophet_xr.tables import markdown
from prophet_xr.uncertainty import bands, breakeven, grids, local, story, survival
from prophet_xr.uncertainty.conclusions import ranking
from prophet_xr.uncertainty.figures import FIGURES
from prophet_xr.uncertainty.priors import known
from prophet_xr.uncertainty.sampled import sampled
from prophet_xr.uncertainty.tables import TABLES
from prophet_xr.uncertainty.variance import sobol_sweep

REPORT = "WHICH_CONCLUSIONS_SURVIVE.md"
METRICS = {"kv_extension": "fits", "kv_budget": "fits", "step_time": "fits", "slowdown": "fits"}
VALUES = {"hit_rate": [0.994, 0.95, 0.90], "dedup_exponent": [0.932, 0.90, 0.85]}
FACTORS = {"study_activation": [1.0, 0.75, 1.25]}
MOVED = [
    *("dedup_exponent", "hit_rate", "batch", "study_activation", "utilization"),
    *("expert_parameters", "memory_rate", "host_link_rate", "reuse_strength"),
]
Job = tuple[str, Callable[[], None]]


def results() -> dict[str, Any]:
    """Compute all that the files are made from."""
    made: dict[str, Any] = {"assumptions": grids.assumptions(), "costs": costs()}
    made["judged"] = survival.judged(made)
    made["ranking"] = _ranking(made["assumptions"])
    made["tornado"] = _tornado()
    made["elasticities"] = _elasticities()
    wide = grids.wide()
    made["cells"] = _size(wide)
    made["sobol"] = {m: sobol_sweep(wide, m, where=flag) for m, flag in METRICS.items()}
    made["priors"] = {m: _priors(m) for m in ("kv_extension", "slowdown")}
    made["bands"] = {"memory": _memory(), "times": bands.bands(grids.times(), "step_time")}
    made["batch"] = breakeven.batch_of_little_savings()
    made["exponent"] = breakeven.exponent_of_no_fit()
    made["hit"] = breakeven.hit_rate_of_target()
    return made


def _size(data: xr.Dataset) -> int:
    count = 1
    for n in data.sizes.values():
        count *= n
    return count


def _ranking(cube: xr.Dataset) -> xr.Dataset:
    scores = survival.scores(cube)
    found = ranking(scores, "model", grids.BASE)
    parts = [
        ranking(scores.sel(step=[s]), "model", {**grids.BASE, "step": s}) for s in cube.step.values
    ]
    by_step = xr.concat([p["first"] for p in parts], cube.step)
    return found.assign(first_by_step=by_step).assign_coords(model_name=cube.model_name)


def _tornado() -> xr.Dataset:
    """The study's variations of its best model's extension, and of a step of OLMoE-1B-7B."""
    model = grids.SHOWN[0]
    data = inputs("published", model=model)
    asked = ["kv_extension", "max_context"]
    found = local.one_at_a_time(data, asked, VALUES, FACTORS).sel(policy="prophet")
    chosen = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    own = inputs(routing="zipf", staging=40, **chosen)  # 48 of 64 experts are resident
    step = local.one_at_a_time(own, "slowdown", VALUES, FACTORS).sel(policy="prophet")
    cell = {"gpu": "A100-80GB", "batch": 16}
    made = xr.Dataset(
        {
            "mean extension": found.kv_extension.fillna(0.0).mean(["gpu", "batch"]),
            "context at batch 16": found.max_context.sel(cell),
            "slowdown": step.slowdown,
        },
        coords={n: found[n] for n in ("input", "value", "factor")},
    )
    return made.drop_vars([n for n in made.coords if n not in ("input", "value", "factor")])


def _elasticities() -> dict[str, xr.Dataset]:
    """Elasticities in two cells of A100-80GB at batch 4."""
    metrics = ["kv_extension", "max_context", "step_time", "slowdown", "throughput"]
    found = {}
    for study, model in (("published", grids.SHOWN[0]), ("verified", "olmoe-1b-7b")):
        data = inputs(study, model=model, gpu="A100-80GB", batch=4, context=4096)
        made = local.elasticities(data, metrics, MOVED).sel(policy="prophet")
        found[f"{model}, {study}"] = made
    return found


def _priors(metric: str) -> tuple[xr.Dataset, ...]:
    """Exact on a grid of quantiles, then by three methods of sampling."""
    data, own = grids.cell(metric), known(grids.felt(metric))
    count = 16 if len(own) > 4 else 32
    exact = sobol_sweep(grids.prior_grid(metric, count), metric)
    exact = exact.assign_coords(axis=[str(a).removesuffix("_factor") for a in exact.axis.values])
    sizes = {"sobol": 4096, "morris": 512, "pawn": 4096}
    return exact, *(sampled(data, metric, own, how, count=n) for how, n in sizes.items())


def _memory() -> xr.Dataset:
    drawn = grids.memory()
    return bands.bands(drawn, "kv_extension").assign(fits=bands.probability(drawn))


def jobs(out: Path, made: dict[str, Any]) -> list[Job]:
    """List the files: a title and what to call."""
    todo: list[Job] = [(name, partial(_table, made, out, name)) for name in TABLES]
    todo += [(name, partial(_figure, made, out, name)) for name in FIGURES]
    todo.append((REPORT, lambda: write(out / REPORT, story.report(made))))
    return todo


def _table(made: dict[str, Any], out: Path, name: str) -> None:
    frame = TABLES[name](made)
    write(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.6g"))
    write(out / f"{name}.md", markdown(frame))


def _figure(made: dict[str, Any], out: Path, name: str) -> None:
    canvas.save(FIGURES[name](made), out, name)


def run(out: Path, tell: Callable[[str, int], None]) -> None:
    """Compute and write everything; ``tell(title, left)`` hears of each file."""
    tell("sweeping", len(TABLES) + len(FIGURES) + 1)
    todo = jobs(out, results())
    for done, (title, job) in enumerate(todo):
        tell(title, len(todo) - done)
        job()
    tell("done", 0)
