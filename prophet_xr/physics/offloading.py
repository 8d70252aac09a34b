"""Experts that are not resident: how often one is needed, what that moves and what it costs."""

import math

from prophet_xr.physics.missing import keep_nan
from prophet_xr.registry import metric


@metric("1")
def reuse(resident_experts, n_experts, step_experts, reuse_strength, reuse_exponent, reuse_weight):
    """Share of expert requests whose expert is resident from earlier steps.

    min(x + (1 - x) (1 - exp(-b x**a)), C / U), x = C / E, for C resident of E experts and U
    distinct ones in the step: x by chance, the rest by the locality b of the model, measured at
    batch 1 and an upper bound for larger batches; 1 without experts.
    """
    if not step_experts > 0:
        return 1.0
    share = resident_experts / n_experts
    strength = reuse_weight * reuse_strength
    local = share - (1.0 - share) * math.expm1(-strength * share**reuse_exponent)
    return keep_nan(min(local, resident_experts / step_experts), resident_experts)


@metric("1")
def predicted_share(prediction, hit_rate):
    """Share of expert requests that the policy predicts in time.

    hit rate x share of it that the policy can use; 0 without prediction.
    """
    return prediction * hit_rate


@metric("1")
def in_time(predicted_share, reuse):
    """Share of expert requests whose expert is resident when it is needed.

    max(share predicted in time, reuse).
    """
    return keep_nan(max(reuse, predicted_share), reuse)


@metric("1", dtype="bool")
def hit_rate_raised(prediction, predicted_share, reuse):
    """The hit rate is below what residency alone gives, and was raised to it.

    The policy predicts, and share predicted in time < reuse.
    """
    return prediction > 0 and predicted_share < reuse


@metric("1")
def early_share(in_time, reuse):
    """Share of expert requests whose expert is prefetched.

    share resident in time - reuse.
    """
    return in_time - reuse


@metric("1")
def late_share(in_time, host_compute):
    """Share of expert requests whose expert is fetched after it was needed.

    1 - share resident in time, without those that the host computes.
    """
    return (1.0 - host_compute) * (1.0 - in_time)


@metric("1")
def host_share(in_time, host_compute):
    """Share of expert requests that the host computes.

    1 - share resident in time, where the policy computes misses on the host; otherwise 0.
    """
    return host_compute * (1.0 - in_time)


@metric("B")
def early_traffic(early_share, step_expert_memory):
    """Bytes that one step prefetches over the host link.

    share prefetched x bytes of the experts read.
    """
    return early_share * step_expert_memory


@metric("B")
def late_traffic(late_share, step_expert_memory):
    """Bytes that one step fetches over the host link after they were needed.

    share fetched late x bytes of the experts read.
    """
    return late_share * step_expert_memory


@metric("B")
def host_read(host_share, step_expert_memory):
    """Bytes of experts that the host reads to compute them.

    share computed on the host x bytes of the experts read.
    """
    return host_share * step_expert_memory


@metric("B")
def link_traffic(early_traffic, late_traffic):
    """Bytes that one step moves over the host link.

    prefetched + fetched late. Without computing on the host it is (1 - reuse) x bytes of the
    experts read for any predictor: prediction hides latency, not bytes.
    """
    return early_traffic + late_traffic


# Each time is a separate metric: the division is done on the axes that it varies with, not in every
# cell of the cube.


@metric("s")
def transfer_time(
    step_expert_memory,
    host_link_rate,
    copy_latency,
    expert_matrices,
    decode_moe_layers,
    rank_unique_experts,
):
    """Time that all experts of one step would take on the host link.

    bytes / link bandwidth + copies of a matrix x fixed cost of a copy.
    """
    copies = expert_matrices * decode_moe_layers * rank_unique_experts
    return step_expert_memory / host_link_rate + copies * copy_latency


@metric("s")
def prefetch_time(early_share, transfer_time):
    """Time of the prefetches of one step on the host link.

    share prefetched x time of all experts of the step.
    """
    return early_share * transfer_time


@metric("s")
def fetch_time(late_share, transfer_time):
    """Time of the late fetches of one step, one after another.

    share fetched late x time of all experts of the step.
    """
    return late_share * transfer_time


@metric("s")
def hidden_time(prefetch_time, gpu_time):
    """Transfer time during which the GPU works.

    min(time of prefetches, GPU time).
    """
    return keep_nan(min(prefetch_time, gpu_time), prefetch_time)


@metric("s")
def exposed_time(prefetch_time, fetch_time, gpu_time):
    """Transfer time that the GPU waits for.

    max(0, time of prefetches - GPU time) + time of late fetches.
    """
    return max(0.0, prefetch_time - gpu_time) + fetch_time


@metric("FLOP")
def host_flops(
    host_share,
    micro_tokens,
    decode_moe_layers,
    top_k,
    expert_parameters,
    tensor_share,
):
    """Arithmetic of experts that the host computes.

    share computed on the host x 2 FLOP x tokens x parameters of a token's experts / tensor
    degree.
    """
    routed = 2.0 * micro_tokens * decode_moe_layers * top_k * expert_parameters * tensor_share
    return host_share * routed


@metric("s")
def host_read_time(host_read, host_memory_rate):
    """Time in which the host reads the experts that it computes.

    bytes / host memory bandwidth.
    """
    return host_read / host_memory_rate


@metric("s")
def host_arithmetic_time(host_flops, host_compute_rate):
    """Time of the arithmetic that the host does.

    FLOP / FLOP per second.
    """
    return host_flops / host_compute_rate


@metric("s")
def host_compute_time(host_read_time, host_arithmetic_time):
    """Time in which the host computes the experts that are not resident.

    max(reading, arithmetic).
    """
    return max(host_read_time, host_arithmetic_time)


@metric("s")
def spared_time(host_read, memory_rate):
    """Time that the GPU would need to read what the host computes.

    bytes / GPU memory bandwidth.
    """
    return host_read / memory_rate


@metric("s")
def host_time(host_compute_time, spared_time, memory_slack):
    """Time that computing on the host adds to one step.

    host time - what the GPU gains by not reading those bytes: min(time to read them, time by
    which memory takes longer than arithmetic).
    """
    return host_compute_time - min(spared_time, memory_slack)


@metric("s")
def step_time(gpu_time, exposed_time, host_time):
    """Time of one decode step.

    GPU + transfer that it waits for + host.
    """
    return gpu_time + exposed_time + host_time


@metric("s")
def token_time(step_time, tokens):
    """Time per output token (TPOT).

    step / tokens of a sequence in it; in speculative verification this takes all tokens as
    accepted.
    """
    return step_time / tokens


@metric("1")
def slowdown(step_time, baseline_step_time):
    """Decode step over the baseline's.

    step / step of the baseline, whether the baseline fits or not; see ``fits``.
    """
    return step_time / baseline_step_time


@metric("1 / s")
def throughput(batch, tokens, step_time):
    """Tokens per second of the batch.

    batch x tokens of a sequence in a step / step.
    """
    return batch * tokens / step_time


@metric("1 / s")
def throughput_per_gpu(throughput, n_gpus):
    """Tokens per second and GPU of the plan.

    tokens per second / GPUs.
    """
    return throughput / n_gpus


@metric("1")
def link_utilization(link_traffic, host_link_rate, step_time):
    """Share of the step in which bytes cross the host link.

    bytes over the link / (link bandwidth x step).
    """
    return link_traffic / (host_link_rate * step_time)


@metric("1")
def feasible_hit_rate(reuse, gpu_time, transfer_time):
    """Largest hit rate that the host link sustains without a longer step.

    min(1, reuse + GPU time / time of all experts of the step on the link); a better predictor
    gains nothing more.
    """
    if not transfer_time > 0:
        return 1.0
    bound = reuse + gpu_time / transfer_time
    return keep_nan(min(1.0, bound), bound)


@metric("1")
def communication_share(communication_time, step_time):
    """Share of the step in which GPUs exchange.

    exchange / step.
    """
    return communication_time / step_time


@metric("1")
def token_cost(gpu_price, throughput_per_gpu):
    """Cost of one output token, in the currency of the price.

    price of a GPU per second / its tokens per second.
    """
    return gpu_price / throughput_per_gpu
