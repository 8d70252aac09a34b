"""The sweeps behind the tables, figures and verdicts on many GPUs."""

import numpy as np
import xarray as xr

from prophet_xr.catalogue.plans import USUAL
from prophet_xr.grid import inputs, sweep
from prophet_xr.reporting.listing import Sweeps
from prophet_xr.studies.multi_gpu import published_note

SWEEPS = Sweeps()
_LARGE = [  # the study's models from 132 billion parameters on, smallest first
    *("dbrx-132b", "mixtral-8x22b", "qwen3-235b-a22b", "deepseek-v2-236b", "grok-1-314b"),
    *("jamba-1.5-large", "snowflake-arctic-480b", "deepseek-v3-671b"),
]
CARDS = ["A100-80GB", "A100-80GB-PCIe", "H100-80GB", "RTX-A6000", "L40S"]
_KEPT = [
    *("n_gpus", "plan_reason", "fixed_memory", "expert_memory", "predictor_memory", "kv_memory"),
    *("activation_memory", "non_torch_memory", "reserved_memory", "kv_budget", "serves_context"),
    *("kv_capacity", "concurrent_sequences", "gpu_time", "communication_time", "step_time"),
    *("communication_share", "link_traffic", "throughput", "throughput_per_gpu", "total_memory"),
    *("kv_extension", "unique_experts", "rank_unique_experts", "memory_budget", "reason"),
    "exchange_traffic",
    *("rank_resident_experts", "expert_savings", "table_memory", "pool_memory"),
]


@SWEEPS.saved
def scaling() -> xr.Dataset:
    """Every large model on 1 to 64 GPUs, the whole batch fixed: memory, steps, exchange."""
    return sweep(
        inputs(
            model=_LARGE,
            gpu=CARDS,
            plan=USUAL,
            batch=[1, 16, 64, 1024],
            context=8192,
            policy=["baseline", "prophet"],
            runtime="vllm",
            routing="zipf",
        ),
        _KEPT,
    )


@SWEEPS.saved
def systems() -> xr.Dataset:
    """The study's four systems by physics."""
    return systems_by_physics(published_note.note_rows())


@SWEEPS.saved
def doubled() -> xr.Dataset:
    """The study's four systems by physics, with twice the GPUs."""
    source = published_note.note_rows()
    return systems_by_physics(source.assign(gpus=2 * source.gpus))


@SWEEPS.part
def note_numbers(systems: xr.Dataset, doubled: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The numbers of the study's note, by its rule and by physics."""
    return published_note.both(systems, doubled)


def systems_by_physics(rows: xr.Dataset) -> xr.Dataset:
    """The study's four systems by physics: its 128 experts of 2 GB, one sequence a GPU.

    The experts stand in the 32 layers of Mixtral-8x7B, whose other parts are kept; four are
    routed per token, as the note's 8 GB per token say; each rank holds experts of its own.
    Reads   gpu, gpus (system); expert_size, experts of the rule
    """
    cells = []
    for system in rows.system.values:
        row = rows.sel(system=system)
        n = int(row.gpus)
        data = inputs(
            model="mixtral-8x7b",
            gpu=str(row.gpu.item()),
            plan=f"dp{n}-ep{n}",
            batch=n,
            context=4096,
            n_experts=float(rows.experts),
            top_k=4,
            cache_slots=4,
            expert_parameters=float(rows.expert_size) / 2 / 32,
            gpu_price=float(row.price) / 3600 / n,
            routing="uniform",
        )
        cells.append(sweep(data, [*_KEPT, "token_cost"]).drop_vars(["gpu", "plan"]))
    joined = xr.concat(cells, "system")
    return joined.assign_coords(system=rows.system.values)


def fewest(cube: xr.Dataset) -> xr.DataArray:
    """GPUs of the smallest plan that serves the context; NaN where none does.

    Reads serves_context, n_gpus (plan, ...).
    """
    least = cube.n_gpus.where(cube.serves_context).min("plan")
    return least.rename("min_gpus").assign_attrs(long_name="Fewest GPUs", units="1")


def best(cube: xr.Dataset) -> xr.Dataset:
    """Of the plans of as many GPUs that serve the context, the one with most tokens per second.

    Reads   throughput_per_gpu, serves_context, n_gpus (plan, ...) and what else varies by plan
    Returns it on dim gpus in place of plan, NaN where no plan serves; ``plan`` (gpus, ...), its
            label; scaling_efficiency, tokens per second and GPU over those at the fewest GPUs.
    """
    varied = cube[[n for n in _KEPT if "plan" in cube[n].dims]]
    picked: list[xr.Dataset] = []
    for count in np.unique(cube.n_gpus):
        own = varied.sel(plan=cube.plan[cube.n_gpus == count])
        rate = own.throughput_per_gpu.where(own.serves_context)
        served = rate.notnull().any("plan")
        one = own.isel(plan=rate.fillna(-1.0).argmax("plan"))
        label = one.plan.where(served, "").drop_vars("plan")
        picked.append(one.drop_vars("plan").where(served).assign(plan=label))
    gpus = xr.DataArray(np.unique(cube.n_gpus), dims="gpus", name="gpus")
    made = xr.concat(picked, gpus)
    rate = made.throughput_per_gpu
    first = rate.isel(gpus=rate.notnull().argmax("gpus")).drop_vars("gpus")
    share = (rate / first).rename("scaling_efficiency")
    return made.assign(
        scaling_efficiency=share.assign_attrs(long_name="Scaling efficiency", units="1")
    )
