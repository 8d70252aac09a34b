"""What the kernel works on: a load, and the state of the server."""

from typing import NamedTuple

import numpy as np

from prophet_xr.serving.event_queue import NONE, Wheel
from prophet_xr.serving.server_tables import Service

LISTS = 4096  # of the wheel; an event further off is passed by once every so many steps
NARROW = 1e-3  # s; width of a bin at first
FIRST, FINISH = 0, 1
CAUSES = ("let_in", "longer_than_context", "never_fits")

STATE = np.dtype(
    [(n, "f8") for n in ("began", "now", "ended", "width", "queued", "waited", "peak")]
    + [(n, "i8") for n in ("step", "next", "waiting", "running", "decoding", "used", "bin")]
    + [("seen", "i8")]  # tokens in the cache, of decoding sequences
    + [(n, "i8") for n in ("partial", "done", "fresh", "free")]  # prompts, and slots
    # of this step: tokens left, prompts that take part, their tokens, contexts and attended tokens
    + [(n, "i8") for n in ("left", "chunks", "chunked", "reached", "pairs", "lost")]
    + [(n, "i8") for n in ("finished", "preemptions", "recomputed", "prefilled", "decoded")]
    + [(n, "i8") for n in ("generated", "queue_max")],
    align=True,
)


class Requests(NamedTuple):
    """A load as the kernel takes it.

    ``turn`` of each request, the least first, and ``whose`` each turn is; ``cause`` is not 0 for
    what is turned away.
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    turn: np.ndarray
    whose: np.ndarray
    cause: np.ndarray


class Work(NamedTuple):
    """What the kernel fills.

    By request: ``times`` (first token, last token) [s] and ``made``, tokens generated so far.  By
    slot, one per running sequence: its request in ``owner`` and that one's ``turn`` (NONE if free),
    ``origin``, the step less the tokens in its cache, and ``growth``, bytes of its next block.
    ``growing``: growth of all that need a block at a step, by step modulo block size.
    """

    times: np.ndarray
    made: np.ndarray
    heap: np.ndarray
    owner: np.ndarray
    turn: np.ndarray
    origin: np.ndarray
    growth: np.ndarray
    growing: np.ndarray
    free: np.ndarray
    fresh: np.ndarray
    wheel: Wheel
    batch_time: np.ndarray
    series: np.ndarray
    parts: np.ndarray


def work(service: Service, count: int, bins: int) -> Work:
    """Allocate what serving so many requests needs."""
    slots = service.max_sequences
    return Work(
        times=np.full((2, count), np.nan),
        made=np.full(count, NONE, np.int64),
        heap=np.zeros(count, np.int64),
        owner=np.zeros(slots, np.int64),
        turn=np.full(slots, NONE, np.int64),
        origin=np.zeros(slots, np.int64),
        growth=np.zeros(slots, np.int64),
        growing=np.zeros(service.block, np.int64),
        free=np.arange(slots)[::-1].copy(),
        fresh=np.zeros(slots, np.int64),
        wheel=Wheel(*(np.full(n, NONE, np.int64) for n in (LISTS, *3 * [2 * slots]))),
        batch_time=np.zeros(slots + 1),
        series=np.zeros((bins, 6)),
        parts=np.zeros(8),
    )


def requests_of(
    arrival: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    priority: np.ndarray | None = None,
) -> Requests:
    """Put a load in order: by priority, the least first, then by arrival; all are let in."""
    whose = np.arange(arrival.size) if priority is None else np.argsort(priority, kind="stable")
    turn = np.empty_like(whose)
    turn[whose] = np.arange(arrival.size)
    kinds = zip((arrival, prompt, output), ("f8", "i8", "i8"), strict=True)
    columns = [np.require(v, dtype, ("C", "W")) for v, dtype in kinds]  # else compiled anew
    return Requests(*columns, turn=turn, whose=whose, cause=np.zeros(arrival.size, np.int8))


def admitted(service: Service, prompt: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Code of `CAUSES` by request; what is turned away could never be served, even alone."""
    total = prompt + output
    blocks = np.minimum((total - 1 + service.block - 1) // service.block, service.held.size - 1)
    room = service.budget[1]  # 0 also where a policy or plan cannot be
    never = (service.held[blocks] > room) | (room == 0)
    return np.where(total > service.max_context, 1, np.where(never, 2, 0)).astype(np.int8)
