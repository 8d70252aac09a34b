"""What is recorded while a server runs: the time spent at each batch, and series over time.

In comes how long the server stays as it is; out go, in the arrays of `state.SchedulerArrays`, the
seconds by number of running sequences, and the integrals over each bin of time of what is plotted.

How long a run takes is not known before it ends.  So the series has a fixed number of bins that
begin narrow; when all are full, each two become one of twice the width, and recording goes on in
the second half.  Memory is that of the bins however long the run is, and the integrals stay exact.
"""

from prophet_xr.serving.jit import inlined

COLUMNS = range(6)  # of a series: seconds recorded in the bin, and integrals over them
TIME, BATCH, WAITING, KV_USED, KV_BUDGET, EXPERT_MEMORY = COLUMNS


@inlined
def merge_bins(state, series):
    """Make one bin of each two, of twice the width."""
    half = series.shape[0] // 2
    for bin in range(2 * half):
        for column in range(series.shape[1]):
            total = series[2 * bin, column] + series[2 * bin + 1, column] if bin < half else 0.0
            series[bin, column] = total
    state.bin_width *= 2.0
    state.bin //= 2


@inlined
def record(state, tables, arrays, duration):
    """Record that the server stays as it is for ``duration`` [s], from now on.

    Reads the running and waiting sequences and the KV cache in use from ``state``; adds to
    ``batch_time`` and ``series`` of ``arrays``, and to the integrals of ``state``.
    """
    batch = state.running
    arrays.batch_time[batch] += duration
    state.waiting_integral += duration * state.waiting
    if state.kv_used > 0:
        state.kv_peak = max(state.kv_peak, state.kv_used / tables.kv_budget[batch])
    left, elapsed = duration, state.now - state.first_arrival
    while left > 0.0:
        if state.bin == arrays.series.shape[0]:
            merge_bins(state, arrays.series)
        until_bin_ends = (state.bin + 1) * state.bin_width - elapsed
        seconds = min(left, until_bin_ends)
        if seconds > 0.0:
            row = arrays.series[state.bin]
            row[TIME] += seconds
            row[BATCH] += seconds * batch
            row[WAITING] += seconds * state.waiting
            row[KV_USED] += seconds * state.kv_used
            row[KV_BUDGET] += seconds * tables.kv_budget[batch]
            row[EXPERT_MEMORY] += seconds * tables.expert_memory[batch]
        if left < until_bin_ends:
            break
        left -= seconds
        elapsed += seconds
        state.bin += 1
