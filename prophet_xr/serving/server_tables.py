"""The cube as a scheduler reads it: how long a step takes, and how much KV cache there is room for.

A step's time is put together from its parts, as the physics does it: the parts are tabulated, being
smooth where their sum has kinks, and are linear between the points of the table.  KV memory is
counted in whole bytes, each block rounded up, so that sums are exact.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from prophet_xr.checks import CONTINUOUS, check
from prophet_xr.errors import InputError
from prophet_xr.grid import sweep

COMPUTE, MEMORY = "compute_time", "memory_time"
OTHERS = (
    *("fixed_time", "prefetch_time", "fetch_time"),
    *("host_read_time", "host_arithmetic_time", "spared_time"),
)
TABLES = (  # what a simulation gives by batch
    *("resident_experts", "expert_memory", "kv_budget", "kv_extension", "expert_savings"),
    "expert_savings_fraction",
)
LIMITS = ("max_sequences", "max_batched_tokens", "context", "data_degree")
BY_RANK = ("max_sequences", "max_batched_tokens")  # an engine has them of each data rank
AXES = ("batch", "prompt_tokens", "context", "prompt_context")
BLOCKS = "blocks"
WINDOW = 128.0  # token; the shortest sliding window there is, and others are powers of 2 of it


class Service(NamedTuple):
    """One configuration, as the kernel takes it.

    ``compute`` [s] on the grids of (batch, prompt tokens, context, prompt context), ``memory`` [s]
    without the last of them, ``others`` [s] (batch, prompt tokens, part); ``low`` and ``share``
    place a number of sequences in the grid of batches.  ``budget`` [B] and ``experts`` [B] by
    sequences, ``held`` [B] by blocks of one sequence.
    """

    compute: np.ndarray
    memory: np.ndarray
    others: np.ndarray
    low: np.ndarray
    share: np.ndarray
    prompts: np.ndarray
    contexts: np.ndarray
    prompt_contexts: np.ndarray
    budget: np.ndarray
    experts: np.ndarray
    held: np.ndarray
    block: int
    max_sequences: int
    max_tokens: int
    max_context: int


class Services(NamedTuple):
    """Every configuration of some inputs: the cube by batch, its other dims, what to serve with."""

    tables: xr.Dataset
    limits: dict[str, xr.DataArray]
    parts: xr.Dataset
    held: xr.DataArray
    sizes: dict[str, int]

    def cells(self) -> Iterator[tuple[int, ...]]:
        """Positions along `sizes`, one configuration each."""
        return np.ndindex(*self.sizes.values())

    def at(self, cell: tuple[int, ...]) -> Service:
        """Gather one configuration."""
        here = dict(zip(self.sizes, cell, strict=True))
        limits = {n: float(_pick(v, here)) for n, v in self.limits.items()}
        slots = int(limits["max_sequences"])
        room = _pick(self.tables.kv_budget, here)[:slots] * limits["data_degree"]
        whole = np.floor(np.clip(np.nan_to_num(room, nan=0.0), 0.0, 2.0**62)).astype(np.int64)
        # never more room with more sequences: a step that ends one can then never run out of it
        budget = np.minimum.accumulate(whole)
        experts = _pick(self.tables.expert_memory, here)[:slots]
        others = [_table(self.parts, n, here, AXES[:2]) for n in OTHERS]
        low, share = places(self.parts.batch.values, slots)
        return Service(
            compute=_table(self.parts, COMPUTE, here, AXES),
            memory=_table(self.parts, MEMORY, here, AXES[:3]),
            others=np.ascontiguousarray(np.stack(others, -1)),
            low=low,
            share=share,
            prompts=self.parts.prompt_tokens.values.astype(float),
            contexts=self.parts.context.values.astype(float),
            prompt_contexts=self.parts.prompt_context.values.astype(float),
            budget=np.r_[budget[:1], budget],  # an idle server keeps what one sequence needs
            experts=np.r_[experts[:1], experts],
            held=whole_bytes(_pick(self.held, here)),
            block=int(limits["page_tokens"]),
            max_sequences=slots,
            max_tokens=int(limits["max_batched_tokens"]),
            max_context=int(limits["context"]),
        )


def services(data: xr.Dataset, longest: int) -> Services:
    """Sweep what a scheduler needs of every configuration.

    Parameters
    ----------
    data
        What `inputs` returns.
    longest
        Tokens of the longest request [token].

    Raises
    ------
    InputError
        As `sweep` does, and as said in `simulate`.
    """
    base = _base(data)
    limits = {n: base[n] for n in LIMITS}
    limits |= {n: limits[n] * base.data_degree for n in BY_RANK}
    slots, tokens = (int(limits[n].max()) for n in BY_RANK)
    longest = max(min(longest, int(base.context.max())), 2)
    batches = np.arange(1.0, slots + 1.0)
    tables = sweep(base.assign_coords(batch=batches), TABLES)
    rising = np.r_[1.0, powers(WINDOW, longest, 2.0)]  # linear below and between windows
    # the last prompts of the table lie between whole numbers of tokens: it is linear there anyway
    prompts = xr.Variable("prompt_tokens", prompt_grid(tokens), {CONTINUOUS: 1})
    grids = {"batch": batch_grid(slots), "prompt_tokens": prompts}
    grids |= {"context": rising, "prompt_context": rising}
    names = [COMPUTE, MEMORY, *OTHERS]
    parts = sweep(base.drop_vars("context").assign_coords(grids), names)
    one = base.assign(batch=1.0)
    pages = sweep(one, ["page_tokens"]).page_tokens
    blocks = np.arange(1.0, np.ceil(longest / float(pages.min())) + 1.0)
    context = pages * xr.DataArray(blocks, dims=BLOCKS)
    held = sweep(one.assign(context=context), ["sequence_memory"]).sequence_memory
    limits["page_tokens"] = pages
    sizes = {}
    for array in (*(tables[n] for n in TABLES), *(parts[n] for n in names), held, *limits.values()):
        sizes |= {str(d): n for d, n in array.sizes.items() if d not in (*AXES, BLOCKS)}
    ordered = {str(d): sizes[str(d)] for d in data.dims if d in sizes}
    return Services(tables, limits, parts, held, ordered)


def _base(data: xr.Dataset) -> xr.Dataset:
    """Inputs without a batch; InputError for what no simulation can take."""
    check(data, ["tokens", *LIMITS])
    base = data.drop_vars(("batch", "prompt_tokens", "prompt_context"), errors="ignore")
    for axis in AXES:
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


def _pick(array: xr.DataArray, here: dict[str, int]) -> np.ndarray:
    return array.variable.isel({d: i for d, i in here.items() if d in array.dims}).values


def _table(parts: xr.Dataset, name: str, here: dict[str, int], axes: tuple) -> np.ndarray:
    """One part of one configuration on the axes that it may vary along."""
    array = parts[name].variable.isel({d: i for d, i in here.items() if d in parts[name].dims})
    full = array.set_dims({n: parts.sizes[n] for n in axes}).transpose(*axes)
    return np.ascontiguousarray(full.values)


def whole_bytes(sizes: np.ndarray) -> np.ndarray:
    """Bytes of a sequence of 0, 1, 2 ... blocks, each block rounded up to whole bytes."""
    steps = np.diff(np.r_[0.0, np.nan_to_num(sizes, nan=0.0)])
    return np.r_[0, np.cumsum(np.ceil(np.round(steps, 3)).astype(np.int64))]


def batch_grid(slots: int) -> np.ndarray:
    """All batches up to 32, then in steps of 4 %, the last of them ``slots``."""
    tall = np.round(32.0 * 1.04 ** np.arange(400))
    grid = np.unique(np.r_[np.arange(1.0, 33.0), tall])
    return np.r_[grid[grid < max(slots, 2)], float(max(slots, 2))]


def prompt_grid(tokens: float) -> np.ndarray:
    """All prompts up to 16 tokens, then in steps of 40 %."""
    return np.r_[np.arange(16.0), powers(16.0, tokens, 2**0.5)]


def powers(first: float, last: float, ratio: float) -> np.ndarray:
    """Powers of a ratio, from the first until one reaches the last; at least two."""
    steps = np.ceil(np.log(max(last / first, ratio)) / np.log(ratio) - 1e-9)
    return first * ratio ** np.arange(steps + 1.0)


def places(grid: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Where 0 ... ``slots`` sequences lie in the grid: the point below, and the share above it."""
    count = np.arange(slots + 1.0)
    low = np.clip(np.searchsorted(grid, count, "right") - 1, 0, grid.size - 2)
    share = (count - grid[low]) / (grid[low + 1] - grid[low])
    return low.astype(np.int64), np.clip(share, 0.0, 1.0)
