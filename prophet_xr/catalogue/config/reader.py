"""``config.json`` of a model -> one row of numbers, exact, or a refusal that says why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from prophet_xr import schema  # noqa: F401  (declares the fields and their bounds)
from prophet_xr.catalogue.config.arithmetic import Count
from prophet_xr.catalogue.config.fields import FAMILIES, fields, notes
from prophet_xr.catalogue.config.keys import Config, load, shown
from prophet_xr.catalogue.config.stored_precision import stored_precision
from prophet_xr.errors import SpecError, nearest
from prophet_xr.registry import QUANTITIES

EXACT = 2**53  # every whole number below is a float64
ROUTED = ("moe_layers", "n_experts", "expert_parameters")
FIXED = (
    *("shared_parameters", "router_parameters", "attention_parameters", "dense_parameters"),
    *("state_space_parameters", "norm_parameters", "embedding_parameters"),
)


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
    def parameters(self) -> int:
        """Parameters of the whole model."""
        return parameters(self.fields)


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


def _family(data: Mapping, where: str, like: str | None) -> str:
    if like is not None:
        if like not in FAMILIES:
            raise SpecError(f"like={like!r} is no known family; {nearest(like, FAMILIES)}")
        return like
    kind = data.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise SpecError(
            f"config{where}: model_type={shown(kind)} is unknown; known: "
            f"{', '.join(sorted(FAMILIES))}; like= names one to read it as"
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
