"""Every axis and every spec field, one line each, in the order of the dims of a cube.

``whole`` says that it is counted.  Means are not: slots of a cache or for staging over layers, and
the context of a prompt's tokens.
"""

from prophet_xr.registry import axis, labels, spec

labels("policy", "Expert residency policy")
labels("runtime", "Memory rules of the serving runtime")
labels("plan", "Parallel plan")
labels("routing", "Law of distinct experts")
labels("precision", "Weight precision")
labels("kv_precision", "KV cache precision")
labels("model", "Model")
labels("gpu", "GPU")
axis("batch", "1", "Decode batch", bounds=(1, 1e6), whole=True)
axis("tokens", "1", "Tokens of each sequence in a step", bounds=(1, 1e6), whole=True)
axis("context", "token", "Context of each sequence", bounds=(1, 1e9), whole=True)
axis(
    "prompt_tokens",
    "1",
    "Prompt tokens that a step carries next to decoding",
    bounds=(0, 1e8),
    whole=True,
)
axis("prompt_context", "token", "Context that a prompt token attends to", bounds=(0, 1e9))
axis("hit_rate", "1", "Share of expert requests predicted in time", bounds=(0, 1))
axis("dedup_exponent", "1", "Deduplication exponent", bounds=(0, 1))
axis("staging", "expert", "Staging slots per layer next to the working set", bounds=(0, 1e4))
axis("encoder_context", "token", "Encoder tokens of each sequence", bounds=(0, 1e9), whole=True)
axis("copy_latency", "s / expert", "Fixed cost of one copy over the host link", bounds=(0, 1))
axis("software_floor", "s", "Host overhead of one decode step", bounds=(0, 10))
axis("host_memory_rate", "B / s", "Host memory bandwidth for each GPU", bounds=(1e8, 1e13))
axis("host_compute_rate", "FLOP / s", "Host arithmetic for each GPU", bounds=(1e9, 1e16))
axis(
    "redundant_experts",
    "expert",
    "Copies of experts beyond one of each",
    bounds=(0, 1e5),
    whole=True,
)
axis("imbalance", "1", "Experts of the busiest rank over the mean", bounds=(1, 1e3))
axis("activation_width", "B / element", "Bytes per activation between GPUs", bounds=(0, 8))
axis("dispatch_width", "B / element", "Bytes per activation sent to experts", bounds=(0, 8))
axis("combine_width", "B / element", "Bytes per activation back from experts", bounds=(0, 8))
axis("gpu_price", "1 / s", "Price of one GPU, any currency", bounds=(0, 1e3), optional=True)

spec("n_layers", "1", "Layers", of="model", bounds=(1, 2e4), whole=True)
spec("hidden_size", "1", "Hidden size", of="model", bounds=(1, 1e6), whole=True)
spec("moe_layers", "1", "Layers that hold experts", of="model", bounds=(0, 2e4), whole=True)
spec(
    "decode_moe_layers",
    "1",
    "Expert layers a decode step runs",
    of="model",
    bounds=(0, 1e4),
    whole=True,
)
spec("n_experts", "expert", "Routed experts per layer", of="model", bounds=(0, 1e5), whole=True)
spec("top_k", "expert", "Experts routed per token", of="model", bounds=(0, 1e4), whole=True)
spec(
    "expert_matrices", "1", "Weight matrices of one expert", of="model", bounds=(1, 16), whole=True
)
spec("expert_parameters", "parameter / expert", "Parameters of one routed expert", of="model")
spec("shared_parameters", "parameter", "Parameters of shared experts", of="model")
spec("router_parameters", "parameter", "Parameters of routers", of="model")
spec("attention_parameters", "parameter", "Parameters of attention", of="model")
spec("dense_parameters", "parameter", "Parameters of dense MLPs", of="model")
spec("state_space_parameters", "parameter", "Parameters of state-space layers", of="model")
spec("norm_parameters", "parameter", "Parameters of norms and the rest", of="model")
spec("embedding_parameters", "parameter", "Parameters of embeddings", of="model")
spec("lookup_parameters", "parameter", "Embedding parameters only looked up", of="model")
spec("encoder_parameters", "parameter", "Fixed parameters a decode step skips", of="model")
spec("kv_full", "element / token", "KV elements of layers that keep every token", of="model")
spec("kv_windowed", "element / token", "KV elements of sliding-window layers", of="model")
spec("kv_window", "token", "Sliding window", of="model", whole=True)
spec("kv_cross", "element / token", "KV elements per encoder token", of="model")
spec("state_size", "B", "Constant state of one sequence", of="model")
spec("attention_reuse", "FLOP / element", "Attention arithmetic per KV element read", of="model")
spec("prompt_reuse", "FLOP / element", "The same of a token of a prompt", of="model")
spec("native_context", "token", "Native context", of="model", bounds=(1, 1e9), whole=True)
spec("attention_heads", "1", "Query heads", of="model", bounds=(1, 1e5), whole=True)
spec(
    "kv_heads",
    "1",
    "KV heads that ranks can divide, 1 for a latent",
    of="model",
    bounds=(1, 1e5),
    whole=True,
)
spec("replicated_parameters", "parameter", "Attention parameters on every rank", of="model")
spec("absorbed_parameters", "parameter", "Attention parameters an engine keeps twice", of="model")
spec("expert_intermediate", "1", "Intermediate size of a routed expert", of="model", whole=True)
spec("dense_intermediate", "1", "Intermediate size of the widest dense MLP", of="model", whole=True)
spec(
    "moe_interval",
    "1",
    "Smallest step between expert layers",
    of="model",
    bounds=(1, 2e4),
    whole=True,
)
spec(
    "first_moe_layer",
    "1",
    "Layers before the first with experts",
    of="model",
    bounds=(0, 2e4),
    whole=True,
)
spec("full_layers", "1", "Layers that keep every token", of="model", bounds=(0, 2e4), whole=True)
spec("windowed_layers", "1", "Sliding-window layers", of="model", bounds=(0, 2e4), whole=True)
spec("window_pages", "1", "Share of windows that engines page as such", of="model", bounds=(0, 1))
spec("state_layers", "1", "Layers with constant state", of="model", bounds=(0, 2e4), whole=True)
spec("state_page", "B", "State of one layer and sequence as an engine pages it", of="model")
spec("rotary_size", "element / token", "Rotary table per position", of="model")
spec("vocabulary", "1", "Tokens of the vocabulary", of="model", bounds=(1, 1e8), whole=True)
spec("study_activation", "B", "Activation memory per sequence, as the study has it", of="model")
spec("skew", "1", "Zipf exponent of expert popularity", of="model", bounds=(0, 4))
spec("gamma", "1", "Exponent on tokens of one sequence", of="model", bounds=(0, 1))
spec("reuse_strength", "1", "Locality of expert requests, b of r(C)", of="model", bounds=(0, 100))
spec("reuse_exponent", "1", "Exponent a of r(C)", of="model", bounds=(0.01, 10))
spec(
    "cache_slots",
    "expert",
    "Slots per layer of an expert cache",
    of="model",
    bounds=(0, 1e5),
    whole=True,
)

spec("nominal_memory", "B", "Memory on the label", of="gpu", bounds=(1e8, 1e13))
spec("usable_memory", "B", "Memory a process can allocate", of="gpu", bounds=(1e8, 1e13))
spec("memory_rate", "B / s", "Device memory bandwidth", of="gpu", bounds=(1e9, 1e15))
spec("compute_rate", "FLOP / s", "Dense 16-bit arithmetic", of="gpu", bounds=(1e11, 1e17))
spec("host_link_rate", "B / s", "Host-to-device bandwidth", of="gpu", bounds=(1e8, 1e13))
spec("gpu_link_rate", "B / s", "GPU-to-GPU bandwidth, both ways", of="gpu", bounds=(0, 1e14))
spec(
    "default_sequences",
    "1",
    "Sequences in flight by default",
    of="gpu",
    bounds=(1, 1e6),
    whole=True,
)
spec(
    "default_tokens",
    "token",
    "Tokens of one step by default",
    of="gpu",
    bounds=(1, 1e8),
    whole=True,
)
spec("link_gpus", "1", "GPUs that the fast link joins", of="gpu", bounds=(1, 1e4))
spec("server_gpus", "1", "GPUs of one server", of="gpu", bounds=(1, 1e4), whole=True)
spec("link_rate", "B / s", "Bus bandwidth over the fast link", of="gpu", bounds=(1e8, 1e14))
spec("link_latency", "s", "Floor of a small exchange over the fast link", of="gpu", bounds=(0, 1))
spec(
    "server_rate", "B / s", "Bus bandwidth within a server beyond it", of="gpu", bounds=(1e8, 1e14)
)
spec("server_latency", "s", "Floor of a small exchange there", of="gpu", bounds=(0, 1))
spec("network_rate", "B / s", "Network bandwidth of one GPU", of="gpu", bounds=(1e8, 1e13))
spec("network_latency", "s", "Floor of an exchange over the network", of="gpu", bounds=(0, 1))

spec("keep_all", "1", "Weight of all experts in what stays resident", of="policy", bounds=(0, 1))
spec("keep_batch", "1", "Weight of the batch's distinct experts", of="policy", bounds=(0, 1))
spec("keep_top_k", "1", "Weight of the experts of one token", of="policy", bounds=(0, 1))
spec("keep_slots", "1", "Weight of the cache slots", of="policy", bounds=(0, 1))
spec("reuse_weight", "1", "Share of the model's locality it keeps", of="policy", bounds=(0, 1))
spec("host_copy", "1", "Share of resident experts also in host memory", of="policy", bounds=(0, 1))
spec("host_compute", "1", "Share of misses computed on the host", of="policy", bounds=(0, 1))
spec("prediction", "1", "Share of the hit rate a policy can use", of="policy", bounds=(0, 1))
spec("predictor_size", "B", "Memory of the predictor", of="policy", bounds=(0, 1e12))

spec("expert_width", "B / parameter", "Bytes per expert parameter", of="precision", bounds=(0, 8))
spec(
    "shared_width",
    "B / parameter",
    "Bytes per shared-expert parameter",
    of="precision",
    bounds=(0, 8),
)
spec("router_width", "B / parameter", "Bytes per router parameter", of="precision", bounds=(0, 8))
spec(
    "attention_width",
    "B / parameter",
    "Bytes per attention parameter",
    of="precision",
    bounds=(0, 8),
)
spec("dense_width", "B / parameter", "Bytes per dense MLP parameter", of="precision", bounds=(0, 8))
spec(
    "state_space_width",
    "B / parameter",
    "Bytes per state-space parameter",
    of="precision",
    bounds=(0, 8),
)
spec("norm_width", "B / parameter", "Bytes per norm parameter", of="precision", bounds=(0, 8))
spec(
    "embedding_width",
    "B / parameter",
    "Bytes per embedding parameter",
    of="precision",
    bounds=(0, 8),
)
spec(
    "hidden_multiple",
    "1",
    "Hidden size is padded to this",
    of="precision",
    bounds=(1, 1e4),
    whole=True,
)
spec(
    "ffn_multiple",
    "1",
    "Intermediate size is padded to this",
    of="precision",
    bounds=(1, 1e4),
    whole=True,
)
spec("kv_width", "B / element", "Bytes per KV element", of="kv_precision", bounds=(0, 8))

spec("nominal_weight", "1", "Share of the budget on nominal memory", of="runtime", bounds=(0, 1))
spec("utilization", "1", "Share of memory the runtime may use", of="runtime", bounds=(0, 1))
spec("activation_weight", "1", "Share of the study's activation", of="runtime", bounds=(0, 1))
spec("context_memory", "B", "Device context and workspaces of one GPU", of="runtime")
spec("collective_memory", "B", "Buffers for exchange between GPUs", of="runtime")
spec("collective_growth", "B", "More of these per doubling of GPUs", of="runtime")
spec("graph_memory", "B", "CUDA graphs", of="runtime")
spec("sampler_copies", "1", "32-bit copies of the logits when sampling", of="runtime")
spec(
    "max_sequences",
    "1",
    "Sequences in flight, 0: by the card",
    of="runtime",
    bounds=(0, 1e6),
    whole=True,
)
spec(
    "max_batched_tokens",
    "token",
    "Tokens of a step, 0: by the card",
    of="runtime",
    bounds=(0, 1e8),
    whole=True,
)
spec("buffer_width", "B / element", "Bytes per activation in buffers", of="runtime", bounds=(0, 8))
spec(
    "rotary_width",
    "B / element",
    "Bytes per element of the rotary table",
    of="runtime",
    bounds=(0, 8),
)
spec("absorbed_width", "B / parameter", "Bytes per absorbed parameter", of="runtime", bounds=(0, 8))
spec("shared_copies", "1", "Weight of whole shared experts on a rank", of="runtime", bounds=(0, 1))
spec("padding", "1", "Weight of padding experts to the kernel", of="runtime", bounds=(0, 1))
spec("block_size", "token", "Tokens of a KV block", of="runtime", bounds=(1, 1e6), whole=True)
spec(
    "state_copies",
    "1",
    "Pages of state a sequence takes",
    of="runtime",
    bounds=(1, 1e3),
    whole=True,
)
spec(
    "slot_width", "B / token", "Bytes of the token table per sequence", of="runtime", bounds=(0, 64)
)
spec("power_weight", "1", "Weight of the power law, the rest drawn", of="routing", bounds=(0, 1))
spec("skew_scale", "1", "Scale of the model's skew", of="routing", bounds=(0, 1))
spec("gamma_scale", "1", "Weight of the model's gamma against 1", of="routing", bounds=(0, 1))
spec("tensor_degree", "1", "GPUs that share a layer", of="plan", bounds=(1, 1e5), whole=True)
spec("pipeline_degree", "1", "Stages of layers in series", of="plan", bounds=(1, 1e5), whole=True)
spec("data_degree", "1", "Ranks that share the sequences", of="plan", bounds=(1, 1e5), whole=True)
spec(
    "expert_degree",
    "1",
    "Ranks that share the experts, 1 if sliced",
    of="plan",
    bounds=(1, 1e5),
    whole=True,
)
