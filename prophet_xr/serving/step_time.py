"""How long one step of a server takes, read from its tables.

In come what the step holds (sequences, their mean context, and the prompt tokens of chunked
prefill) and the tables of a server; out goes its duration [s].

The cube's ``step_time`` has kinks where one of its parts overtakes another, such as memory traffic
and arithmetic.  So the parts are tabulated, each being smooth, and are read here by linear
interpolation; then they are put together by the formulas of the physics themselves.
"""

from prophet_xr import kernels
from prophet_xr.serving.jit import inlined

FORMULAS = (
    *(kernels.gpu_time, kernels.memory_slack, kernels.exposed_time),
    *(kernels.host_compute_time, kernels.host_time, kernels.step_time),
)
gpu_time, memory_slack, exposed_time, host_compute_time, host_time, step_time = map(
    inlined, FORMULAS
)
PARTS = 8  # of a step's time: compute, memory, and those of `server_tables.OTHER_TIMES`


@inlined
def locate(grid, value):
    """Where a value lies in a rising grid: the point below it, and the share of the gap above."""
    low, high = 0, grid.size - 2
    while low < high:
        middle = (low + high + 1) // 2
        if grid[middle] <= value:
            low = middle
        else:
            high = middle - 1
    return low, (value - grid[low]) / (grid[low + 1] - grid[low])


@inlined
def interpolate(low, high, share):
    """Interpolate linearly; at a share of 0 the value ``high`` may be anything, such as NaN."""
    return low if share == 0.0 else low + share * (high - low)


@inlined
def interpolate_parts(tables, parts, batch, context, prompt_tokens, prompt_context):
    """Fill ``parts`` [s] with the parts of a step's time; arguments as in `step_duration`.

    Linear in each of batch, prompt tokens, context and prompt context: the sum over the corners of
    the grid cell that holds the step.  A corner of weight 0 is not read, since it may hold NaN.
    """
    batch_at, batch_share = tables.batch_point[batch], tables.batch_gap_share[batch]
    context_at, context_share = locate(tables.contexts, context)
    prompt_at, attended_at, prompt_share, attended_share = 0, 0, 0.0, 0.0
    if prompt_tokens > 0:
        prompt_at, prompt_share = locate(tables.prompt_tokens, prompt_tokens)
        attended_at, attended_share = locate(tables.prompt_contexts, prompt_context)
    for n in range(PARTS):
        parts[n] = 0.0
    for i in range(2 if batch_share > 0.0 else 1):
        for j in range(2 if prompt_share > 0.0 else 1):
            weight = (batch_share if i else 1.0 - batch_share) * (
                prompt_share if j else 1.0 - prompt_share
            )
            b, p = batch_at + i, prompt_at + j
            for k in range(2):
                share = weight * (context_share if k else 1.0 - context_share)
                row = tables.compute_time[b, p, context_at + k]
                parts[0] += share * interpolate(
                    row[attended_at], row[attended_at + 1], attended_share
                )
                parts[1] += share * tables.memory_time[b, p, context_at + k]
            for n in range(PARTS - 2):
                parts[2 + n] += weight * tables.other_times[b, p, n]


@inlined
def step_duration(tables, parts, batch, context, prompt_tokens, prompt_context):
    """Time of a step [s].

    Parameters
    ----------
    tables
        A `server_tables.ServerTables`.
    parts
        Scratch memory for `PARTS` numbers.
    batch
        Sequences that run; each carries one token.
    context
        Mean number of tokens in the KV cache of a sequence, after the step [token].
    prompt_tokens
        Tokens of prompts beyond the one that each sequence carries [token].
    prompt_context
        Mean number of tokens that a prompt token attends to [token].
    """
    interpolate_parts(tables, parts, batch, context, prompt_tokens, prompt_context)
    compute, memory, fixed, prefetch, fetch, read, arithmetic, spared = parts
    gpu = gpu_time(compute, memory, fixed)
    slack = memory_slack(memory, compute)
    host = host_time(host_compute_time(read, arithmetic), spared, slack)
    return step_time(gpu, exposed_time(prefetch, fetch, gpu), host)
