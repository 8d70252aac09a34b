"""Labelled inputs in, labelled cube out."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from prophet_xr import (
    checks,
    kernels,  # noqa: F401  (declares the metrics)
)
from prophet_xr.catalogue import lookup, specs
from prophet_xr.catalogue.plans import parse
from prophet_xr.catalogue.policies import (
    asked_only,
    by_policy,
    refuse_of_baseline,
    same_policies,
    with_baseline,
)
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.checks import CONTINUOUS, check, unique
from prophet_xr.engine import dask_blocks
from prophet_xr.engine.evaluate import evaluate, wanted_dims
from prophet_xr.engine.limits import in_force
from prophet_xr.engine.output_arrays import real_dtype
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.registry import (
    LABELLED,
    POLICY,
    QUANTITIES,
    Quantity,
    inputs_of,
    metrics,
    required,
)

STUDY_INPUTS = {"published": {"runtime": "study"}, "verified": {}}
STUDY_NAMES = {"qwen2-moe-57b": "qwen2-57b-a14b", "qwen3-235b": "qwen3-235b-a22b"}

BY_CARD = {"max_sequences": "default_sequences", "max_batched_tokens": "default_tokens"}
STORED = "stored"  # the precision in which each model is published

Values = str | float | Iterable[str | xr.Dataset] | Iterable[float] | xr.DataArray | xr.Dataset


# --- Inputs --------------------------------------------------------------------------------


def inputs(study: str = "verified", **chosen: Values) -> xr.Dataset:
    """Gather labelled inputs for a sweep.

    Parameters
    ----------
    study
        ``"verified"`` (true architectures) or ``"published"`` (the study's own constants).
    **chosen
        Any axis or spec field.  A list becomes a dimension, a scalar a 0-d coordinate, and an
        array keeps its dims and is put in the order of their labels; what is not given takes the
        study's default.  Label axes (model, gpu, policy, precision, kv_precision, runtime,
        routing, plan) take labels; the others numbers in SI units.  What is counted (batch,
        tokens, layers) is whole, unless it is an array with the attribute ``continuous``.
        ``context`` defaults to each model's native context.  A model may also be a row, as
        `spec_from_config` gives it; ``precision="stored"`` takes each model in the precision of
        its checkpoint.
        A policy field that is given holds for every policy but the baseline, which ratios are
        taken against: it keeps the row of the catalogue, unless an array along ``policy`` says
        otherwise.

    Returns
    -------
    xr.Dataset
        One variable per input, on the dims it varies over; its arrays are the caller's own.

    Raises
    ------
    InputError
        For an unknown name or label, a duplicate, an empty axis, text for a number, or a policy
        field that no policy takes.

    Examples
    --------
    >>> import prophet_xr as px
    >>> ds = px.inputs(model="mixtral-8x7b", gpu=["A100-80GB", "H200"], batch=[1, 16])
    >>> dict(ds.sizes)
    {'policy': 2, 'gpu': 2, 'batch': 2}
    """
    checks.choice("study", study, STUDY_INPUTS)
    for name in chosen:
        if name not in QUANTITIES or QUANTITIES[name].formula:
            known = [n for n, q in QUANTITIES.items() if not q.formula]
            near = nearest(name, known, "`px.inputs()`")
            raise InputError(f"{brief(name)} is no input; {near}")
    start = specs.read("defaults").assign_coords(STUDY_INPUTS[study])
    found: dict[str, xr.Variable] = {}  # one Dataset at the end: each merge would copy them all
    words: set[str] = set()
    for name, q in QUANTITIES.items():
        if name in LABELLED:
            rows = _labelled(name, chosen.get(name, start[name]), study)
            # a field that is given may be a dimension by now: no field of a row may have its name
            found |= {str(n): v for n, v in rows.variables.items() if n == name or n not in chosen}
            words |= {str(n) for n in rows.coords}
        elif name in chosen:
            found[name] = _numbers(q, chosen[name])
        elif name in start:
            found[name] = start[name].variable
    refuse_of_baseline(found, chosen)
    _align(found, {n: v for n, v in chosen.items() if isinstance(v, xr.DataArray)})
    try:
        # copies: what is written into them is neither in the catalogue nor in the caller's arrays
        data = xr.Dataset({n: v.copy() for n, v in found.items()}).set_coords(words)
    except ValueError as problem:
        first = str(problem).partition("\n")[0]
        raise InputError(f"inputs do not fit together: {first}") from None
    if STORED in np.atleast_1d(data.precision.values):
        data = _stored(data, study)
    data = _by_card(data)
    if "context" not in chosen:
        context = data.native_context.variable.copy()
        context.attrs = dict(QUANTITIES["context"].attrs)
        data = data.assign(context=context)
    given = [n for n in QUANTITIES if n in data and not QUANTITIES[n].of and n != "context"]
    return data.set_coords([n for n in given if data[n].ndim == 0])


def _align(found: dict[str, xr.Variable], arrays: Mapping[str, xr.DataArray]) -> None:
    """Put arrays in the order of the labels of their dims; keep the labels of other dims."""
    for name, array in arrays.items():
        for dim in (d for d in map(str, array.dims) if d != name):
            if dim in found and dim not in found[dim].dims:
                raise InputError(
                    f"{name} varies along {dim!r}, which is no dim here; expected a list of {dim}"
                )
            if dim not in array.coords:
                continue
            own = array[dim].values
            unique(dim, own)
            labels = found.setdefault(dim, xr.Variable(dim, own)).values.tolist()
            at = {_key(dim, label): i for i, label in enumerate(own.tolist())}
            lacking = [label for label in labels if _key(dim, label) not in at]
            if lacking:
                raise InputError(f"{name} has no value at {dim}={lacking[0]!r}; expected one each")
            if name in found:
                found[name] = found[name].isel({dim: [at[_key(dim, label)] for label in labels]})


def _key(dim: str, label: object) -> object:
    """What labels are compared by: those of the catalogue in lower case."""
    return label.lower() if dim in LABELLED and isinstance(label, str) else label


def _labelled(name: str, values: Values, study: str) -> xr.Dataset:
    """Rows of a label axis, by label; a model may be given as a row of its own."""
    if isinstance(values, xr.DataArray) and values.dims not in ((), (name,)):
        raise InputError(
            f"{name} has dims {values.dims}; expected labels along {name!r} itself, to be selected "
            f"from what px.inputs gives"
        )
    asked = values.values.tolist() if isinstance(values, xr.DataArray) else values
    scalar = isinstance(asked, str | xr.Dataset)
    labels = [asked] if scalar else _listed(name, asked)
    given = lookup.row_labels(labels) if name == "model" else {}
    known = [*lookup.known_labels(name, study), *([STORED] if name == "precision" else [])]
    found = [
        str(label["model"].item())
        if name == "model" and isinstance(label, xr.Dataset)
        else _known(name, label, known)
        for label in labels
    ]
    unique(name, found)
    rows = lookup.rows_by_label(name, study, found, given)
    if name == "precision" and STORED in found:
        rows = rows.reindex({name: [*rows[name].values, STORED]})  # filled in once models are known
    return rows.sel({name: found[0] if scalar else found})


def _stored(data: xr.Dataset, study: str) -> xr.Dataset:
    """Give the precision ``stored`` to each model the widths it is published in."""
    if study == "published":
        raise InputError("precision='stored' needs study='verified'; the study knows no storage")
    rows = specs.rows("precision")
    known = rows.precision.values.tolist()
    for model, stored in zip(
        np.atleast_1d(data.model), np.atleast_1d(data.stored_precision), strict=True
    ):
        if stored not in known:
            raise InputError(
                f"precision='stored' at model={str(model)!r}: its config says {str(stored)!r}; "
                f"expected one of {', '.join(known)}"
            )
    own = rows.sel(precision=data.stored_precision.variable).drop_vars("precision")
    here = data.precision == STORED
    widths = {n: xr.where(here, own[n], data[n]).assign_attrs(own[n].attrs) for n in own.data_vars}
    return data.assign({n: v.variable for n, v in widths.items()})


def _by_card(data: xr.Dataset) -> xr.Dataset:
    """Where a runtime leaves a limit to the engine (0), put its default for the card."""
    for name, own in BY_CARD.items():
        left = data[name] == 0
        if left.any():
            limit = xr.where(left, data[own], data[name])
            data = data.assign({name: limit.variable.copy()})
            data[name].attrs = dict(QUANTITIES[name].attrs)
    return data


def _listed(name: str, values: object) -> list:
    if not isinstance(values, Iterable) or isinstance(values, Mapping | bytes):
        raise InputError(f"{name}={brief(values)} is no label; expected text or a list of it")
    listed = list(values)
    if not listed:
        raise InputError(f"{name}=[] is empty; expected at least one value")
    return listed


def _known(name: str, label: object, known: list[str]) -> str:
    by_slug = {k.lower(): k for k in known}
    slug = str(label).lower()
    if not isinstance(label, str):
        row = " or a row" if name == "model" else ""
        raise InputError(f"{name}={brief(label)} is no label; expected text{row}")
    if name == "plan":
        parse(slug)
        return slug
    slug = STUDY_NAMES.get(slug, slug) if name == "model" else slug
    if slug not in by_slug:
        words = nearest(label, known, "`prophet-xr specs`")
        raise InputError(f"{name}={brief(label)} is not in the catalogue; {words}")
    return by_slug[slug]


def _numbers(q: Quantity, values: Values) -> xr.Variable:
    """One number, a list that becomes a dimension of its own, or an array with its dims."""
    if isinstance(values, xr.DataArray):
        variable = values.variable
        checks.units(q, values.attrs.get("units", q.units))
    else:
        single = np.isscalar(values) or (isinstance(values, np.ndarray) and values.ndim == 0)
        listed = values if single else _listed(q.name, values)
        try:
            array = np.asarray(listed)
        except ValueError:
            array = np.asarray(listed, object)
        if array.ndim > 1:
            raise InputError(f"{q.name} has shape {array.shape}; expected a number or a flat list")
        variable = xr.Variable((q.name,) if array.ndim else (), array)
    for dim in map(str, variable.dims):
        if dim in QUANTITIES and QUANTITIES[dim].formula:
            raise InputError(
                f"{q.name} has a dim {dim!r}, which is a metric; expected another name"
            )
    if variable.dtype.kind not in "iuf":
        got = variable.values.tolist()
        raise InputError(
            f"{q.name}={brief(got)} is not numeric; expected {q.long_name} [{q.units}]"
        )
    if variable.dims == (q.name,):
        unique(q.name, variable.values)
    marks = {n: v for n, v in variable.attrs.items() if n == CONTINUOUS}
    return xr.Variable(variable.dims, variable.values, q.attrs | marks)


# --- Sweep ---------------------------------------------------------------------------------


def sweep(
    data: xr.Dataset,
    metrics: Iterable[str] | None = None,
    *,
    dtype: str = "float64",
    out: xr.Dataset | None = None,
) -> xr.Dataset:
    """Evaluate metrics on the outer product of the dims of the inputs.

    Parameters
    ----------
    data
        What `inputs` returns; any input may carry an extra dimension.  After
        ``inputs.chunk(...)`` the cube is lazy, to be computed by any dask scheduler; dims that no
        input but an index has, which xarray does not chunk, are cut until a block takes 64 MiB.
    metrics
        Names of the metrics to keep; all of them by default.
    dtype
        ``"float32"`` stores real metrics in 4 bytes; the arithmetic stays float64.
    out
        A cube of an earlier sweep over the same dims, the baseline first among its policies,
        whose arrays are filled anew; the cube that is returned shares them.  Memory already in
        use is filled faster than new memory.

    Returns
    -------
    xr.Dataset
        The inputs and the metrics, each on its natural dims: the union of those of what it reads.

    Raises
    ------
    InputError
        For an unknown metric, an input that is missing, not finite or out of bounds, an ``out``
        that does not match, or a cube larger than the memory that is free.
    """
    wanted, dtype = metric_names(metrics, data), real_dtype(dtype)
    if data.chunks:
        if out is not None:
            raise InputError("out= is no place for a lazy cube; expected inputs without chunks")
        return _lazy(data, wanted, dtype)
    full = complete(data, required(wanted))
    if isinstance(out, xr.Dataset) and not same_policies(full, data):
        asked = data.variables[POLICY].values.tolist()
        raise InputError(f"out= with policy={asked!r}; expected the baseline first among policies")
    arrays = evaluate(full, wanted, dtype, in_force(), out)
    labelled = {n: (dims, array, QUANTITIES[n].attrs) for n, (dims, array) in arrays.items()}
    given = {n: v for n, v in full.variables.items() if n not in full.coords}
    return asked_only(xr.Dataset(given | labelled, full.coords, full.attrs | provenance()), data)


def _lazy(data: xr.Dataset, wanted: list[str], dtype: str) -> xr.Dataset:
    """Sweep block by block, when somebody asks for a block."""
    known = data.compute()
    complete(known, required(wanted))
    dims_of = wanted_dims(by_policy(known), wanted)
    cube = dask_blocks.lazy_cube(known, dims_of, data.chunksizes, wanted, dtype, sweep, in_force())
    return cube.assign_attrs(provenance())


def metric_names(names: Iterable[str] | None, data: xr.Dataset) -> list[str]:
    """Names of metrics; by default all but those of an optional input that is not given."""
    checks.dataset("the inputs", data)
    every = [q.name for q in metrics()]
    if names is None:
        lacking = {n for n, q in QUANTITIES.items() if q.optional and n not in data.variables}
        return [n for n in every if not lacking & required([n])]
    wanted = checks.texts("metrics", names)
    if not wanted:
        raise InputError("metrics=[] is empty; expected at least one name")
    for name in wanted:
        if name not in every:
            words = nearest(name, every, "`prophet-xr metrics`")
            raise InputError(f"metric {brief(name)} is unknown; {words}")
    return wanted


def complete(data: xr.Dataset, need: frozenset[str]) -> xr.Dataset:
    """Check the inputs that are needed, and put the baseline row of ``policy`` first."""
    check(data, inputs_of(need))
    return with_baseline(data)
