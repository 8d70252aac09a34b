"""What one GPU of a parallel plan holds and runs; on one GPU every share is 1.

A decode step runs through the stages of a pipeline one after another, so its bytes and operations
are the sum over one GPU of each stage; memory is that of the GPU that holds most.
"""

import math

from prophet_xr.physics.units import EXPERT
from prophet_xr.registry import metric

PLAN_REASONS = (
    *("possible", "heads_do_not_divide", "more_expert_ranks_than_experts"),
    "more_stages_than_layers",
)
POSSIBLE_PLAN, HEADS_DO_NOT_DIVIDE, MORE_RANKS_THAN_EXPERTS, MORE_STAGES_THAN_LAYERS = range(
    len(PLAN_REASONS)
)


@metric("1", dtype="int64")
def n_gpus(tensor_degree, pipeline_degree, data_degree):
    """GPUs of the plan.

    tensor x pipeline x data degree.
    """
    return math.floor(tensor_degree * pipeline_degree * data_degree)


@metric("1", dtype="int64", flags=PLAN_REASONS)
def plan_reason(
    n_layers,
    n_experts,
    redundant_experts,
    attention_heads,
    kv_heads,
    tensor_degree,
    pipeline_degree,
    expert_degree,
):
    """Why the plan cannot exist for the model.

    The first of: the tensor degree does not divide the query heads, or neither divides the KV
    heads nor is a multiple of them; more expert ranks than experts with their copies; more
    stages than layers.
    """
    more, fewer = max(tensor_degree, kv_heads), min(tensor_degree, kv_heads)
    if attention_heads % tensor_degree > 0 or more % fewer > 0:
        return HEADS_DO_NOT_DIVIDE
    if n_experts > 0 and expert_degree > (n_experts + redundant_experts) / EXPERT:
        return MORE_RANKS_THAN_EXPERTS
    return MORE_STAGES_THAN_LAYERS if pipeline_degree > n_layers else POSSIBLE_PLAN


@metric("1")
def tensor_share(tensor_degree, plan_reason):
    """Share of a layer on one GPU.

    1 / tensor degree; NaN where the plan cannot exist, see plan_reason.
    """
    return math.nan if plan_reason > POSSIBLE_PLAN else 1.0 / tensor_degree


@metric("1")
def stage_layers(n_layers, pipeline_degree):
    """Layers of the largest stage.

    ceil(layers / stages).
    """
    return 1.0 * math.ceil(n_layers / pipeline_degree)


@metric("1")
def stage_share(stage_layers, n_layers):
    """Share of the layers in the largest stage.

    ceil(layers / stages) / layers.
    """
    return stage_layers / n_layers


@metric("1")
def stage_full_layers(full_layers, pipeline_degree):
    """Layers that keep every token, in the stage that has most of them.

    ceil(such layers / stages).
    """
    return 1.0 * math.ceil(full_layers / pipeline_degree)


@metric("1")
def full_share(stage_full_layers, full_layers, stage_share):
    """Share of the layers that keep every token, in the stage that has most of them.

    ceil(such layers / stages) / such layers; the share of all layers where the model has none.
    """
    return stage_full_layers / full_layers if full_layers > 0 else stage_share


def other_share(layers, stage_layers, stage_full_layers, pipeline_degree):
    """Share of ``layers`` of another kind in the stage with most layers that keep every token."""
    room = stage_layers - stage_full_layers
    return min(math.ceil(layers / pipeline_degree), room) / layers if layers > 0 else 1.0


@metric("1")
def windowed_share(windowed_layers, stage_layers, stage_full_layers, pipeline_degree):
    """Share of the sliding-window layers in the stage that has most layers that keep every token.

    min(ceil(sliding-window layers / stages), layers of the stage that do not keep every token)
    / sliding-window layers; 1 without such layers.
    """
    return other_share(windowed_layers, stage_layers, stage_full_layers, pipeline_degree)


@metric("1")
def state_share(state_layers, stage_layers, stage_full_layers, pipeline_degree):
    """Share of the constant-state layers in the stage that has most layers that keep every token.

    min(ceil(constant-state layers / stages), layers of the stage that do not keep every token)
    / constant-state layers; 1 without such layers.
    """
    return other_share(state_layers, stage_layers, stage_full_layers, pipeline_degree)


@metric("1")
def stage_moe_layers(
    stage_layers, n_layers, moe_layers, moe_interval, first_moe_layer, pipeline_degree
):
    """Layers with experts in the stage that has most of them.

    ceil(layers of the stage / interval between expert layers), at most all. The first stage
    loses the dense layers that come first; where two stages do not divide the layers, the
    second has one layer less.
    """
    first_stage = stage_layers - first_moe_layer
    divided_layers = n_layers - 1.0 if pipeline_degree == 2.0 else n_layers
    later_stage = math.ceil(divided_layers / pipeline_degree) if pipeline_degree > 1.0 else 0.0
    return min(moe_layers, math.ceil(max(first_stage, later_stage) / moe_interval))


# --- Sequences -------------------------------------------------------------------------------


@metric("1")
def rank_batch(batch, data_degree):
    """Sequences of the batch on the busiest data rank.

    ceil(batch / data degree).
    """
    return 1.0 * math.ceil(batch / data_degree)


@metric("1")
def micro_batch(rank_batch, pipeline_degree):
    """Sequences of a data rank in one pipeline stage at a time.

    max(1, sequences of the rank / stages): the stages work on different sequences.
    """
    return max(1.0, rank_batch / pipeline_degree)


@metric("1")
def expert_batch(batch, micro_batch, pipeline_degree, data_degree, expert_degree):
    """Sequences whose tokens meet in one layer of experts.

    max(1, batch / stages). Where each data rank has all experts (no expert parallelism), only
    the sequences of the busiest data rank in one stage.
    """
    each_rank_has_all = data_degree > 1 and expert_degree <= 1
    return micro_batch if each_rank_has_all else max(1.0, batch / pipeline_degree)


@metric("1")
def micro_prompt(prompt_tokens, pipeline_degree, data_degree):
    """Prompt tokens of a data rank in one pipeline stage at a time.

    prompt tokens / (stages x data degree).
    """
    return prompt_tokens / (pipeline_degree * data_degree)


@metric("1")
def expert_prompt(prompt_tokens, pipeline_degree, data_degree, expert_degree):
    """Prompt tokens that meet in one layer of experts.

    prompt tokens / stages. Where each data rank has all experts (no expert parallelism), only
    those of one data rank: / (stages x data degree).
    """
    parts = pipeline_degree if expert_degree > 1 else pipeline_degree * data_degree
    return prompt_tokens / parts


@metric("1")
def micro_tokens(micro_batch, tokens, micro_prompt):
    """Tokens of a data rank in one pipeline stage at a time, prompt tokens included.

    sequences x tokens of each + prompt tokens.
    """
    return micro_batch * tokens + micro_prompt


@metric("1")
def expert_tokens(expert_batch, tokens):
    """Tokens that meet in one layer of experts, without prompt tokens.

    sequences x tokens of each.
    """
    return expert_batch * tokens


@metric("1")
def micro_share(micro_batch, rank_batch):
    """Share of a data rank's sequences in one pipeline stage at a time.

    sequences in the stage / sequences of the rank.
    """
    return micro_batch / rank_batch


# --- Experts ---------------------------------------------------------------------------------


@metric("expert")
def rank_experts(n_experts, redundant_experts, expert_degree):
    """Experts of a layer that one GPU holds when all experts are resident.

    ceil((experts + redundant copies) / expert ranks); without expert parallelism all experts,
    each cut into slices.
    """
    if expert_degree <= 1:
        return n_experts
    return EXPERT * math.ceil((n_experts + redundant_experts) / EXPERT / expert_degree)


@metric("1")
def expert_share(rank_experts, n_experts, expert_degree, imbalance):
    """Share of a layer's experts on the busiest expert rank.

    experts of a rank / experts x imbalance; 1 without expert parallelism.
    """
    if expert_degree <= 1 or n_experts <= 0:
        return 1.0
    return rank_experts / n_experts * imbalance


@metric("1")
def expert_slices(tensor_degree, expert_degree):
    """GPUs that share one expert.

    The tensor degree; 1 under expert parallelism, where a GPU holds whole experts.
    """
    return tensor_degree if expert_degree <= 1 else 1.0


@metric("1")
def expert_padding(
    hidden_size,
    expert_intermediate,
    expert_slices,
    hidden_multiple,
    ffn_multiple,
    padding,
):
    """Size of an expert as the kernel pads it, over its size in the checkpoint.

    1 + padding x (factor of the hidden size x factor of a slice's intermediate size - 1), where
    a factor is the size rounded up to a multiple, over the size; 1 without experts.
    """
    if expert_intermediate <= 0:
        return 1.0
    slice_size = expert_intermediate / expert_slices
    hidden_factor = math.ceil(hidden_size / hidden_multiple) * hidden_multiple / hidden_size
    slice_factor = math.ceil(slice_size / ffn_multiple) * ffn_multiple / slice_size
    return 1.0 + padding * (hidden_factor * slice_factor - 1.0)
