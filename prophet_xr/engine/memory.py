"""Memory for what one nest passes on to the next, kept from call to call.

Comes in: shapes and types of arrays.  Goes out: arrays over one block of memory, each beginning
with a cache line.

The first write to new memory costs a page fault for every 4 KiB, which took a third of the time of
a reduction of 10^7 cells.  So a call leaves its block to the next call, unless it is larger than
the limit.  Only one block is kept: a call that finds none, as another thread has it, makes its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod

import numpy as np

CACHE_LINE = 64  # bytes; a fact of the machine

ArrayType = tuple[tuple[int, ...], np.dtype]  # shape and type of the elements

_spare: list[np.ndarray] = []


def aligned_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Take new memory that begins with a cache line: no vector of a row then lies across two."""
    size = prod(shape) * dtype.itemsize
    block = np.empty(size + CACHE_LINE, np.uint8)
    start = -block.ctypes.data % CACHE_LINE
    return block[start : start + size].view(dtype).reshape(shape)


def _block(size: int) -> np.ndarray:
    return aligned_array((size,), np.dtype(np.uint8))


class Memory:
    """One block of memory, from which all arrays of a slab are taken.

    ``limit`` is how much of it is kept between calls, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._use(_block(0))

    def _use(self, block: np.ndarray) -> None:
        self._block = block
        self._types: Mapping[str, ArrayType] = {}
        self._arrays: dict[str, np.ndarray] = {}

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Use the block of an earlier call meanwhile, and leave it to a later one."""
        try:
            self._use(_spare.pop())
        except IndexError:  # the first call, or another thread has it
            self._use(_block(self._limit))
        try:
            yield
        finally:
            if self._block.size <= self._limit:
                _spare[:] = [self._block]
            self._use(_block(0))

    def arrays(self, types: Mapping[str, ArrayType]) -> dict[str, np.ndarray]:
        """Arrays of the given shapes and types.

        The same ones again if the same are asked for; else the next call overwrites them.
        """
        if types != self._types:
            self._types, self._arrays = types, self._laid_out(types)
        return self._arrays

    def _laid_out(self, types: Mapping[str, ArrayType]) -> dict[str, np.ndarray]:
        """Arrays one behind the other, in a larger block if they need it."""
        spans, end = {}, 0
        for name, (shape, dtype) in types.items():
            spans[name] = slice(end, end + prod(shape) * dtype.itemsize)
            end = -(-spans[name].stop // CACHE_LINE) * CACHE_LINE
        if self._block.size < end:
            self._block = _block(end)
        return {
            name: self._block[spans[name]].view(dtype).reshape(shape)
            for name, (shape, dtype) in types.items()
        }
