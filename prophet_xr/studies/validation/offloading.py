"""Time per token of offloading engines: predicted against measured, by class of engine."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from prophet_xr.studies.validation.measured import predict, read_measured
from prophet_xr.studies.validation.routing import model_parameters

# What an offload row does not state and its time hardly depends on: no KV cache, no other weights.
_NOTHING = dict.fromkeys(
    (
        *("shared_parameters", "router_parameters", "dense_parameters", "state_space_parameters"),
        *("norm_parameters", "embedding_parameters", "lookup_parameters", "encoder_parameters"),
        *("kv_full", "kv_windowed", "kv_window", "kv_cross", "state_size"),
    ),
    0.0,
)
WIDTH = 2.0  # B per parameter; the rows give bytes, so the width cancels


def _cell(row: Mapping, kind: Mapping) -> dict[str, float]:
    """One measured system as inputs: its sizes, its rates and the constants of its class."""
    return {
        **_NOTHING,
        "attention_parameters": row["fixed_memory"] / WIDTH,
        "expert_parameters": row["expert_size"] / WIDTH,
        "moe_layers": row["layers"],
        "decode_moe_layers": row["layers"],
        **{n: row[n] for n in ("n_experts", "top_k", "memory_rate")},
        **{n: kind[n] for n in ("copy_latency", "software_floor")},
    }


def _resident(row: Mapping, share: float) -> dict[str, float]:
    """Slots at which the share of requests already resident is ``share``, without any law."""
    return {"cache_slots": share * row["n_experts"], "reuse_strength": 0.0}


def fetched(kinds: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Engines that fetch experts: s per token with the stated hit rate, and with the cache law.

    ``kinds`` may judge a class by the constants of another.
    """
    data = read_measured("offload")
    rows = data["rows"]
    kind = [data["kinds"][(kinds or {}).get(r["kind"], r["kind"])] for r in rows]
    cells = [
        {**_cell(r, k), "host_link_rate": r["host_link_rate"], **_resident(r, r["hit_rate"])}
        for r, k in zip(rows, kind, strict=True)
    ]
    frame = _frame(rows, predict(cells, "step_time", policy="lru"), [r["step_time"] for r in rows])
    known = [i for i, r in enumerate(rows) if r["slots"] is not None]
    laws = model_parameters()
    law = [
        {
            **cells[i],
            "cache_slots": rows[i]["slots"],
            **{n: laws[rows[i]["label"]][n] for n in ("reuse_strength", "reuse_exponent")},
        }
        for i in known
    ]
    frame["by_law"] = np.nan
    frame.loc[known, "by_law"] = predict(law, "step_time", policy="lru")
    return frame


def computed() -> pd.DataFrame:
    """Engines that compute on the host what is not resident."""
    data = read_measured("cpu_compute")
    kind = data["kinds"]["cpu"]
    rows = [
        {**r, "kind": "cpu", "system": "llama.cpp", "gpu": f"RTX 5090, {r['host']}"}
        | {"hit_rate": r["resident"]}
        for r in data["rows"]
    ]
    cells = [
        {**_cell(r, kind), "host_memory_rate": r["host_memory_rate"], **_resident(r, r["resident"])}
        for r in rows
    ]
    found = predict(cells, "step_time", policy="cpu_compute")
    return _frame(rows, found, [1 / r["throughput"] for r in rows])


def _frame(rows: list[dict], found: np.ndarray, seen: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame["predicted"] = found
    frame["measured"] = seen
    frame["ratio"] = frame["predicted"] / frame["measured"]
    return frame


def factor(ratios: pd.Series) -> pd.Series:
    """How many times off, in either direction."""
    return ratios.where(ratios >= 1, 1 / ratios)
