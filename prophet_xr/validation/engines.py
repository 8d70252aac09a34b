"""Memory that serving engines log, and decode steps of large systems: predicted and measured."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr import catalogue
from prophet_xr.grid import inputs, sweep
from prophet_xr.registry import LABELLED
from prophet_xr.validation.measured import folder, read

GIB = 2**30
MEMORY = (
    *("fixed_memory", "expert_memory", "kv_per_token", "kv_budget"),
    *("concurrent_sequences", "kv_capacity", "sequence_memory"),
)
STEP = ("step_time", "memory_time", "compute_time", "communication_time", "fixed_time")


def rows() -> list[dict]:
    """Every logged row."""
    return read("engine_logs")["rows"]


def cell(given: Mapping[str, object], names: tuple[str, ...]) -> xr.Dataset:
    """Sweep one configuration of a log; its model by label, or by a config kept beside the logs."""
    chosen = dict(given)
    own = folder() / "configs" / f"{chosen['model']}.json"
    if own.exists():
        chosen["model"] = catalogue.spec_from_config(own, str(chosen["model"]))
    start = {"batch": 1, "policy": "baseline", "routing": "uniform"}
    named = {k: v for k, v in {**start, **chosen}.items() if k in LABELLED}
    others = {k: v for k, v in {**start, **chosen}.items() if k not in LABELLED}
    return sweep(inputs(**named, **others), list(names))  # pyright: ignore[reportArgumentType]


def memory() -> pd.DataFrame:
    """Rows in scope: weights, bytes per token and room for the KV cache, with their ratios.

    Sequences of the asked context are compared where layers keep unlike numbers of tokens, bytes
    per token elsewhere: there a log's tokens have one meaning.
    """
    found = []
    for row in rows():
        if "inputs" not in row:
            continue
        made = cell(row["inputs"], MEMORY)
        line = {
            "row": row["id"],
            "model": row["model"],
            "engine": f"{row['engine']} {row['version']}",
            "inputs": row["inputs"],
            "usable": made.usable_memory.item() / GIB,
        }
        if row["weights_gib"] and "weights_out" not in row:
            weights = (made.fixed_memory + made.expert_memory).item() / GIB
            line |= {"weights": row["weights_gib"], "weights_ratio": weights / row["weights_gib"]}
        if row["kv_gib"] and "kv_out" not in row and row["kv_gib"] > 0:
            line |= _tokens(row, made)
        if row.get("budget"):
            line |= {"kv": row["kv_gib"], "kv_predicted": made.kv_budget.item() / GIB}
        found.append(line)
    return pd.DataFrame(found)


def _tokens(row: Mapping, made: xr.Dataset) -> dict[str, float]:
    """What the logged pool holds, by tokens or by sequences, predicted over logged."""
    pool = row["kv_gib"] * GIB
    if made.state_layers.item() or made.windowed_layers.item():
        if not row["concurrency"]:
            return {}
        holds = pool / made.sequence_memory.item()
        return {
            "logged": row["concurrency"],
            "holds": holds,
            "kv_ratio": holds / row["concurrency"],
        }
    if not row["tokens"]:
        return {}
    holds = pool / made.kv_per_token.item()
    return {"logged": row["tokens"], "holds": holds, "kv_ratio": holds / row["tokens"]}


def left_out() -> pd.DataFrame:
    """Rows, and parts of rows, that are not compared, with the reason."""
    lines = []
    for row in rows():
        for key, part in (("out", "all"), ("weights_out", "weights"), ("kv_out", "KV cache")):
            if key in row:
                lines.append([row["id"], row["model"], part, row[key]])
    return pd.DataFrame(lines, columns=["row", "model", "not compared", "why"])


def exchanges() -> pd.DataFrame:
    """All-to-all times of expert parallelism, from the formulas and the H800's numbers [us]."""
    lines = []
    for row in read("multi_gpu")["deepep_low_latency"]:
        n = row["ep"]
        for part, widths in (("dispatch", (1.0, 0.0)), ("combine", (0.0, 2.0))):
            given = {
                **{"model": "deepseek-v3-671b", "gpu": "H800", "plan": f"dp{n}-ep{n}"},
                **{"batch": 128 * n, "context": 1, "precision": "fp8"},
                **{"dispatch_width": widths[0], "combine_width": widths[1]},
            }
            made = cell(given, ("dispatch_time", "dispatch_latency", "exchanges"))
            spent = made.dispatch_time.item() / made.exchanges.item()
            predicted = 1e6 * (
                spent - made.dispatch_latency.item()
            )  # the other way has a floor too
            measured = row[f"{part}_us"]
            lines.append([n, part, measured, predicted, predicted / measured])
    return pd.DataFrame(lines, columns=["ranks", "part", "measured", "predicted", "ratio"])


def collectives() -> pd.DataFrame:
    """Bus bandwidth and floor of all-reduces: what the catalogue has of a card against each row."""
    cards = {"a100_dgx": "A100-80GB", "h100_dgx": "H100-80GB"}
    cards |= {"a100_pairwise_nvlink": "A100-80GB-PCIe", "h100_pairwise_nvlink": "H100-80GB-PCIe"}
    lines = []
    for row in read("multi_gpu")["collectives"]:
        given = {"model": "mixtral-8x7b", "gpu": cards[row["system"]], "plan": f"tp{row['gpus']}"}
        made = cell(given, ("tensor_rate", "tensor_latency"))
        rate, floor = made.tensor_rate.item() / 1e9, 1e6 * made.tensor_latency.item()
        lines.append([row["system"], row["gpus"], row["busbw_gbs"], rate, row["small_us"], floor])
    heads = ["system", "GPUs", "bus GB/s", "catalogue GB/s", "small us", "catalogue us"]
    return pd.DataFrame(lines, columns=heads)


def decode() -> pd.DataFrame:
    """Decode steps with expert parallelism [ms], by part, and predicted over measured."""
    lines = []
    for row in read("multi_gpu")["decode"]:
        names = ("gpu", "plan", "batch", "context", "redundant_experts")
        given = {n: row[n] for n in names} | {"model": "deepseek-v3-671b", "precision": "fp8"}
        made = cell(given, STEP)
        parts = [
            1e3 * made[n].item() for n in ("memory_time", "compute_time", "communication_time")
        ]
        total = 1e3 * made.step_time.item()
        measured = row["measured_ms"]
        lines.append([row["name"], measured, total, *parts, total / measured, row["source"]])
    heads = [
        "system",
        "measured",
        "predicted",
        "memory",
        "arithmetic",
        "exchange",
        "ratio",
        "source",
    ]
    return pd.DataFrame(lines, columns=heads)


def configs() -> list[Path]:
    """Configs kept beside the logs, of models that the catalogue does not have."""
    return sorted((folder() / "configs").glob("*.json"))
