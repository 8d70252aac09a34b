"""What the GPUs of a plan exchange in one decode step, and how long that takes without overlap."""

from prophet_xr.physics.units import ELEMENT, EXPERT
from prophet_xr.registry import metric


def reach(n, link_gpus, server_gpus, near, middle, far):
    """Value of the first that connects all ``n`` GPUs: fast link, server, network."""
    if n <= link_gpus:
        return near
    return middle if n <= server_gpus else far


@metric("B / s")
def tensor_rate(tensor_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate):
    """Bus bandwidth between the GPUs that share a layer.

    Bandwidth of the first that connects them all: fast link, server, network.
    """
    return reach(tensor_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate)


@metric("s")
def tensor_latency(
    tensor_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
):
    """Least time of one all-reduce between the GPUs that share a layer.

    Latency of the first that connects them all: fast link, server, network.
    """
    return reach(
        tensor_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
    )


@metric("1")
def exchanges(decode_moe_layers, data_degree, expert_degree):
    """Expert layers whose tokens are sent to other GPUs and back.

    All of them under data and expert parallelism; otherwise 0, since every rank has every
    token.
    """
    return decode_moe_layers if data_degree > 1 and expert_degree > 1 else 0.0


@metric("B")
def allreduce_traffic(micro_tokens, hidden_size, activation_width, tensor_degree):
    """Bytes that one GPU sends in one all-reduce.

    2 (n - 1) / n x tokens x hidden size x bytes per activation; n is the tensor degree.
    """
    share = 2.0 * (tensor_degree - 1.0) / tensor_degree
    return share * micro_tokens * hidden_size * activation_width * ELEMENT


@metric("1")
def allreduces(n_layers, exchanges, tensor_degree):
    """All-reduces of one step.

    2 per layer, 1 in layers whose tokens are sent to experts; 0 on one tensor rank.
    """
    return 2.0 * n_layers - exchanges if tensor_degree > 1 else 0.0


@metric("s")
def allreduce_time(allreduces, allreduce_traffic, tensor_rate, tensor_latency):
    """Time of the all-reduces of one step.

    all-reduces x (latency + bytes of one / bandwidth).
    """
    return allreduces * (tensor_latency + allreduce_traffic / tensor_rate)


@metric("element")
def dispatch_elements(micro_tokens, top_k, hidden_size, tensor_share, imbalance):
    """Activations that one GPU sends to experts in one layer.

    tokens / tensor degree x top-k x hidden size x imbalance.
    """
    copies = tensor_share * micro_tokens * top_k / EXPERT
    return copies * hidden_size * imbalance * ELEMENT


@metric("s / B")
def dispatch_pace(expert_degree, link_gpus, server_gpus, link_rate, server_rate, network_rate):
    """Time per byte of an exchange between expert ranks.

    The larger of share within the server / bandwidth there, and share that leaves it / network
    bandwidth; experts are spread evenly.
    """
    share_inside = min(1.0, server_gpus / expert_degree)
    rate_inside = link_rate if min(expert_degree, server_gpus) <= link_gpus else server_rate
    return max(share_inside / rate_inside, (1.0 - share_inside) / network_rate)


@metric("s")
def dispatch_latency(
    expert_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
):
    """Least time of one exchange between expert ranks.

    Latency of the first that connects them all: fast link, server, network.
    """
    return reach(
        expert_degree, link_gpus, server_gpus, link_latency, server_latency, network_latency
    )


@metric("B")
def dispatch_traffic(dispatch_elements, dispatch_width, combine_width):
    """Bytes that one GPU sends to experts and gets back in one layer.

    activations x (bytes of dispatch + bytes of combine).
    """
    return dispatch_elements * (dispatch_width + combine_width)


@metric("B")
def exchange_traffic(allreduces, allreduce_traffic, exchanges, dispatch_traffic):
    """Bytes that one GPU exchanges with the ranks of its stage in one step.

    all-reduces x bytes of one + exchanging layers x bytes to experts and back.
    """
    return allreduces * allreduce_traffic + exchanges * dispatch_traffic


@metric("s")
def dispatch_time(exchanges, dispatch_traffic, dispatch_pace, dispatch_latency):
    """Time of sending tokens to experts and back in one step.

    exchanging layers x (2 x latency + bytes to experts and back x time per byte).
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

    Bandwidth of the first that connects them all: fast link, server, network.
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
    """Least time of one hand-over of activations to the next stage.

    Latency of the first that connects them all: fast link, server, network.
    """
    gpus = tensor_degree * pipeline_degree
    return reach(gpus, link_gpus, server_gpus, link_latency, server_latency, network_latency)


@metric("s")
def handover_time(
    micro_tokens, hidden_size, activation_width, pipeline_degree, handover_rate, handover_latency
):
    """Time of passing activations from stage to stage in one step.

    (stages - 1) x (latency + bytes / bandwidth).
    """
    size = micro_tokens * hidden_size * activation_width * ELEMENT
    return (pipeline_degree - 1.0) * (handover_latency + size / handover_rate)


@metric("s")
def communication_time(allreduce_time, dispatch_time, handover_time):
    """Time of all exchange between GPUs in one step.

    all-reduces + dispatch and combine + passing on between stages.
    """
    return allreduce_time + dispatch_time + handover_time
