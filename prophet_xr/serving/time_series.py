"""What is written down while the server runs: time by batch, and series over time.

A series has as many bins as its array has rows; when they are full, each two become one.
"""

from prophet_xr.serving.jit import part

TIME, BATCH, QUEUE, USED, BUDGET, EXPERTS = range(6)


@part
def fold(state, series):
    """Merge bins by two, each then being twice as wide."""
    half = series.shape[0] // 2
    for n in range(2 * half):
        for m in range(series.shape[1]):
            both = series[2 * n, m] + series[2 * n + 1, m] if n < half else 0.0
            series[n, m] = both
    state.width *= 2.0
    state.bin //= 2


@part
def write(state, service, work, duration):
    """Write down that the server stays as it is for a while, from now."""
    batch = state.running
    work.batch_time[batch] += duration
    state.queued += duration * state.waiting
    if state.used > 0:
        state.peak = max(state.peak, state.used / service.budget[batch])
    left, now = duration, state.now - state.began
    while left > 0.0:
        if state.bin == work.series.shape[0]:
            fold(state, work.series)
        room = (state.bin + 1) * state.width - now
        part = min(left, room)
        if part > 0.0:
            row = work.series[state.bin]
            row[TIME] += part
            row[BATCH] += part * batch
            row[QUEUE] += part * state.waiting
            row[USED] += part * state.used
            row[BUDGET] += part * service.budget[batch]
            row[EXPERTS] += part * service.experts[batch]
        if left < room:
            break
        left -= part
        now += part
        state.bin += 1
