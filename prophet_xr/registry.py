"""What declares a quantity: ``axis``, ``spec`` and ``@metric``, each used once per name.

A metric is a plain scalar function.  Its argument names are its inputs, its name is the output,
the first line of its docstring is the title and the rest is the formula in words.
"""

import builtins
import dis
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf
from types import CodeType, FunctionType, ModuleType

POLICY = "policy"
BASELINE = "baseline"  # the row of ``policy`` that ratios are taken against
_PREFIX = "baseline_"
MODULES = {
    "math": "math",
    "np": "numpy",
}  # that compiled formulas know, by the name they have there


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
        return tuple(dict.fromkeys(map(quantity_of, self.inputs)))

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


def quantity_of(argument: str) -> str:
    """Name the quantity an argument reads: ``baseline_x`` is ``x`` in the policy row baseline."""
    return argument.removeprefix(_PREFIX)


def is_baseline(argument: str) -> bool:
    """Tell whether an argument reads the policy row ``baseline``."""
    return argument.startswith(_PREFIX)


def declare(quantity: Quantity) -> None:
    """Enter a quantity; a name is declared once."""
    if quantity.name in QUANTITIES:
        title = QUANTITIES[quantity.name].long_name
        raise ValueError(f"quantity {quantity.name!r} is already declared: {title}")
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
        carried(formula)
        for name in inspect.signature(formula).parameters:
            if quantity_of(name) not in QUANTITIES:
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


def carried(formula: Callable) -> dict[str, FunctionType | float]:
    """Helpers and constants that a formula reads by name: what is written out when it is compiled.

    Raises ValueError for what cannot be written out: such a formula would only work uncompiled.
    """
    if not isinstance(formula, FunctionType) or formula.__name__ == "<lambda>":
        raise ValueError(f"formula {formula!r} is no function with a name; expected a def")
    return _carried(formula, ())


def _carried(formula: FunctionType, callers: tuple[object, ...]) -> dict[str, FunctionType | float]:
    code, where = formula.__code__, f"formula {formula.__name__!r}"
    if formula in callers:
        raise ValueError(f"{where} calls itself; expected a loop")
    if code.co_freevars:
        raise ValueError(
            f"{where} reads {code.co_freevars[0]!r} of the function around it; expected a constant "
            f"or a helper of its module"
        )
    if not linecache.getlines(code.co_filename, formula.__globals__):
        raise ValueError(f"{where} has no text to compile; expected it in a file or a notebook")
    found = {}
    for name in _global_names(code):
        value = formula.__globals__.get(name, getattr(builtins, name, None))
        if isinstance(value, FunctionType):
            _carried(value, (*callers, formula))
        elif not isinstance(value, int | float):
            if name in formula.__globals__:
                _known_module(where, name, value)
            elif value is None:
                raise ValueError(f"{where} reads {name!r}, which is not defined yet")
            continue
        found[name] = value
    return found


def _global_names(code: CodeType) -> Iterator[str]:
    """Names that code reads from its module, each once, those of functions inside it last."""
    read = {
        i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    yield from (name for name in code.co_names if name in read)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from (name for name in _global_names(inner) if name not in read)


def _known_module(where: str, name: str, value: object) -> None:
    """Raise ValueError for what is none of the modules that compiled formulas know."""
    if isinstance(value, ModuleType) and MODULES.get(name) == value.__name__:
        return
    what = f"module {value.__name__!r}" if isinstance(value, ModuleType) else type(value).__name__
    raise ValueError(
        f"{where} reads {name!r} ({what}), which cannot be compiled; expected a number, a function "
        f"or a module as {' or '.join(MODULES)}"
    )


def metrics() -> list[Quantity]:
    """Metrics in the order they were declared, in which each reads only earlier ones."""
    return [q for q in QUANTITIES.values() if q.formula]


def fields(of: str) -> list[Quantity]:
    """Spec fields of the label axis ``of``."""
    return [q for q in QUANTITIES.values() if q.of == of]


def required(wanted: Iterable[str]) -> frozenset[str]:
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
