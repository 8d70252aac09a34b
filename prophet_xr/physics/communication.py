"""What GPUs of a plan tell each other in one decode step, and how long it takes; no overlap."""

from prophet_xr.physics.units import ELEMENT, EXPERT
from prophet_xr.registry import metric


def reach(n, link_gpus, server_gpus, near, middle, far):
    """The value for the smallest circle that holds ``n`` GPUs: fast link, server, network."""
    if n <= link_gpus:
        return near
    return middle if n <= server_gpus else far


@metric("B / s")
def tensor_rate(tensor_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate):
    """Bus bandwidth between the GPUs that share a layer.

    That of the link, the server or the network, by the first that connects them all.
    """
    return reach(tensor_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate)


@metric("s")
def tensor_latency(
    tensor_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
):
    """Floor of one all-reduce between the GPUs that share a layer.

    That of the link, the server or the network, by the first that connects them all.
    """
    return reach(
        tensor_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
    )


@metric("1")
def exchanges(decode_moe_layers, data_degree, expert_degree):
    """Expert layers whose tokens are sent to other GPUs and back.

    All of them with data and expert parallelism; otherwise every rank has every token.
    """
    return decode_moe_layers if data_degree > 1 and expert_degree > 1 else 0.0


@metric("B")
def allreduce_traffic(micro_tokens, hidden_size, activation_width, tensor_degree):
    """Bytes one GPU sends in one all-reduce.

    2 (n - 1) / n x tokens x hidden size x bytes.
    """
    share = 2.0 * (tensor_degree - 1.0) / tensor_degree
    return share * micro_tokens * hidden_size * activation_width * ELEMENT


@metric("1")
def allreduces(n_layers, exchanges, tensor_degree):
    """All-reduces of a step.

    Two per layer, one where tokens are sent to experts; none on one tensor rank.
    """
    return 2.0 * n_layers - exchanges if tensor_degree > 1 else 0.0


@metric("s")
def allreduce_time(allreduces, allreduce_traffic, tensor_rate, tensor_latency):
    """Time of a step in all-reduces.

    Each floor + bytes / bus bandwidth.
    """
    return allreduces * (tensor_latency + allreduce_traffic / tensor_rate)


@metric("element")
def dispatch_elements(micro_tokens, top_k, hidden_size, tensor_share, imbalance):
    """Activations that one GPU sends to experts in one layer.

    tokens / tensor degree x top-k x hidden size, times the imbalance of ranks.
    """
    copies = tensor_share * micro_tokens * top_k / EXPERT
    return copies * hidden_size * imbalance * ELEMENT


@metric("s / B")
def dispatch_pace(expert_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate):
    """Time per byte of an exchange between expert ranks.

    The slower of what stays in the server and what leaves it, experts spread evenly.
    """
    inside = min(1.0, server_gpus / expert_degree)
    near = link_rate if min(expert_degree, server_gpus) <= link_gpus else server_rate
    return max(inside / near, (1.0 - inside) / network_rate)


@metric("s")
def dispatch_latency(
    expert_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
):
    """Floor of one exchange between expert ranks.

    That of the link, the server or the network, by the first that connects them all.
    """
    return reach(
        expert_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
    )


@metric("B")
def dispatch_traffic(dispatch_elements, dispatch_width, combine_width):
    """Bytes one GPU sends to experts and gets back in one layer.

    activations x (bytes of dispatch + bytes of combine).
    """
    return dispatch_elements * (dispatch_width + combine_width)


@metric("B")
def exchange_traffic(allreduces, allreduce_traffic, exchanges, dispatch_traffic):
    """Bytes one GPU exchanges with the ranks of its stage in one step.

    all-reduces x bytes of one + exchanging layers x bytes to experts and back.
    """
    return allreduces * allreduce_traffic + exchanges * dispatch_traffic


@metric("s")
def dispatch_time(exchanges, dispatch_traffic, dispatch_pace, dispatch_latency):
    """Sending tokens to experts and back, over all layers.

    Per layer, for dispatch and combine: floor + bytes x time per byte.
    """
    return exchanges * (2.0 * dispatch_latency + dispatch_traffic * dispatch_pace)


@metric("B / s")
def handover_rate(
    tensor_degree,
    pipeline_degree,
    link_gpus,
    server_gpus,
    link_rate,
    server_rate,
    network_rate,
):
    """Bus bandwidth between the stages of a pipeline.

    That of the link, the server or the network, by the first that connects them all.
    """
    gpus = tensor_degree * pipeline_degree
    return reach(gpus, link_gpus, server_gpus, link_rate, server_rate, network_rate)


@metric("s")
def handover_latency(
    tensor_degree,
    pipeline_degree,
    link_gpus,
    server_gpus,
    link_latency,
    server_latency,
    network_latency,
):
    """Floor of handing activations from one stage to the next.

    That of the link, the server or the network, by the first that connects them all.
    """
    gpus = tensor_degree * pipeline_degree
    return reach(gpus, link_gpus, server_gpus, link_latency, server_latency, network_latency)


@metric("s")
def handover_time(
    micro_tokens, hidden_size, activation_width, pipeline_degree, handover_rate, handover_latency
):
    """Handing activations from stage to stage.

    (stages - 1) x (floor + bytes / bandwidth).
    """
    size = micro_tokens * hidden_size * activation_width * ELEMENT
    return (pipeline_degree - 1.0) * (handover_latency + size / handover_rate)


@metric("s")
def communication_time(allreduce_time, dispatch_time, handover_time):
    """Exchange between GPUs in one step.

    all-reduces + dispatch and combine + handing over between stages.
    """
    return allreduce_time + dispatch_time + handover_time
