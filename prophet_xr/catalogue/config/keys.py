"""Checked access to the keys of a config.json.

Comes in: a config, and the `Family` that says under which keys its values are.  Goes out: single
values, each of the type and between the bounds that the caller names, or a SpecError.
Why so: a config is a file from anywhere.  No rule of a family handles a wrong type or an absurd
number; it asks a `Config` for a whole number and gets one.  The `Config` also notes which keys
were read: that is the source of the number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING

from prophet_xr.errors import SpecError

if TYPE_CHECKING:
    from prophet_xr.catalogue.config.family import Family

MOST_BYTES = 4_000_000  # a config.json takes a few kB; one with every layer spelt out, 100 kB
_MOST = 10**9  # of anything that a config counts
MOST_LAYERS = 10_000
ABSENT = object()  # in place of the value of a key that is missing; a null key gives None


class _Brief(Repr):
    """A few characters of any value, however deep or long it is."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return f"<{bits} bits>" if bits > 128 else repr(x)


shown_value = _Brief().repr


def load_config(source: object) -> Mapping:
    """Read a config from a path, or take a mapping as it is."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, str | Path):
        raise SpecError(f"config: got {shown_value(source)}; expected a path or a mapping")
    try:
        size = Path(source).stat().st_size
        if not Path(source).is_file():  # a pipe would be waited for, a device never ends
            raise SpecError(f"config {source}: cannot be read: it is no plain file")
        if size > MOST_BYTES:
            raise SpecError(f"config {source}: {size:,} bytes; expected at most {MOST_BYTES:,}")
        data = json.loads(Path(source).read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        if isinstance(problem, SpecError):
            raise
        raise SpecError(f"config {source}: cannot be read as JSON: {problem}") from None
    if not isinstance(data, Mapping):
        raise SpecError(f"config {source}: got {shown_value(data)}; expected a JSON object")
    return data


def _simple(value: object) -> bool:
    """Whether a value may be an item of a list: a text, or a whole number of a usual size."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) <= _MOST)


def peek(data: object, path: str) -> object:
    """Value at a dotted path, unchecked, or ABSENT."""
    for key in path.split("."):
        if not isinstance(data, Mapping) or key not in data:
            return ABSENT
        data = data[key]
    return data


class Config:
    """Values of one config.json by the names of its family.

    What is read is kept: in ``seen`` as provenance of one number, in ``read`` of the whole row.
    """

    def __init__(self, data: Mapping, family: Family, where: str) -> None:
        self.data, self.family, self.where = data, family, where
        self.seen: dict[str, str] = {}
        self.read: dict[str, object] = {}

    def refuse(self, problem: str) -> SpecError:
        """Word a refusal: which config, what is wrong with it."""
        return SpecError(f"config{self.where}: {problem}")

    def get(self, name: str) -> object:
        """Value under the key that the family names, or its value for a missing key.

        Raises SpecError if it is missing without a rule, or if two of its names contradict.
        """
        paths = self.family.keys.get(name, name)
        paths = (paths,) if isinstance(paths, str) else paths
        by_path = {path: value for path in paths if (value := self.peek(path)) is not ABSENT}
        values = list(by_path.values())
        if any(value != values[0] for value in values):
            raise self.refuse(f"{' and '.join(by_path)} contradict: {shown_value(values)}")
        if by_path:
            path = next(iter(by_path))
            self.seen[path], self.read[path] = shown_value(values[0]), values[0]
            return values[0]
        rule = self.family.absent.get(name, ABSENT)
        if rule is ABSENT:
            names = " or ".join(repr(path) for path in paths)
            raise self.refuse(f"key {names} is missing; family {self.family.name!r} needs it")
        self.seen[f"no {paths[0]}"] = ""
        return rule

    def peek(self, path: str) -> object:
        """Value at a dotted path, unchecked, or ABSENT."""
        return peek(self.data, path)

    def whole(self, name: str, low: int = 1, high: int = _MOST) -> int:
        """Whole number in ``[low, high]``."""
        return self._whole(name, self.get(name), low, high)

    def _whole(self, name: str, value: object, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            wanted = f"expected a whole number in [{low}, {high}]"
            raise self.refuse(
                f"{name}={shown_value(value)} in family {self.family.name!r}; {wanted}"
            )
        return value

    def whole_or_null(self, name: str, low: int = 1, high: int = _MOST) -> int | None:
        """Whole number, or None where the key is null or a rule says it means nothing."""
        value = self.get(name)
        return None if value is None else self._whole(name, value, low, high)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.refuse(f"{name}={shown_value(value)}; expected true or false")
        return value

    def list_or_null(self, name: str, length: int | None = None) -> list | None:
        """List, of a given length if one is given; None where the key is null or missing."""
        value = self.get(name)
        if value is None:
            return None
        good = isinstance(value, list) and all(map(_simple, value))
        if not isinstance(value, list) or not good or len(value) != (length or len(value)):
            wanted = "names or numbers" if length is None else f"{length} names or numbers"
            raise self.refuse(f"{name}={shown_value(value)}; expected a list of {wanted}")
        return value

    def uniform(self, name: str, low: int = 1) -> int:
        """Whole number, or a list of one per layer that are all the same."""
        value = self.get(name)
        if isinstance(value, list):
            if not value or any(type(v) is not type(value[0]) or v != value[0] for v in value):
                raise self.refuse(
                    f"{name}={shown_value(value)} differs between layers; expected one for all"
                )
            value = value[0]
        return self._whole(name, value, low, _MOST)

    # --- What several rules need ---------------------------------------------------------

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return self.whole("num_hidden_layers", high=MOST_LAYERS)

    @property
    def hidden(self) -> int:
        """Hidden size."""
        return self.whole("hidden_size")

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.whole("num_attention_heads")

    @property
    def kv_heads(self) -> int:
        """Key-value heads; null means one per query head."""
        kv = self.whole_or_null("num_key_value_heads") or self.heads
        if self.heads % kv:
            raise self.refuse(
                f"num_key_value_heads={kv} does not divide num_attention_heads={self.heads}"
            )
        return kv

    @property
    def head_dim(self) -> int:
        """Width of a head; null means hidden size / heads."""
        given = self.whole_or_null("head_dim")
        if given:
            return given
        if self.hidden % self.heads:
            raise self.refuse(
                f"hidden_size={self.hidden} is no multiple of num_attention_heads={self.heads}, "
                f"and no head_dim says otherwise"
            )
        return self.hidden // self.heads

    @property
    def moe_layers(self) -> list[int]:
        """Indices of the layers that hold experts."""
        return self.family.experts_in(self)

    def count_layers(self, kind: str) -> int:
        """How many layers are ``full``, ``windowed`` or ``linear``."""
        return self.family.kinds(self).count(kind)
