"""What the compiled scheduler reads and writes: requests, numbers of the server, and its arrays.

In comes a load and a server's tables; out go the ordered `Requests`, an empty `STATE` record and
the `SchedulerArrays`, all allocated before the scheduler starts.  Numbers that change in a step are
fields of one record, so that a function can change them in place.

A running sequence occupies a slot, of which there are as many as the server runs sequences.  While
it decodes, it gets one token in every step.  So its KV cache holds the tokens "step less origin",
where the origin is the step at which, counted back, it would have held none; nothing per sequence
is touched in a step in which it neither ends nor begins a block of another size.
"""

from typing import NamedTuple

import numpy as np

from prophet_xr.serving.event_queue import NONE, TimingWheel
from prophet_xr.serving.server_tables import ServerTables
from prophet_xr.serving.step_time import PARTS
from prophet_xr.serving.time_series import COLUMNS

WHEEL_LISTS = 4096  # an event due later than so many steps ahead is passed by in its list
FIRST_BIN_WIDTH = 1e-3  # s
FIRST_TOKEN, LAST_TOKEN = 0, 1  # rows of `SchedulerArrays.token_times`
REJECTIONS = ("admitted", "longer_than_context", "never_fits")  # by code

STATE = np.dtype(
    [
        *((name, "f8") for name in ("first_arrival", "now", "last_finish", "bin_width")),
        ("waiting_integral", "f8"),  # request x s, of all who wait, also after preemption
        ("first_wait_sum", "f8"),  # s, from arrival to the first step of each request
        ("kv_peak", "f8"),  # largest share of its budget that the KV cache took
        *((name, "i8") for name in ("step", "bin")),
        ("next_request", "i8"),  # the next to arrive
        *((name, "i8") for name in ("waiting", "running", "decoding")),  # sequences
        ("kv_used", "i8"),  # B
        ("cached_tokens", "i8"),  # of the sequences that decode
        ("partial_slot", "i8"),  # of the one prompt that is partly computed, or NONE
        ("partial_tokens", "i8"),  # of it that are computed
        *((name, "i8") for name in ("prefilled_slot_count", "free_slot_count")),
        # of this step: budget of tokens that is left; chunks of prompts, their tokens, the contexts
        # that they reach, and the pairs of tokens that attend to each other; preemptions
        *((name, "i8") for name in ("tokens_left", "chunks", "chunk_tokens", "chunk_contexts")),
        *((name, "i8") for name in ("attended_pairs", "step_preemptions")),
        # of the run: requests, then tokens
        *((name, "i8") for name in ("finished", "preemptions", "waiting_max")),
        *((name, "i8") for name in ("recomputed", "prefilled", "decoded", "generated")),
    ],
    align=True,
)


class Requests(NamedTuple):
    """A load as the scheduler takes it, by request in order of arrival.

    ``arrival`` [s], ``prompt`` and ``output`` [token]; ``rank``, the place in the order of service,
    and ``request_of_rank``, its inverse; ``rejection``, a code of `REJECTIONS`.
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    rank: np.ndarray
    request_of_rank: np.ndarray
    rejection: np.ndarray


class SchedulerArrays(NamedTuple):
    """What the compiled scheduler fills.

    By request: ``token_times`` (first and last token, request) [s], NaN before; ``generated``,
    tokens so far, NONE before its first step.
    By slot: ``request_of_slot``; ``rank_of_slot``, NONE if the slot is free; ``origin`` [step], see
    above; ``next_block_bytes`` [B], what its next block takes.
    By step modulo the tokens of a block: ``bytes_due`` [B], what the blocks take that decoding
    sequences begin in such a step.
    Stacks: ``waiting_heap`` (ranks), ``free_slots``, ``prefilled_slots`` (prompts that this step
    completes); their lengths are in `STATE`.
    Of the run: ``batch_time`` (running sequences) [s] and ``series`` (bin, column), see
    `time_series`.  ``wheel`` holds by slot its end, then by slot the change of its block size;
    ``step_parts`` is scratch memory of `step_time`.
    """

    token_times: np.ndarray
    generated: np.ndarray
    waiting_heap: np.ndarray
    request_of_slot: np.ndarray
    rank_of_slot: np.ndarray
    origin: np.ndarray
    next_block_bytes: np.ndarray
    bytes_due: np.ndarray
    free_slots: np.ndarray
    prefilled_slots: np.ndarray
    wheel: TimingWheel
    batch_time: np.ndarray
    series: np.ndarray
    step_parts: np.ndarray


def empty_state(tables: ServerTables, first_arrival: float) -> np.record:
    """Numbers of an idle server, at the first arrival [s]."""
    state = np.zeros(1, STATE).view(np.recarray)[0]
    state.first_arrival = state.now = state.last_finish = first_arrival
    state.bin_width, state.partial_slot = FIRST_BIN_WIDTH, NONE
    state.free_slot_count = tables.max_sequences
    return state


def empty_wheel(events: int) -> TimingWheel:
    """A timing wheel for events from 0 to ``events`` - 1, of which none is due."""
    lengths = (WHEEL_LISTS, events, events, events)
    return TimingWheel(*(np.full(length, NONE, np.int64) for length in lengths))


def empty_arrays(tables: ServerTables, requests: int, bins: int) -> SchedulerArrays:
    """Arrays of an idle server for a number of requests, with series of so many bins."""
    slots = tables.max_sequences
    return SchedulerArrays(
        token_times=np.full((2, requests), np.nan),
        generated=np.full(requests, NONE, np.int64),
        waiting_heap=np.zeros(requests, np.int64),
        request_of_slot=np.zeros(slots, np.int64),
        rank_of_slot=np.full(slots, NONE, np.int64),
        origin=np.zeros(slots, np.int64),
        next_block_bytes=np.zeros(slots, np.int64),
        bytes_due=np.zeros(tables.block_tokens, np.int64),
        free_slots=np.arange(slots)[::-1].copy(),
        prefilled_slots=np.zeros(slots, np.int64),
        wheel=empty_wheel(2 * slots),
        batch_time=np.zeros(slots + 1),
        series=np.zeros((bins, len(COLUMNS))),
        step_parts=np.zeros(PARTS),
    )


def ordered_requests(
    arrival: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    priority: np.ndarray | None = None,
) -> Requests:
    """Rank the requests of a load: by priority, the least first, then by arrival.

    None is rejected yet; see `rejections`.
    """
    count = arrival.size
    by_rank = np.arange(count) if priority is None else np.argsort(priority, kind="stable")
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(count)
    kinds = ((arrival, "f8"), (prompt, "i8"), (output, "i8"))
    columns = [np.require(v, dtype, ("C", "W")) for v, dtype in kinds]  # else compiled anew
    rejection = np.zeros(count, np.int8)
    return Requests(*columns, rank=rank, request_of_rank=by_rank, rejection=rejection)


def rejections(tables: ServerTables, prompt: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Code of `REJECTIONS` by request: rejected is what could never be served, even alone.

    ``longer_than_context`` where prompt and output [token] exceed the context limit;
    ``never_fits`` where the KV cache of all but the last token exceeds the budget of one sequence,
    or there is none, as where a policy or plan cannot be.
    """
    tokens = prompt + output
    blocks = (tokens - 1 + tables.block_tokens - 1) // tables.block_tokens
    cache = tables.sequence_bytes[np.minimum(blocks, tables.sequence_bytes.size - 1)]
    budget = tables.kv_budget[1]
    never_fits = (cache > budget) | (budget == 0)
    too_long = tokens > tables.context_limit
    return np.where(too_long, 1, np.where(never_fits, 2, 0)).astype(np.int8)
