"""Cube -> frame, for many GPUs.  A table's name is its file name."""

from collections.abc import Callable, Mapping

import pandas as pd
import xarray as xr

from prophet_xr.cluster import grids, note
from prophet_xr.reduce import names, shown

Cubes = Mapping[str, xr.Dataset]
Table = Callable[[Cubes], pd.DataFrame]
TABLES: dict[str, Table] = {}
CARD, BATCH = "H100-80GB", 64


def table(function: Table) -> Table:
    """List a table under its function's name."""
    TABLES[function.__name__] = function
    return function


@table
def table1_fewest_gpus(cubes: Cubes) -> pd.DataFrame:
    """Fewest GPUs that serve 8,192 tokens of every sequence, with all experts and with Prophet."""
    found = grids.fewest(cubes["scaling"])
    frame = found.sel(gpu=["A100-80GB", "H100-80GB", "RTX-A6000"]).to_dataframe().reset_index()
    wide = frame.pivot_table(
        index=["model", "gpu"], columns=["batch", "policy"], values="min_gpus", sort=False
    )
    wide.columns = [f"batch {int(b)}, {p}" for b, p in wide.columns]
    order = pd.MultiIndex.from_product([grids.LARGE, found.gpu.values], names=["model", "gpu"])
    return wide.reindex([key for key in order if key in wide.index]).reset_index()


@table
def table2_scaling(cubes: Cubes) -> pd.DataFrame:
    """Decode over more H100, batch 64, all experts resident and Prophet, where it fits."""
    cube = cubes["scaling"].sel(gpu=CARD, batch=BATCH)
    cube = cube.assign(scaling_efficiency=grids.efficiency(cube))
    lines = []
    for model in cube.model.values:
        for plan in cube.plan.values:
            for policy in ("baseline", "prophet"):
                cell = cube.sel(model=model, plan=plan, policy=policy)
                if not cell.serves_context:
                    continue
                lines.append(
                    [
                        model,
                        plan,
                        policy,
                        int(cell.n_gpus),
                        shown(cell.expert_memory, "GiB").item(),
                        shown(cell.kv_budget, "GiB").item(),
                        cell.kv_capacity.item(),
                        shown(cell.step_time, "ms").item(),
                        cell.throughput_per_gpu.item(),
                        cell.scaling_efficiency.item(),
                        shown(cell.communication_share, "%").item(),
                    ]
                )
    heads = ["model", "plan", "policy", "GPUs", "experts [GiB/GPU]", "KV budget [GiB/GPU]"]
    heads += ["KV tokens of the system", "step [ms]", "tokens/s/GPU", "efficiency", "exchange [%]"]
    return pd.DataFrame(lines, columns=heads)


@table
def table3_exchange(cubes: Cubes) -> pd.DataFrame:
    """Share of a step in which eight GPUs exchange, by card and batch, all experts resident [%]."""
    cube = cubes["scaling"].sel(policy="baseline", plan=["tp8", "dp8-ep8"])
    share = shown(cube.communication_share, "%")
    lines = []
    for model, title in zip(cube.model.values, names(cube), strict=True):
        for plan in cube.plan.values:
            for gpu in cube.gpu.values:
                row = share.sel(model=model, plan=plan, gpu=gpu)
                lines.append([title, plan, gpu, *row.values])
    heads = [f"batch {b:g}" for b in cube.batch.values]
    return pd.DataFrame(lines, columns=["model", "plan", "gpu", *heads])


@table
def table4_systems(cubes: Cubes) -> pd.DataFrame:
    """The study's four systems by its own rule and by physics."""
    rule, physics = note.both(cubes)
    cell = cubes["systems"]
    lines = []
    for system in rule.system.values:
        own, true = rule.sel(system=system), physics.sel(system=system)
        here = cell.sel(system=system)
        lines.append(
            [
                system,
                own.baseline_throughput.item(),
                own.prophet_throughput.item(),
                own.multi_gpu_speedup.item(),
                bool(here.serves_context.sel(policy="baseline")),
                true.baseline_throughput.item(),
                true.prophet_throughput.item(),
                true.multi_gpu_speedup.item(),
                true.baseline_communication.item(),
                shown(here.link_traffic.sel(policy="prophet"), "GB").item(),
            ]
        )
    heads = ["system", "rule: baseline [tokens/s]", "rule: Prophet [tokens/s]", "rule: speed-up"]
    heads += ["baseline fits", "baseline [tokens/s]", "Prophet [tokens/s]", "speed-up"]
    heads += ["exchange, baseline [%]", "Prophet, host link [GB/step/GPU]"]
    return pd.DataFrame(lines, columns=heads)


@table
def table5_claims(cubes: Cubes) -> pd.DataFrame:
    """Every claim of the multi-GPU note: published, by its own rule, by physics."""
    return note.verdicts(*note.both(cubes))
