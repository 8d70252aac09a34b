"""Verdicts, sides of a target, and assumptions as people name them."""

from collections.abc import Callable, Mapping


def worded(change: Mapping[str, object]) -> str:
    """Name assumptions and what they become."""
    parts = [f"{title(d)} {label_text(d, v)}" for d, v in change.items() if v != ""]
    return ", ".join(parts) if parts else "nothing in the space"


_TITLES = {
    "step": "constants",
    "routing": "routing law",
    "dedup_exponent": "exponent",
    "study_activation": "activation charge",
    "activation": "activation x",
    "utilization": "memory used",
    "average": "average",
    "host_link_rate": "host link",
    "cache_slots": "slots next to the step's experts",
    "hit_rate": "hit rate",
    "gpu": "GPU",
    "expert_parameters": "expert size",
    "kv_full": "KV size",
    "kv_extension": "KV extension",
    "kv_budget": "KV budget",
    "step_time": "step time",
    "max_context": "longest context",
    "reuse_strength": "locality",
    "reuse_exponent": "locality exponent",
    "memory_rate": "GPU memory rate",
}
SHOWN_AS: dict[str, Callable[[float], str]] = {
    "utilization": lambda v: f"{v:.0%}",
    "hit_rate": lambda v: f"{v:.1%}",
    "host_link_rate": lambda v: f"{v / 1e9:g} GB/s",
    "copy_latency": lambda v: f"{1e6 * v:.2g} µs",
    "software_floor": lambda v: f"{1e3 * v:.2g} ms",
}


_LABELS = {"published": "the study's", "exact_kv": "exact KV", "bare": "true architectures"}


def title(name: str) -> str:
    """Name an input or a metric as people do."""
    return _TITLES.get(name, name).replace("_", " ")


def label_text(dim: str, value: object) -> str:
    """Word the label of an assumption."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return _LABELS.get(str(value), str(value)).replace("_", " ")
    return SHOWN_AS.get(dim, lambda v: f"{v:.3g}")(number)
