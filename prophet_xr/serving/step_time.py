"""How long a step takes: parts from the tables of a service, put together as the physics does."""

from prophet_xr import kernels
from prophet_xr.serving.jit import part

FORMULAS = (
    *(kernels.gpu_time, kernels.memory_slack, kernels.exposed_time),
    *(kernels.host_compute_time, kernels.host_time, kernels.step_time),
)
gpu_time, memory_slack, exposed_time, host_compute_time, host_time, step_time = map(part, FORMULAS)


@part
def place(grid, value):
    """Where a value lies in a grid: the point below, and the share above it."""
    low, high = 0, grid.size - 2
    while low < high:
        middle = (low + high + 1) // 2
        if grid[middle] <= value:
            low = middle
        else:
            high = middle - 1
    return low, (value - grid[low]) / (grid[low + 1] - grid[low])


@part
def between(low, high, share):
    """Linear interpolation; exact at both ends, where the far one may be anything."""
    return low if share == 0.0 else low + share * (high - low)


@part
def step_duration(service, parts, batch, context, prompt_tokens, prompt_context):
    """Time [s] of a step.

    ``batch`` sequences of ``context`` tokens in the mean, which carry one token each and
    ``prompt_tokens`` more that attend to ``prompt_context`` tokens in the mean.  ``parts`` is
    scratch for eight numbers.
    """
    b, above = service.low[batch], service.share[batch]
    c, beyond = place(service.contexts, context)
    p, q, more, longer = 0, 0, 0.0, 0.0
    if prompt_tokens > 0:
        p, more = place(service.prompts, prompt_tokens)
        q, longer = place(service.prompt_contexts, prompt_context)
    for n in range(8):
        parts[n] = 0.0
    for i in range(2 if above > 0.0 else 1):
        for j in range(2 if more > 0.0 else 1):
            weight = (above if i else 1.0 - above) * (more if j else 1.0 - more)
            for k in range(2):
                share = weight * (beyond if k else 1.0 - beyond)
                at = service.compute[b + i, p + j, c + k]
                parts[0] += share * between(at[q], at[q + 1], longer)
                parts[1] += share * service.memory[b + i, p + j, c + k]
            for n in range(6):
                parts[2 + n] += weight * service.others[b + i, p + j, n]
    compute, memory, fixed, prefetch, fetch, read, arithmetic, spared = parts
    gpu = gpu_time(compute, memory, fixed)
    slack = memory_slack(memory, compute)
    host = host_time(host_compute_time(read, arithmetic), spared, slack)
    return step_time(gpu, exposed_time(prefetch, fetch, gpu), host)
