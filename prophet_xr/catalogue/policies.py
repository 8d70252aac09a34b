"""The policies of a sweep: the baseline, against which ratios are taken, is always among them.

Its row is the catalogue's.  What is given for every policy alike changes every other row; only an
array along ``policy`` that names the baseline changes the baseline.
"""

from collections.abc import Container, Mapping

import numpy as np
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.errors import InputError
from prophet_xr.registry import BASELINE, POLICY, fields


def refuse_of_baseline(found: Mapping[str, xr.Variable], chosen: Container[str]) -> None:
    """Refuse a policy field that is given for the baseline alone, which keeps its own."""
    if not (found[POLICY].values == BASELINE).all():
        return
    for name in (q.name for q in fields(POLICY) if q.name in chosen):
        if POLICY not in found[name].dims:
            raise InputError(
                f"{name} is given for the baseline alone, which keeps its own; expected another "
                f"policy, or an array along {POLICY!r}"
            )


def with_baseline(data: xr.Dataset) -> xr.Dataset:
    """Put the baseline first among the policies, and let it keep its own row.

    From the catalogue if it was not asked for, or if a field is given for every policy alike.
    """
    return by_policy(_baseline_first(data))


def _baseline_first(data: xr.Dataset) -> xr.Dataset:
    if POLICY not in data.variables:
        raise InputError(f"{POLICY} is missing; expected labels, as px.inputs gives them")
    labels = np.atleast_1d(data.variables[POLICY].values).tolist()
    attrs = data.variables[POLICY].attrs
    if POLICY not in data.dims:
        names = [q.name for q in fields(POLICY) if q.name in data and q.name not in data.dims]
        rows = data[names].drop_vars(POLICY, errors="ignore").expand_dims(POLICY)
        data = data.drop_vars([POLICY, *names]).assign(rows)
        data = data.assign_coords({POLICY: (POLICY, labels, attrs)})
    if labels[0] == BASELINE:
        return data
    if BASELINE in labels:
        return data.isel({POLICY: sorted(range(len(labels)), key=lambda i: labels[i] != BASELINE)})
    row = specs.rows(POLICY).sel({POLICY: BASELINE})
    own = [str(n) for n, v in data.variables.items() if POLICY in v.dims and n != POLICY]
    dim = (POLICY, [BASELINE, *labels], attrs)
    if not own:
        return data.drop_vars(POLICY).assign_coords({POLICY: dim})
    first = data[own].isel({POLICY: [0]}).assign_coords({POLICY: [BASELINE]})
    for name in own:
        if name in row:
            first[name] = first[name].copy(data=np.full(first[name].shape, row[name].item()))
    joined = xr.concat([first, data[own]], POLICY)
    return data.drop_dims(POLICY).assign(joined).assign_coords({POLICY: dim})


def _alike(data: xr.Dataset) -> list[str]:
    """Policy fields that are the same for every policy of the inputs."""
    names = [q.name for q in fields(POLICY) if q.name in data.variables]
    return [n for n in names if POLICY not in data.variables[n].dims]


def by_policy(data: xr.Dataset) -> xr.Dataset:
    """Let the baseline keep its own row of what is given for every policy.

    A field that is a dim of its own has both dims then, and no labels.
    """
    if POLICY not in data.dims or not (names := _alike(data)):
        return data
    is_baseline = xr.Variable(POLICY, data.variables[POLICY].values == BASELINE)
    row = specs.rows(POLICY).sel({POLICY: BASELINE})
    fields_by_policy = {}
    for name in names:
        given = data.variables[name].to_base_variable()
        both = xr.where(is_baseline, row[name].item(), given).transpose(POLICY, *given.dims)
        fields_by_policy[name] = xr.Variable(both.dims, both.values, given.attrs)
    return data.drop_vars(names).assign(fields_by_policy)


def asked_only(cube: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Undo `with_baseline`: only the policies asked for, in their order, and what was given."""
    given = [n for n in _alike(data) if POLICY in data.dims or n in data.dims]
    if given:
        cube = cube.drop_vars(given).assign({n: data.variables[n] for n in given})
    if POLICY not in data.dims:
        return cube.sel({POLICY: data[POLICY].item()})
    if same_policies(cube, data):  # a selection would copy every array
        return cube
    return cube.sel({POLICY: data.variables[POLICY].values})


def same_policies(cube: xr.Dataset, data: xr.Dataset) -> bool:
    """Tell whether the inputs have the policies of a cube, in its order."""
    asked, found = data.variables[POLICY].values, cube.variables[POLICY].values
    return asked.tolist() == found.tolist()
