"""Verdicts, and assumptions as people name them."""

from collections.abc import Callable, Mapping

ROBUST, NEVER = 0.95, 0.05
"""A conclusion is robust from the first share of the space on, and wrong up to the second."""
VERDICTS = ("robust", "hangs on an assumption", "wrong")


def worded(change: Mapping[str, object]) -> str:
    """Name assumptions and what they become."""
    parts = [f"{TITLES.get(d, d)} {_label(d, v)}" for d, v in change.items()]
    return ", ".join(parts) if parts else "nothing in the space"


TITLES = {
    "step": "constants",
    "routing": "routing law",
    "dedup_exponent": "exponent",
    "activation": "activation x",
    "utilization": "memory used",
    "average": "average",
    "host_link_rate": "host link",
    "cache_slots": "slots beside the step's experts",
    "hit_rate": "hit rate",
    "gpu": "GPU",
}
SHOWN_AS: dict[str, Callable[[float], str]] = {
    "utilization": lambda v: f"{v:.0%}",
    "hit_rate": lambda v: f"{v:.1%}",
    "host_link_rate": lambda v: f"{v / 1e9:g} GB/s",
}


def _label(dim: str, value: object) -> str:
    if isinstance(value, str):
        return value.replace("_", " ")
    number = float(value)  # pyright: ignore[reportArgumentType]
    return SHOWN_AS.get(dim, lambda v: f"{v:g}")(number)
