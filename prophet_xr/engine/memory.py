"""Memory for what one nest leaves to the next, kept from call to call: new memory fills slower."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod

import numpy as np

ALIGNED = 64  # bytes of a cache line

Shape = tuple[tuple[int, ...], np.dtype]

_spare: list[np.ndarray] = []


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Take new memory that begins with a cache line: no vector of a row then lies across two."""
    size = prod(shape) * dtype.itemsize
    block = np.empty(size + ALIGNED, np.uint8)
    start = -block.ctypes.data % ALIGNED
    return block[start : start + size].view(dtype).reshape(shape)


def _block(size: int) -> np.ndarray:
    return aligned((size,), np.dtype(np.uint8))


class Memory:
    """One block of memory, from which all arrays of a slab are taken.

    ``limit`` is what is kept of it between calls, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._use(_block(0))

    def _use(self, block: np.ndarray) -> None:
        self._block = block
        self._wanted: Mapping[str, Shape] = {}
        self._taken: dict[str, np.ndarray] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
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

    def arrays(self, wanted: Mapping[str, Shape]) -> dict[str, np.ndarray]:
        """Arrays of the shapes and dtypes that are wanted.

        The same ones again if the same are wanted; else the next call overwrites them.
        """
        if wanted != self._wanted:
            self._wanted, self._taken = wanted, self._arrays(wanted)
        return self._taken

    def _arrays(self, wanted: Mapping[str, Shape]) -> dict[str, np.ndarray]:
        places, end = {}, 0
        for name, (shape, dtype) in wanted.items():
            places[name] = slice(end, end + prod(shape) * dtype.itemsize)
            end = -(-places[name].stop // ALIGNED) * ALIGNED
        if self._block.size < end:
            self._block = _block(end)
        return {
            name: self._block[places[name]].view(dtype).reshape(shape)
            for name, (shape, dtype) in wanted.items()
        }
