"""Servers and loads that the tests of serving share."""

import numpy as np
import xarray as xr

from prophet_xr import serving
from prophet_xr.serving.server_tables import ServerTables, batch_points
from prophet_xr.serving.state import Requests, ordered_requests, rejections

POLICIES = ["baseline", "prophet", "on_demand"]
# a list of models, also of one: loop nests depend on the dims, and one set is then compiled for all
SERVER = {"model": ["qwen3-30b-a3b"], "gpu": "H100-80GB", "runtime": "vllm", "routing": "zipf"}
FEW = {"max_sequences": 4, "max_batched_tokens": 16}  # tables so small that no nest is compiled
TWO_MODELS = {**SERVER, "model": ["qwen3-30b-a3b", "olmoe-1b-7b"]}


def server_tables(
    *, step=1.0, slots=4, tokens=8, block=1, sizes=None, budget=None, random=None
) -> ServerTables:
    """A server whose steps take ``step`` [s], or random times; without limit on memory."""
    batches, contexts = np.arange(1.0, max(slots, 2) + 1.0), np.array([1.0, 64.0, 1024.0])
    shape = (batches.size, 3, 3, 3)
    point, gap_share = batch_points(batches, slots)
    return ServerTables(
        compute_time=np.full(shape, step) if random is None else random.uniform(0.5, 2.0, shape),
        memory_time=np.zeros(shape[:3]) if random is None else random.uniform(0.5, 2.0, shape[:3]),
        other_times=np.zeros((batches.size, 3, 6)),
        batch_point=point,
        batch_gap_share=gap_share,
        prompt_tokens=np.array([0.0, 4.0, float(max(tokens, 5))]),
        contexts=contexts,
        prompt_contexts=contexts,
        kv_budget=np.full(slots + 1, 2**40) if budget is None else budget,
        expert_memory=np.zeros(slots + 1),
        sequence_bytes=np.arange(10_000) if sizes is None else sizes,
        block_tokens=block,
        max_sequences=slots,
        max_tokens=tokens,
        context_limit=10**9,
    )


def admitted_requests(tables: ServerTables, arrival, prompt, output, priority=None) -> Requests:
    """Requests in order, those that never fit being rejected."""
    prompt, output = (np.asarray(values, np.int64) for values in (prompt, output))
    requests = ordered_requests(np.asarray(arrival, float), prompt, output, priority)
    return requests._replace(rejection=rejections(tables, prompt, output))


def random_server(seed: int) -> tuple[ServerTables, Requests, np.ndarray | None]:
    """A server short of memory, a load and its priorities, if any."""
    random = np.random.default_rng(seed)
    slots, block = int(random.integers(1, 7)), int(random.choice([1, 3, 16]))
    tokens = slots + int(random.integers(1, 20))
    count = int(random.integers(1, 25))
    prompt, output = random.integers(1, 40, count), random.integers(1, 60, count)
    block_sizes = random.integers(0, 4, 102).repeat(random.integers(1, 9))[:102]
    sizes = np.r_[0, np.cumsum(block_sizes)]
    top = int(sizes[min(101, 70 // block + 1)] * random.uniform(0.5, 3)) + 1
    budget = np.r_[top, top - np.cumsum(random.integers(0, max(top // 10, 1), slots))]
    limits = {"slots": slots, "tokens": tokens, "block": block}
    memory = {"sizes": sizes, "budget": np.maximum(budget, 1)}
    tables = server_tables(**limits, **memory, random=random)
    arrival = np.sort(random.uniform(0, count * random.uniform(0.1, 40), count))
    priority = random.integers(0, 3, count) if random.random() < 0.5 else None
    return tables, admitted_requests(tables, arrival, prompt, output, priority), priority


def load_of(arrival, prompt, output, **columns) -> xr.Dataset:
    """A load from lists."""
    return serving.load(np.array(arrival, float), np.array(prompt), np.array(output), **columns)


def gap_variation(load: xr.Dataset) -> float:
    """Coefficient of variation of the gaps between requests."""
    gaps = np.diff(load.arrival.values)
    return gaps.std() / gaps.mean()
