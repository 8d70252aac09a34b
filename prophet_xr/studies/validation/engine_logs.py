"""Memory that serving engines log, and decode steps of large systems: predicted and measured."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd
import xarray as xr

from prophet_xr.catalogue import lookup
from prophet_xr.grid import inputs, sweep
from prophet_xr.registry import LABELLED
from prophet_xr.studies.validation.measured import measured_folder, read_measured

GIB = 2**30
_MEMORY = (
    *("fixed_memory", "expert_memory", "kv_per_token", "kv_budget", "table_memory"),
    *("page_size", "page_tokens", "page_groups", "sequence_pages"),
)
_STEP = (
    "step_time",
    "memory_time",
    "compute_time",
    "communication_time",
    "exchanges",
    "rank_batch",
)
_SHOWN = {
    **{
        (False, False): "shows neither bytes nor tokens",
        (True, True): "no pool: less than nothing",
    },
    **{(True, False): "shows bytes but no tokens", (False, True): "shows tokens but no bytes"},
}
LOW_LATENCY = 128  # tokens of a rank for which DeepEP's kernels were timed


def log_rows() -> list[dict]:
    """Every logged row."""
    return read_measured("engine_logs")["rows"]


def log_cell(given: Mapping[str, object], names: tuple[str, ...]) -> xr.Dataset:
    """Sweep one configuration of a log; its model by label, or by a config kept with the logs."""
    chosen = dict(given)
    own = measured_folder() / "configs" / f"{chosen['model']}.json"
    if own.exists():
        chosen["model"] = lookup.spec_from_config(own, str(chosen["model"]))
    start = {"batch": 1, "policy": "baseline", "routing": "uniform"}
    named = {k: v for k, v in {**start, **chosen}.items() if k in LABELLED}
    others = {k: v for k, v in {**start, **chosen}.items() if k not in LABELLED}
    return sweep(inputs(**named, **others), list(names))  # pyright: ignore[reportArgumentType]


def memory_rows() -> pd.DataFrame:
    """Rows in scope: weights, and room for the KV cache, logged and predicted [GiB]."""
    found = []
    for row in log_rows():
        if "inputs" not in row:
            continue
        made = log_cell(row["inputs"], _MEMORY)
        line = {**_about(row), "usable": made.usable_memory.item() / GIB}
        if row["weights_gib"] and "weights_out" not in row:
            weights = (made.fixed_memory + made.expert_memory).item() / GIB
            line |= {"weights": row["weights_gib"], "weights_predicted": weights}
        if row.get("budget"):
            logged = row["kv_gib"] or row["tokens"] * made.kv_per_token.item() / GIB
            line |= {"kv": logged, "kv_predicted": made.kv_budget.item() / GIB}
        found.append(line)
    frame = pd.DataFrame(found)
    return frame.assign(weights_ratio=frame.weights_predicted / frame.weights)


def _about(row: Mapping) -> dict:
    engine = f"{row['engine']} {row['version']}"
    own = {"row": row["id"], "model": row["model"], "engine": engine, "inputs": row["inputs"]}
    return {**own, "held": bool(row.get("held"))}


def pools() -> pd.DataFrame:
    """What the logged KV pools hold, in tokens or in sequences, logged and predicted."""
    found = []
    for row in log_rows():
        if "inputs" in row and "kv_out" not in row and _pool(row):
            made = log_cell(row["inputs"], _MEMORY)
            for what, logged, holds in _holds(row, made):
                found.append({**_about(row), "what": what, "logged": logged, "holds": holds})
    frame = pd.DataFrame(found)
    return frame.assign(ratio=frame.holds / frame.logged)


def _pool(row: Mapping) -> float:
    """Logged KV pool [GiB], 0 where a log has none, or nothing to compare it with."""
    known = row["tokens"] or row["concurrency"]
    return max(0.0, row["kv_gib"] or row.get("drop_gib") or 0.0) if known else 0.0


def _holds(row: Mapping, made: xr.Dataset) -> Iterator[tuple[str, float, float]]:
    """Numbers of a log that count its pool, each with what the pool holds by the formulas.

    Where a log has tokens of a hybrid, it is their definition that ``by_groups`` tells.
    """
    pool = _pool(row) * GIB
    if "drop_gib" in row:
        pool -= made.table_memory.item()
    if made.block_size.item() <= 1:
        yield "tokens", row["tokens"], pool / made.kv_per_token.item()
        return
    pages, groups = pool // made.page_size.item(), made.page_groups.item()
    at_once = pages / made.sequence_pages.item()
    if row["tokens"] and (row.get("by_groups") or groups == 1):
        yield "tokens", row["tokens"], pages // groups * made.page_tokens.item()
    elif row["tokens"]:
        yield "tokens", row["tokens"], at_once * made.context.item()
    if row["concurrency"] and groups > 1:
        yield "sequences", row["concurrency"], at_once


def left_out() -> pd.DataFrame:
    """Rows, and parts of rows, that are not compared, with the reason."""
    lines = []
    for row in log_rows():
        for part, why in _reasons(row).items():
            lines.append([row["id"], row["model"], part, why])
    return pd.DataFrame(lines, columns=["row", "model", "not compared", "why"])


def _reasons(row: Mapping) -> dict[str, str]:
    if "out" in row:
        return {"all": row["out"]}
    found = {}
    if "weights_out" in row or not row["weights_gib"]:
        found["weights"] = row.get("weights_out", "not in what the log shows")
    if "kv_out" in row or not _pool(row):
        found["KV cache"] = row.get("kv_out", _SHOWN[bool(row["kv_gib"]), bool(row["tokens"])])
    return found


def exchange_rows() -> pd.DataFrame:
    """All-to-all times of expert parallelism, from the formulas and the H800's numbers [us]."""
    lines = []
    for row in read_measured("multi_gpu")["deepep_low_latency"]:
        n = row["ep"]
        for part, widths in (("dispatch", (1.0, 0.0)), ("combine", (0.0, 2.0))):
            given = {
                **{"model": "deepseek-v3-671b", "gpu": "H800", "plan": f"dp{n}-ep{n}"},
                **{"batch": 128 * n, "context": 1, "precision": "fp8"},
                **{"dispatch_width": widths[0], "combine_width": widths[1]},
            }
            made = log_cell(given, ("dispatch_time", "dispatch_latency", "exchanges"))
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
    for row in read_measured("multi_gpu")["collectives"]:
        given = {"model": "mixtral-8x7b", "gpu": cards[row["system"]], "plan": f"tp{row['gpus']}"}
        made = log_cell(given, ("tensor_rate", "tensor_latency"))
        rate, floor = made.tensor_rate.item() / 1e9, 1e6 * made.tensor_latency.item()
        lines.append([row["system"], row["gpus"], row["busbw_gbs"], rate, row["small_us"], floor])
    heads = ["system", "GPUs", "bus GB/s", "catalogue GB/s", "small us", "catalogue us"]
    return pd.DataFrame(lines, columns=heads)


def decode_rows() -> pd.DataFrame:
    """Decode steps with expert parallelism [ms], predicted and measured, and by which part.

    Measured exchange is that of DeepEP's kernels at the nearest number of ranks, by tokens of a
    rank and layers; what is left of the measured step is all else.
    """
    lines = []
    for row in read_measured("multi_gpu")["decode"]:
        names = ("gpu", "plan", "batch", "context", "redundant_experts")
        given = {n: row[n] for n in names} | {"model": "deepseek-v3-671b", "precision": "fp8"}
        made = log_cell(given, _STEP)
        total, exchange = (1e3 * made[n].item() for n in ("step_time", "communication_time"))
        kernels = _kernels(made)
        rest, left = total - exchange, row["measured_ms"] - kernels
        lines.append(
            {
                "system": row["name"],
                "measured": row["measured_ms"],
                "predicted": total,
                "ratio": total / row["measured_ms"],
                "exchange, measured": kernels,
                "exchange, predicted": exchange,
                "all else, measured": left,
                "all else, predicted": rest,
                "of it memory": 1e3 * made.memory_time.item(),
                "arithmetic": 1e3 * made.compute_time.item(),
                "source": row["source"],
            }
        )
    return pd.DataFrame(lines)


def _kernels(made: xr.Dataset) -> float:
    """Exchange of a step by the measured kernels [ms]."""
    ranks = made.expert_degree.item()
    timed = read_measured("multi_gpu")["deepep_low_latency"]
    nearest = min(timed, key=lambda row: abs(math.log(row["ep"] / ranks)))
    both = 1e-3 * (nearest["dispatch_us"] + nearest["combine_us"])
    return made.exchanges.item() * both * made.rank_batch.item() / LOW_LATENCY
