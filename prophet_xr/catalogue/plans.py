"""Parallel plans by their grammar: ``tp8``, ``tp8-pp2``, ``dp32-ep32`` -> degrees.

Comes in: the label of a plan.  Goes out: its degrees, which are the fields of a row of ``plan``.
Why so: a table of plans would be too long or too short; the label says all there is to know.
"""

import re

from prophet_xr.errors import InputError

DEGREES = {
    "tp": "tensor_degree",
    "pp": "pipeline_degree",
    "dp": "data_degree",
    "ep": "expert_degree",
}
LARGEST_DEGREE = 100_000
TENSOR_PLANS = ("tp1", "tp2", "tp4", "tp8", "tp8-pp2", "tp8-pp4", "tp8-pp8")
EXPERT_PLANS = ("dp2-ep2", "dp4-ep4", "dp8-ep8", "dp16-ep16", "dp32-ep32", "dp64-ep64")
USUAL = (*TENSOR_PLANS, *EXPERT_PLANS)  # plans of 1 to 64 GPUs, in servers of 8


def parse(label: str) -> dict[str, float]:
    """Degrees of a plan, 1 where the label does not name one.

    Raises InputError for what is no plan, or an expert degree that is neither 1 nor tp x dp.
    """
    degrees: dict[str, float] = {}
    for part in label.lower().split("-"):
        match = re.fullmatch(r"(tp|pp|dp|ep)([1-9][0-9]{0,5})", part)
        if not match or match[1] in degrees or int(match[2]) > LARGEST_DEGREE:
            raise InputError(
                f"plan={label!r} is no plan; expected tp, pp, dp and ep with their degrees, each "
                f"at most once, as tp8, tp8-pp2 or dp32-ep32"
            )
        degrees[match[1]] = float(match[2])
    ranks = degrees.get("tp", 1.0) * degrees.get("dp", 1.0)
    if degrees.get("ep", 1.0) not in (1.0, ranks):
        raise InputError(
            f"plan={label!r} has ep{degrees['ep']:.0f}; expected 1 (experts sliced over tp) or "
            f"tp x dp = {ranks:.0f}"
        )
    return {field: degrees.get(key, 1.0) for key, field in DEGREES.items()}
