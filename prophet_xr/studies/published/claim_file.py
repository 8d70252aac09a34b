"""What the published study prints: ``data/claims.toml``, read and checked; verdicts on it."""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from inspect import formatannotation

from prophet_xr.catalogue import specs
from prophet_xr.errors import SpecError, nearest

UNITS = {"%": 0.01, "MB": 1e6, "GB": 1e9, "TB": 1e12}
UNITS |= {"billion parameters": 1e9, "billion parameters at 2 B": 2e9}
UNITS |= dict.fromkeys(("1", "x", "tokens", "experts", "count", "label", "bool"), 1.0)
DECIMAL = ", decimal"  # ending of a unit whose megabytes are the study's, counted as 1e6 B


CONTRADICTION = 0.1
"""Share by which the true architecture may differ from a published number and still agree."""
CLAIM_VERDICTS = REPRODUCED, FITTED, PART, REFUTED, CONVENTION, MISSED, UNANSWERED = (
    *("reproduced", "reproduced with a fitted constant", "reproduced in part"),
    *("refuted by the true architecture", "depends on the memory convention"),
    *("not reproduced", "not answerable by this sweep"),
)
RULES = f"""\
Verdicts are given by these rules, in this order; means of the extension are the study's, over every
cell and 0 where the baseline does not fit.

1. *{UNANSWERED}*: the reason says what it would take.
2. *{MISSED}*: under the study's constants the number is off by more than the rounding of the
   printed one allows. Of a range, or of one number said of several models, one end of two is a
   part.
3. What is hit is held against `architecture` (exact parameters and KV bytes, in the study's nominal
   memory and with its charge for activations) and against `verified` (usable memory and no such
   charge besides). It agrees within {CONTRADICTION:.0%} of the published number; labels, counts and
   yes-or-no must be equal, and an extension over a baseline that does not fit agrees with 0.
   What disagrees with both is *{REFUTED}*; with one of them, it
   *{CONVENTION}*.
4. *{PART}*: another part.
5. *{REPRODUCED}*: the study's constants give it without those that were fitted to it; else
   *{FITTED}*."""


@dataclass(frozen=True)
class Claim:
    """One number that the study prints, or two (value and high); no label means all of them."""

    id: str
    document: str
    quote: str
    quantity: str
    unit: str
    value: float
    tolerance: tuple[float, ...]
    high: float
    model: tuple[str, ...] = ()
    n_experts: tuple[int, ...] = ()
    gpu: tuple[str, ...] = ()
    batch: tuple[int, ...] = ()
    context: float = 0.0
    note: str = ""
    unanswerable: str = ""


def read_claims(quantities: Collection[str] | None = None) -> list[Claim]:
    """Read the published claims; SpecError if ``data/claims.toml`` is missing or broken.

    ``quantities`` are those that can be answered; others must have a reason in the file.
    """
    file = specs.path().with_name("claims.toml")
    try:
        table = tomllib.loads(file.read_text(encoding="ascii"))
        entries, reasons = [dict(e) for e in table["claim"]], dict(table["unanswerable"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SpecError(f"claims: {file} cannot be read ({problem}); expected [[claim]]s") from None
    axes = {axis: specs.read(axis)[axis].values.tolist() for axis in ("model", "gpu")}
    where = "claims: {file}, claim {id!r}".format
    claims = [
        _claim(e, quantities, reasons, axes, where(file=file, id=e.get("id"))) for e in entries
    ]
    ids = [claim.id for claim in claims]
    for twice in (i for i in ids if ids.count(i) > 1):
        raise SpecError(f"claims: {file} holds {twice!r} twice; expected unique ids")
    return claims


def _claim(
    entry: dict,
    quantities: Collection[str] | None,
    reasons: Mapping[str, str],
    axes: Mapping[str, list],
    where: str,
) -> Claim:
    kinds = {f.name: formatannotation(f.type) for f in fields(Claim)}
    _known(where, "field", entry, kinds)
    given = {**entry, "high": entry.get("high", entry.get("value"))}
    for name in (f.name for f in fields(Claim) if f.default is MISSING and f.name not in given):
        raise SpecError(f"{where}: {name} is missing; expected {kinds[name]}")
    for name, value in given.items():
        listed, kind = "tuple" in kinds[name], str if "str" in kinds[name] else (int, float)
        items = tuple(value) if listed and isinstance(value, list) else (value,)
        if not items or any(isinstance(i, bool) or not isinstance(i, kind) for i in items):
            raise SpecError(f"{where}: {name}={value!r}; expected {kinds[name]}")
        given[name] = items if listed else value
    claim = Claim(**given)
    if quantities is not None:
        _known(where, "quantity", [claim.quantity], [*quantities, *reasons])
    if claim.quantity in reasons:
        return replace(claim, unanswerable=reasons[claim.quantity])
    _known(where, "unit", [claim.unit.removesuffix(DECIMAL)], UNITS)
    _known(where, "model", claim.model, axes["model"])
    _known(where, "gpu", claim.gpu, axes["gpu"])
    return claim


def _known(where: str, name: str, labels: Iterable[str], known: Collection[str]) -> None:
    for got in (label for label in labels if label not in known):
        raise SpecError(f"{where}: {name} {got!r} is unknown; {nearest(got, known)}")
