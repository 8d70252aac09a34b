"""``config.json`` of a model -> one row of numbers, exact, or a refusal that says why."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from prophet_xr import schema  # noqa: F401  (declares the fields and their bounds)
from prophet_xr.errors import SpecError, nearest
from prophet_xr.importer.config import Config, load, shown
from prophet_xr.importer.counts import Count
from prophet_xr.importer.precision import stored_precision
from prophet_xr.importer.rows import FAMILIES, fields, notes
from prophet_xr.registry import QUANTITIES

EXACT = 2**53  # every whole number below is a float64
ROUTED = ("moe_layers", "n_experts", "expert_parameters")
FIXED = (
    *("shared_parameters", "router_parameters", "attention_parameters", "dense_parameters"),
    *("state_space_parameters", "norm_parameters", "embedding_parameters"),
)
# The published study charges every sequence a constant; it was fitted to the study's averages.
STUDY_SHARE = 0.01077
STUDY_SOURCE = f"{STUDY_SHARE} B per parameter and sequence, fitted to the study's averages"
# No config knows how its router behaves: independent tokens, and the median of measured caches.
ASSUMED = {
    "skew": (0.0, "no measurement: every expert alike"),
    "gamma": (1.0, "no measurement: tokens of a sequence independent"),
    "reuse_strength": (1.994, "no measurement: median of nine measured models, 0.46 to 4.0"),
    "reuse_exponent": (0.689, "no measurement: median of nine measured models, 0.62 to 0.89"),
}
QUARTER = "convention: a cache of a quarter of the experts, but never under top-k"


@dataclass(frozen=True)
class Row:
    """One model: each field with its arithmetic and the config keys it comes from."""

    name: str
    family: str
    fields: Mapping[str, tuple[Count, str]]
    stored_precision: str
    notes: str
    config: str

    @property
    def entries(self) -> dict[str, dict]:
        """Fields as the catalogue holds them: number, arithmetic as text, source, status."""
        total = parameters(self.fields)
        study = Count(STUDY_SHARE * total, f"{STUDY_SHARE} * {total}")
        every = {name: (*found, "exact") for name, found in self.fields.items()}
        every["study_activation"] = (study, STUDY_SOURCE, "stand-in")
        for name, (value, why) in ASSUMED.items():
            every[name] = (Count(value, f"{value:g}"), why, "assumed")
        every["cache_slots"] = (_quarter(self.fields), QUARTER, "assumed")
        return {
            name: {
                "number": count.value,
                "value": count.text,
                "source": keys or f"every {self.family} model",
                "status": status,
            }
            for name, (count, keys, status) in every.items()
        }


def read(source: object, name: str | None = None, like: str | None = None) -> Row:
    """Read a config from a path or a mapping.

    Parameters
    ----------
    source
        Path of a ``config.json``, or its content.
    name
        Name of the model; by default ``_name_or_path`` of the config, or its model_type.
    like
        Family to read it as, whatever its model_type says.

    Raises
    ------
    SpecError
        If it is no config of a known family, lacks a key that has no documented rule, or
        contradicts itself.
    """
    data = load(source)
    where = "" if isinstance(source, Mapping) else f" {source}"
    family = FAMILIES[_family(data, where, like)]
    inner = data.get(family.nested) if family.nested else None
    c = Config(inner if isinstance(inner, Mapping) else data, family, where)
    try:
        found = fields(c)
    except RecursionError:
        raise c.refuse("nested too deeply; expected a config.json") from None
    _check(c, found)
    return Row(
        name=name or _named(data, family.name),
        family=family.name,
        fields=found,
        stored_precision=stored_precision(data, c.data),
        notes=notes(c, data),
        config=json.dumps(c.read, sort_keys=True, default=str),
    )


def _quarter(found: Mapping[str, tuple[Count, str]]) -> Count:
    """Slots of a cache whose size nobody gave."""
    experts, k = (found[n][0].value for n in ("n_experts", "top_k"))
    slots = max(math.ceil(experts / 4), k)
    return Count(slots, f"{slots:g}")


def _family(data: Mapping, where: str, like: str | None) -> str:
    if like is not None:
        if like not in FAMILIES:
            raise SpecError(f"like={like!r} is no known family; {nearest(like, FAMILIES)}")
        return like
    kind = data.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise SpecError(
            f"config{where}: model_type={shown(kind)} is unknown; "
            f"{nearest(kind, FAMILIES)}; like= names one of {len(FAMILIES)} families to read it as"
        )
    return kind


def parameters(found: Mapping[str, tuple[Count, str]]) -> int:
    """Parameters of the whole model."""
    fixed = sum(found[name][0].value for name in FIXED)
    layers, experts, each = (found[n][0].value for n in ROUTED)
    return round(fixed + layers * experts * each)


def _named(data: Mapping, family: str) -> str:
    path = data.get("_name_or_path")
    if not isinstance(path, str):
        return family
    last = path.rstrip("/").rsplit("/", 1)[-1][:80]
    return "".join(c for c in last if c.isprintable()) or family


def _check(c: Config, found: Mapping[str, tuple[Count, str]]) -> None:
    """Refuse a row that no model has: fields out of bounds, or too large to be exact."""
    if parameters(found) > EXACT:
        raise c.refuse(f"{parameters(found):,} parameters; expected at most {EXACT:,}")
    for name, (count, _) in found.items():
        low, high = QUANTITIES[name].bounds
        if not low <= count.value <= min(high, EXACT):
            q = QUANTITIES[name]
            raise c.refuse(
                f"{name} = {count.text:.80} is outside [{low:g}, {min(high, EXACT):g}] "
                f"({q.long_name}, {q.units})"
            )
