"""What declares a quantity: ``axis``, ``spec`` and ``@metric``, each used once per name.

A metric is a plain scalar function.  Its argument names are its inputs, its name is the output,
the first line of its docstring is the title and the rest is the formula in words.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf

POLICY = "policy"
BASELINE = "baseline"  # the row of ``policy`` that ratios are taken against
_PREFIX = "baseline_"


@dataclass(frozen=True)
class Quantity:
    """A named number: what it is, in which unit, and where it comes from.

    ``of`` names the label axis a spec field belongs to; ``flags`` names the codes of an integer;
    what is ``optional`` has no default, and a sweep of all metrics does without it; what is
    ``whole`` is counted, and a fraction of one has no meaning.
    """

    name: str
    units: str
    long_name: str
    comment: str = ""
    of: str = ""
    bounds: tuple[float, float] = (0.0, inf)
    dtype: str = "float64"
    flags: tuple[str, ...] = ()
    optional: bool = False
    whole: bool = False
    formula: Callable[..., float] | None = field(default=None, repr=False)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Argument names of the formula, ``baseline_`` prefixes included."""
        return tuple(inspect.signature(self.formula).parameters) if self.formula else ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Quantities that the formula reads, each once."""
        return tuple(dict.fromkeys(map(of, self.inputs)))

    @property
    def attrs(self) -> dict[str, object]:
        """CF attributes, as written to every array of this quantity."""
        attrs: dict[str, object] = {"long_name": self.long_name, "units": self.units}
        if self.comment:
            attrs["comment"] = self.comment
        return attrs | (flags(self.flags) if self.flags else {})


def flags(meanings: Sequence[str]) -> dict[str, object]:
    """CF attributes of an integer that stands for one of these, from 0 on."""
    return {"flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}


QUANTITIES: dict[str, Quantity] = {}
LABELLED: list[str] = []  # axes whose values are labels of rows


def of(argument: str) -> str:
    """Name the quantity an argument reads: ``baseline_x`` is ``x`` in the policy row baseline."""
    return argument.removeprefix(_PREFIX)


def is_baseline(argument: str) -> bool:
    """Tell whether an argument reads the policy row ``baseline``."""
    return argument.startswith(_PREFIX)


def declare(quantity: Quantity) -> None:
    """Enter a quantity; a name is declared once."""
    if quantity.name in QUANTITIES:
        raise ValueError(f"quantity {quantity.name!r} is already declared")
    QUANTITIES[quantity.name] = quantity


def labels(name: str, long_name: str) -> None:
    """Declare an axis of labels, each of which is a row of spec fields."""
    LABELLED.append(name)
    declare(Quantity(name, "", long_name))


def axis(
    name: str,
    units: str,
    long_name: str,
    *,
    bounds: tuple[float, float],
    optional: bool = False,
    whole: bool = False,
) -> None:
    """Declare an axis of numbers."""
    declare(Quantity(name, units, long_name, bounds=bounds, optional=optional, whole=whole))


def spec(
    name: str,
    units: str,
    long_name: str,
    *,
    of: str,
    bounds: tuple[float, float] = (0.0, inf),
    comment: str = "",
    whole: bool = False,
) -> None:
    """Declare a field of the rows of label axis ``of``."""
    declare(Quantity(name, units, long_name, comment, of, bounds, whole=whole))


def metric(
    units: str, *, dtype: str = "float64", flags: tuple[str, ...] = ()
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Declare a scalar formula; the decorated function is returned untouched."""

    def register(formula: Callable[..., float]) -> Callable[..., float]:
        for name in inspect.signature(formula).parameters:
            if of(name) not in QUANTITIES:
                raise ValueError(
                    f"metric {formula.__name__!r} reads {name!r}, which is not declared"
                )
        title, _, comment = (inspect.getdoc(formula) or "").partition("\n")
        text = " ".join(comment.split())
        name = formula.__name__
        declare(
            Quantity(
                name, units, title.rstrip("."), text, dtype=dtype, flags=flags, formula=formula
            )
        )
        return formula

    return register


def metrics() -> list[Quantity]:
    """Metrics in the order they were declared, in which each reads only earlier ones."""
    return [q for q in QUANTITIES.values() if q.formula]


def fields(of: str) -> list[Quantity]:
    """Spec fields of the label axis ``of``."""
    return [q for q in QUANTITIES.values() if q.of == of]


def needed(wanted: Iterable[str]) -> frozenset[str]:
    """Return ``wanted`` and every quantity they read, directly or not."""
    return _needed(tuple(wanted))


@lru_cache(256)
def _needed(wanted: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += QUANTITIES[name].reads
    return frozenset(found)


@lru_cache(256)
def inputs_of(need: frozenset[str]) -> tuple[str, ...]:
    """Inputs among the quantities that are needed, in the order they were declared."""
    return tuple(n for n, q in QUANTITIES.items() if n in need and not q.formula)
