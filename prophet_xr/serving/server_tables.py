"""The cube as a scheduler reads it: what a step takes, and how much KV cache there is room for.

In come inputs, as `inputs` returns them, and the longest request of the loads; out go cubes over
the number of running sequences, from which `ServerCubes.at` cuts the arrays of one server.  A
server is one configuration of the inputs: one model on one GPU under one policy and plan.

A scheduler asks for the time of millions of steps, each of another batch and context: too many to
evaluate the metrics for each.  So the parts of a step's time are tabulated on a grid, dense where
batches and prompts are small; `step_time` interpolates between its points.  KV memory is counted
in whole bytes, each block rounded up, so that sums are exact.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from prophet_xr.checks import CONTINUOUS, check
from prophet_xr.errors import InputError
from prophet_xr.grid import sweep

OTHER_TIMES = (
    *("fixed_time", "prefetch_time", "fetch_time"),
    *("host_read_time", "host_arithmetic_time", "spared_time"),
)
STEP_PARTS = ("compute_time", "memory_time", *OTHER_TIMES)
BATCH_METRICS = (  # what a simulation gives by batch
    *("resident_experts", "expert_memory", "kv_budget", "kv_extension", "expert_savings"),
    "expert_savings_fraction",
)
LIMITS = ("max_sequences", "max_batched_tokens", "context", "data_degree")
LIMITS_PER_DATA_RANK = ("max_sequences", "max_batched_tokens")  # of an engine; ranks add up
GRID_DIMS = ("batch", "prompt_tokens", "context", "prompt_context")
BLOCKS = "blocks"
_WINDOW = 128.0  # token; the shortest sliding window there is, and others are powers of 2 of it
LARGEST_BUDGET = 2.0**62  # B, of what 64-bit integers can hold


class ServerTables(NamedTuple):
    """One server, as the compiled scheduler reads it.

    Parts of a step's time [s]: ``compute_time`` (batch, prompt tokens, context, prompt context),
    ``memory_time`` (batch, prompt tokens, context), ``other_times`` (batch, prompt tokens, part),
    part as in `OTHER_TIMES`; their grids [token] are ``prompt_tokens``, ``contexts`` and
    ``prompt_contexts``.  By running sequences, from 0: where they lie in the grid of batches, as
    ``batch_point`` below and ``batch_gap_share`` of the gap above it; ``kv_budget`` and
    ``expert_memory`` [B].  By KV blocks of one sequence, from 0: ``sequence_bytes`` [B].
    Limits: ``block_tokens`` of a KV block, ``max_sequences`` that run, ``max_tokens`` of a step,
    and ``context_limit``, prompt and output of one request [token].
    """

    compute_time: np.ndarray
    memory_time: np.ndarray
    other_times: np.ndarray
    batch_point: np.ndarray
    batch_gap_share: np.ndarray
    prompt_tokens: np.ndarray
    contexts: np.ndarray
    prompt_contexts: np.ndarray
    kv_budget: np.ndarray
    expert_memory: np.ndarray
    sequence_bytes: np.ndarray
    block_tokens: int
    max_sequences: int
    max_tokens: int
    context_limit: int


class ServerCubes(NamedTuple):
    """Every server of some inputs.

    ``by_batch`` holds `BATCH_METRICS` (batch, ...), ``step_parts`` `STEP_PARTS` [s] on the dims of
    the grid and others, ``sequence_memory`` [B] (blocks, ...); ``limits`` the numbers that bound a
    server.  ``sizes`` are the dims by which servers differ.
    """

    by_batch: xr.Dataset
    step_parts: xr.Dataset
    sequence_memory: xr.DataArray
    limits: dict[str, xr.DataArray]
    sizes: dict[str, int]

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Positions along ``sizes``, one server each."""
        return np.ndindex(*self.sizes.values())

    def at(self, position: tuple[int, ...]) -> ServerTables:
        """Cut out the tables of one server."""
        index = dict(zip(self.sizes, position, strict=True))
        limits = {name: float(_cell(array, index)) for name, array in self.limits.items()}
        slots = int(limits["max_sequences"])
        grid = {name: self.step_parts[name].values.astype(float) for name in GRID_DIMS}
        others = [_part(self.step_parts, name, index, GRID_DIMS[:2]) for name in OTHER_TIMES]
        point, gap_share = batch_points(grid["batch"], slots)
        memory = _cell(self.by_batch.expert_memory, index)[:slots]
        return ServerTables(
            compute_time=_part(self.step_parts, "compute_time", index, GRID_DIMS),
            memory_time=_part(self.step_parts, "memory_time", index, GRID_DIMS[:3]),
            other_times=np.ascontiguousarray(np.stack(others, -1)),
            batch_point=point,
            batch_gap_share=gap_share,
            prompt_tokens=grid["prompt_tokens"],
            contexts=grid["context"],
            prompt_contexts=grid["prompt_context"],
            kv_budget=_idle_first(
                whole_budget(_cell(self.by_batch.kv_budget, index)[:slots] * limits["data_degree"])
            ),
            expert_memory=_idle_first(memory),
            sequence_bytes=whole_bytes(_cell(self.sequence_memory, index)),
            block_tokens=int(limits["page_tokens"]),
            max_sequences=slots,
            max_tokens=int(limits["max_batched_tokens"]),
            context_limit=int(limits["context"]),
        )


def server_cubes(inputs: xr.Dataset, longest: int) -> ServerCubes:
    """Sweep what a scheduler needs of every server.

    Parameters
    ----------
    inputs
        What `inputs` returns, with a serving runtime.
    longest
        Prompt and output of the longest request [token].

    Raises
    ------
    InputError
        As `sweep` does, for a dim of batch, context or prompt, for more than one token a step and
        sequence, and for a runtime that batches no prompts.
    """
    base = _without_load(inputs)
    limits = {name: base[name] for name in LIMITS}
    limits |= {name: base[name] * base.data_degree for name in LIMITS_PER_DATA_RANK}
    slots, tokens = (int(limits[name].max()) for name in LIMITS_PER_DATA_RANK)
    longest = max(min(longest, int(base.context.max())), 2)
    by_batch = sweep(base.assign_coords(batch=np.arange(1.0, slots + 1.0)), BATCH_METRICS)
    step_parts = _step_parts(base, slots, tokens, longest)
    limits["page_tokens"], sequence_memory = _sequence_memory(base, longest)
    arrays = [sequence_memory, *limits.values()]
    arrays += [by_batch[name] for name in BATCH_METRICS] + [step_parts[name] for name in STEP_PARTS]
    dims = {dim for array in arrays for dim in array.dims} - {*GRID_DIMS, BLOCKS}
    sizes = {str(dim): size for dim, size in inputs.sizes.items() if dim in dims}
    return ServerCubes(by_batch, step_parts, sequence_memory, limits, sizes)


def _without_load(inputs: xr.Dataset) -> xr.Dataset:
    """Inputs without what the load decides; InputError for what no simulation can take."""
    check(inputs, ["tokens", *LIMITS])
    base = inputs.drop_vars(("batch", "prompt_tokens", "prompt_context"), errors="ignore")
    for axis in GRID_DIMS:
        if axis in base.dims:
            raise InputError(
                f"inputs vary along {axis}, which the load decides; expected one value of context "
                f"per model, and no dim of batch or prompt"
            )
    if (base.tokens != 1).any():
        raise InputError(f"tokens={float(base.tokens.max()):g}; expected 1, plain decoding")
    few = (base.max_batched_tokens < 2) | (base.max_batched_tokens < base.max_sequences)
    if few.any():
        raise InputError(
            f"max_batched_tokens={float(base.max_batched_tokens.min()):g} of the runtime is below "
            "what its sequences decode; expected a serving runtime, such as runtime='vllm'"
        )
    return base


def _step_parts(base: xr.Dataset, slots: int, tokens: int, longest: int) -> xr.Dataset:
    """`STEP_PARTS` on the grid, up to so many sequences, prompt tokens and tokens of context."""
    contexts = np.r_[1.0, powers(_WINDOW, longest, 2.0)]  # linear below and between windows
    # the last prompts of the grid lie between whole numbers of tokens: it is linear there anyway
    prompts = xr.Variable("prompt_tokens", prompt_grid(tokens), {CONTINUOUS: 1})
    grid = {"batch": batch_grid(slots), "prompt_tokens": prompts}
    grid |= {"context": contexts, "prompt_context": contexts}
    return sweep(base.drop_vars("context").assign_coords(grid), list(STEP_PARTS))


def _sequence_memory(base: xr.Dataset, longest: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Tokens of a KV block, and the memory of one sequence [B] by blocks, from 1."""
    alone = base.assign(batch=1.0)
    block_tokens = sweep(alone, ["page_tokens"]).page_tokens
    blocks = np.arange(1.0, np.ceil(longest / float(block_tokens.min())) + 1.0)
    context = block_tokens * xr.DataArray(blocks, dims=BLOCKS)
    memory = sweep(alone.assign(context=context), ["sequence_memory"]).sequence_memory
    return block_tokens, memory


def _cell(array: xr.DataArray, index: dict[str, int]) -> np.ndarray:
    """Values at one position, along the dims that the position does not name."""
    return array.variable.isel({dim: i for dim, i in index.items() if dim in array.dims}).values


def _part(
    step_parts: xr.Dataset, name: str, index: dict[str, int], dims: tuple[str, ...]
) -> np.ndarray:
    """One part of the step time of one server, on all ``dims`` also where it is constant."""
    array = step_parts[name].variable
    array = array.isel({dim: i for dim, i in index.items() if dim in array.dims})
    full = array.set_dims({dim: step_parts.sizes[dim] for dim in dims}).transpose(*dims)
    return np.ascontiguousarray(full.values)


def _idle_first(values: np.ndarray) -> np.ndarray:
    """Values by 1, 2 ... sequences -> by 0, 1, 2 ...; an idle server keeps what one needs."""
    return np.r_[values[:1], values]


def whole_budget(budget: np.ndarray) -> np.ndarray:
    """KV budget [B] by 1, 2 ... sequences, in whole bytes; 0 where there is none.

    It never grows with the sequences: a step in which one ends can then never run out of it.
    """
    bounded = np.clip(np.nan_to_num(budget, nan=0.0), 0.0, LARGEST_BUDGET)
    return np.minimum.accumulate(np.floor(bounded).astype(np.int64))


def whole_bytes(sizes: np.ndarray) -> np.ndarray:
    """Sizes [B] of a sequence of 1, 2 ... blocks -> of 0, 1, 2 ..., each block rounded up."""
    block_sizes = np.diff(np.r_[0.0, np.nan_to_num(sizes, nan=0.0)])
    return np.r_[0, np.cumsum(np.ceil(np.round(block_sizes, 3)).astype(np.int64))]


def batch_grid(slots: int) -> np.ndarray:
    """All batches up to 32, then in steps of 4 %, the last of them ``slots``; at least two."""
    last = max(slots, 2)
    tall = np.round(32.0 * 1.04 ** np.arange(400))
    grid = np.unique(np.r_[np.arange(1.0, 33.0), tall])
    return np.r_[grid[grid < last], float(last)]


def prompt_grid(tokens: float) -> np.ndarray:
    """All prompts up to 16 tokens, then in steps of 40 % until one reaches ``tokens``."""
    return np.r_[np.arange(16.0), powers(16.0, tokens, 2**0.5)]


def powers(first: float, last: float, ratio: float) -> np.ndarray:
    """Powers of a ratio times ``first``, until one reaches ``last``; at least two."""
    steps = np.ceil(np.log(max(last / first, ratio)) / np.log(ratio) - 1e-9)
    return first * ratio ** np.arange(steps + 1.0)


def batch_points(grid: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Where 0 ... ``slots`` sequences lie in a grid: the point below, and the share of the gap."""
    batches = np.arange(slots + 1.0)
    point = np.clip(np.searchsorted(grid, batches, "right") - 1, 0, grid.size - 2)
    gap_share = (batches - grid[point]) / (grid[point + 1] - grid[point])
    return point.astype(np.int64), np.clip(gap_share, 0.0, 1.0)
