"""Distinct experts of one step: the study's power law, uniform routing, and measured skew."""

import math

from prophet_xr.physics.units import EXPERT
from prophet_xr.registry import metric


@metric("1")
def routing_skew(skew, skew_scale):
    """Skew of the routing law.

    The model's Zipf exponent s x the scale of the routing row: 0 for power and uniform, 1 for
    zipf.
    """
    return skew * skew_scale


@metric("1")
def routing_gamma(gamma, gamma_scale):
    """Exponent on the tokens of one sequence.

    1 + scale (g - 1): the model's g, or 1 where the routing row takes all tokens as
    independent.
    """
    return 1.0 + gamma_scale * (gamma - 1.0)


@metric("1")
def effective_batch(expert_batch, tokens, routing_gamma):
    """Independent tokens that touch as many experts as the step does, without prompts.

    B t**g, g the exponent on the tokens t of one sequence: tokens of one sequence repeat
    experts, tokens of different sequences do not.
    """
    return expert_batch * tokens**routing_gamma


@metric("1")
def step_draws(effective_batch, expert_prompt, routing_gamma):
    """Independent tokens that touch as many experts as the step does, prompts included.

    B_eff + P**g: the P prompt tokens count as tokens of one sequence.
    """
    return effective_batch + expert_prompt**routing_gamma


def first_share(n, k, skew):
    """Return the l for which the sum of min(1, l i**-skew) over n ranks i is k; 0 without ranks.

    Exact, without root finding: ranks reach 1 one after another, until ``rank`` stays below 1.
    """
    tail = 0.0
    rank = 1.0
    while rank <= n:
        tail += rank**-skew
        rank += 1.0
    remaining = min(k, n)
    scale = remaining / tail if tail > 0.0 else 0.0
    rank = 1.0
    head = 1.0
    while remaining > 1.0 and scale * head > 1.0 and rank + 1.0 <= n:
        tail -= head
        remaining -= 1.0
        rank += 1.0
        head = rank**-skew
        scale = remaining / tail
    return scale


@metric("1")
def zipf_scale(n_experts, top_k, routing_skew):
    """Scale of the Zipf law of experts.

    The l for which the probabilities min(1, l i**-s) of the E experts add up to k.
    """
    return first_share(n_experts / EXPERT, top_k / EXPERT, routing_skew)


def unused(share, draws):
    """Probability that an expert of probability ``share`` is in none of ``draws`` tokens."""
    return math.exp(draws * math.log1p(-share)) if share < 1.0 else 0.0


def occupied(n, k, skew, scale, draws):
    """Expected distinct experts of ``draws`` independent tokens; from k to n.

    Ranks up to max(8, k + 1) one by one; the rest in blocks that grow by half, each by its
    discrete two-point Gauss rule (exact for cubics): 30 terms at 512 experts, within 0.02 %.
    """
    least = min(n, k)
    if draws <= 1.0:
        return least
    if skew <= 0.0:
        return n * (1.0 - (1.0 - scale) ** draws)
    unused_experts = 0.0
    rank = 1.0
    summed = min(n, max(8.0, k + 1.0))
    while rank <= summed:
        unused_experts += unused(scale * rank**-skew, draws)
        rank += 1.0
    while summed < n:
        last = min(n, float(math.floor(1.5 * summed)))
        count = last - summed
        middle = summed + 0.5 * (count + 1.0)
        spread = math.sqrt(max(0.0, (count * count - 1.0) / 12.0))
        unused_experts += 0.5 * count * unused(scale * (middle - spread) ** -skew, draws)
        unused_experts += 0.5 * count * unused(scale * (middle + spread) ** -skew, draws)
        summed = last
    return max(least, n - unused_experts)


def distinct(n_experts, top_k, tokens, dedup_exponent, power_weight, skew, scale, draws):
    """Distinct experts of ``tokens``: the power law, and ``draws`` of the Zipf law, by weight."""
    power = min(n_experts, top_k * tokens**dedup_exponent)
    if power_weight >= 1.0:  # the sum is not worth its time where it has no weight
        return power
    drawn = EXPERT * occupied(n_experts / EXPERT, top_k / EXPERT, skew, scale, draws)
    return power_weight * power + (1.0 - power_weight) * drawn


@metric("expert")
def unique_experts(
    n_experts,
    top_k,
    expert_tokens,
    dedup_exponent,
    power_weight,
    routing_skew,
    zipf_scale,
    effective_batch,
):
    """Distinct experts a layer needs for one step.

    w min(E, k (B t)**a) + (1 - w) sum of 1 - (1 - min(1, l i**-s))**B_eff over the E ranks; w
    is the weight of the power law, B t the tokens that meet in a layer, B_eff the effective
    batch.
    """
    return distinct(
        n_experts,
        top_k,
        expert_tokens,
        dedup_exponent,
        power_weight,
        routing_skew,
        zipf_scale,
        effective_batch,
    )


@metric("expert")
def step_experts(
    n_experts,
    top_k,
    unique_experts,
    expert_tokens,
    expert_prompt,
    dedup_exponent,
    power_weight,
    routing_skew,
    zipf_scale,
    step_draws,
):
    """Distinct experts of a layer that a step reads, prompts included.

    As unique_experts, with the P prompt tokens added to B t and P**g to B_eff; experts that
    only prompt tokens need are read, but do not stay resident.
    """
    if expert_prompt <= 0:
        return unique_experts
    return distinct(
        n_experts,
        top_k,
        expert_tokens + expert_prompt,
        dedup_exponent,
        power_weight,
        routing_skew,
        zipf_scale,
        step_draws,
    )


@metric("1")
def dedup_factor(n_experts, unique_experts):
    """Deduplication factor.

    E / U: experts of a layer over the experts the batch needs; NaN for a model without experts.
    """
    return n_experts / unique_experts if unique_experts > 0 else math.nan
