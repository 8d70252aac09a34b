"""``config.json`` of a model -> one row of numbers, exact, or a refusal that says why.

Comes in: a path or the content of a config.  Goes out: a `Row`, in which every field has its
number, the arithmetic that gives it, and the keys of the config that it was counted from.
Why so: a config that is nearly understood gives numbers that are nearly right, which nobody
notices.  So a family is known or refused, a key that has no documented rule for its absence is
required, and a row whose numbers no model has is refused, always with a SpecError of one line.
`keys` checks single values, `family` and `families` say how each model_type writes itself down,
`fields` counts the fields.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from prophet_xr import schema  # noqa: F401  (declares the fields and their bounds)
from prophet_xr.catalogue.config.arithmetic import Count
from prophet_xr.catalogue.config.fields import FAMILIES, notes, row_fields
from prophet_xr.catalogue.config.keys import Config, load_config, shown_value
from prophet_xr.catalogue.config.stored_precision import stored_precision
from prophet_xr.errors import SpecError, nearest
from prophet_xr.registry import QUANTITIES

_EXACT = 2**53  # every whole number below is a float64
_ROUTED = ("moe_layers", "n_experts", "expert_parameters")
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


def read_config(source: object, name: str | None = None, like: str | None = None) -> Row:
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
    data = load_config(source)
    where = "" if isinstance(source, Mapping) else f" {source}"
    family = FAMILIES[_family(data, where, like)]
    inner = data.get(family.nested) if family.nested else None
    config = Config(inner if isinstance(inner, Mapping) else data, family, where)
    try:
        counts = row_fields(config)
    except RecursionError:
        raise config.refuse("nested too deeply; expected a config.json") from None
    _check(config, counts)
    return Row(
        name=name or _named(data, family.name),
        family=family.name,
        fields=counts,
        stored_precision=stored_precision(data, config.data),
        notes=notes(config, data),
        config=json.dumps(config.read, sort_keys=True, default=str),
    )


def _family(data: Mapping, where: str, like: str | None) -> str:
    """Name of the family to read a config as; SpecError if it is not known."""
    if like is not None:
        if like not in FAMILIES:
            raise SpecError(f"like={like!r} is no known family; {nearest(like, FAMILIES)}")
        return like
    kind = data.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise SpecError(
            f"config{where}: model_type={shown_value(kind)} is unknown; "
            f"{nearest(kind, FAMILIES)}; like= names one of {len(FAMILIES)} families to read it as"
        )
    return kind


def parameters(counts: Mapping[str, tuple[Count, str]]) -> int:
    """Parameters of the whole model."""
    fixed = sum(counts[name][0].value for name in FIXED)
    layers, experts, expert_parameters = (counts[n][0].value for n in _ROUTED)
    return round(fixed + layers * experts * expert_parameters)


def _named(data: Mapping, family: str) -> str:
    """Last part of ``_name_or_path``, or the family where the config has none."""
    path = data.get("_name_or_path")
    if not isinstance(path, str):
        return family
    last = path.rstrip("/").rsplit("/", 1)[-1][:80]
    return "".join(c for c in last if c.isprintable()) or family


def _check(config: Config, counts: Mapping[str, tuple[Count, str]]) -> None:
    """Refuse a row that no model has: fields out of bounds, or too large to be exact."""
    if parameters(counts) > _EXACT:
        raise config.refuse(f"{parameters(counts):,} parameters; expected at most {_EXACT:,}")
    for name, (count, _) in counts.items():
        low, high = QUANTITIES[name].bounds
        if not low <= count.value <= min(high, _EXACT):
            q = QUANTITIES[name]
            raise config.refuse(
                f"{name} = {count.text:.80} is outside [{low:g}, {min(high, _EXACT):g}] "
                f"({q.long_name}, {q.units})"
            )
