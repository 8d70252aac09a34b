"""Cube -> frame, for many GPUs.  A table's name is its file name."""

import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.multi_gpu import published_note, sweeps

_Notes = tuple[xr.Dataset, xr.Dataset]  # by the rule of the note, by physics
TABLES = Listing()
_CARD, _BATCH = "H100-80GB", 16
_POLICIES = {"baseline": "all", "prophet": "Prophet"}


@TABLES.part
def table1_fewest_gpus(scaling: xr.Dataset) -> pd.DataFrame:
    """Fewest GPUs that serve 8,192 tokens of every sequence: all experts resident, and Prophet."""
    found = sweeps.fewest(scaling).sel(gpu=["A100-80GB", "H100-80GB", "RTX-A6000"])
    lines = []
    for model, title in zip(found.model.values, names(scaling), strict=True):
        for gpu in found.gpu.values:
            cells = found.sel(model=model, gpu=gpu)
            pairs = [cells.sel(batch=b, policy=p).item() for b in found.batch for p in _POLICIES]
            lines.append([title, gpu, *pairs])
    heads = [f"batch {b:,.0f}, {_POLICIES[p]}" for b in found.batch.values for p in _POLICIES]
    frame = pd.DataFrame(lines, columns=["model", "gpu", *heads])
    return frame.astype(dict.fromkeys(heads, "Int64"))


@TABLES.part
def table2_scaling(scaling: xr.Dataset) -> pd.DataFrame:
    """Decode over more H100, batch 16: by the best plan of as many GPUs that serves."""
    cube = sweeps.best(scaling.sel(gpu=_CARD, batch=_BATCH))
    lines = []
    for model, title in zip(cube.model.values, names(scaling), strict=True):
        for gpus in cube.gpus.values:
            for policy in _POLICIES:
                cell = cube.sel(model=model, gpus=gpus, policy=policy)
                if cell["plan"] != "":
                    lines.append([title, gpus, _POLICIES[policy], *_scaled(cell)])
    heads = ["model", "GPUs", "policy", "plan", "experts [GiB/GPU]", "freed [GiB of the system]"]
    heads += ["KV tokens of the system", "step [ms]", "tokens/s/GPU", "efficiency", "exchange [%]"]
    return pd.DataFrame(lines, columns=heads)


def _scaled(cell: xr.Dataset) -> list:
    return [
        cell["plan"].item(),
        shown(cell.expert_memory, "GiB").item(),
        cell.n_gpus.item() * shown(cell.expert_savings, "GiB").item(),
        cell.kv_capacity.item(),
        shown(cell.step_time, "ms").item(),
        cell.throughput_per_gpu.item(),
        cell.scaling_efficiency.item(),
        shown(cell.communication_share, "%").item(),
    ]


@TABLES.part
def table3_exchange(scaling: xr.Dataset) -> pd.DataFrame:
    """Share of a step in which eight GPUs exchange, by card and batch, all experts resident [%]."""
    cube = scaling.sel(policy="baseline", plan=["tp8", "dp8-ep8"])
    share = shown(cube.communication_share, "%")
    lines = []
    for model, title in zip(cube.model.values, names(cube), strict=True):
        for plan in cube.plan.values:
            for gpu in cube.gpu.values:
                row = share.sel(model=model, plan=plan, gpu=gpu)
                lines.append([title, plan, gpu, *row.values])
    heads = [f"batch {b:g}" for b in cube.batch.values]
    return pd.DataFrame(lines, columns=["model", "plan", "gpu", *heads])


@TABLES.part
def table4_systems(systems: xr.Dataset, note_numbers: _Notes) -> pd.DataFrame:
    """The study's four systems by its own rule and by physics."""
    rule, physics = note_numbers
    lines = []
    for system in rule.system.values:
        own, true = rule.sel(system=system), physics.sel(system=system)
        cell = systems.sel(system=system)
        lines.append(
            [
                system,
                own.baseline_throughput.item(),
                own.prophet_throughput.item(),
                own.multi_gpu_speedup.item(),
                bool(cell.serves_context.sel(policy="baseline")),
                true.baseline_throughput.item(),
                true.prophet_throughput.item(),
                true.multi_gpu_speedup.item(),
                *(m[f"{p}_cost"].item() for m in (own, true) for p in _POLICIES),
                true.baseline_communication.item(),
                shown(cell.link_traffic.sel(policy="prophet"), "GB").item(),
            ]
        )
    heads = ["system", "rule: all [tokens/s]", "rule: Prophet [tokens/s]", "rule: speed-up"]
    heads += ["all fit", "all [tokens/s]", "Prophet [tokens/s]", "speed-up"]
    heads += [f"{by}{p} [$/1e6 tokens]" for by in ("rule: ", "") for p in _POLICIES.values()]
    heads += ["exchange, all [%]", "Prophet, host link [GB/step/GPU]"]
    return pd.DataFrame(lines, columns=heads)


@TABLES.part
def table5_claims(note_numbers: _Notes) -> pd.DataFrame:
    """Every claim of the multi-GPU note: published, by its own rule, by physics."""
    return published_note.verdicts(*note_numbers)
