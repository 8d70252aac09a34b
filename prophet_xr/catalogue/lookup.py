"""Labels of an axis -> rows of numbers: of specs.nc, of a config.json, of the models a user keeps.

Comes in: labels, or rows in place of labels.  Goes out: the rows, with the same fields wherever
they come from, so that nothing after it knows the difference.
Why so: a user's model is a config on disk, read again where its label is asked for.  A new rule of
the reader then holds for it too, and a broken file disturbs nobody who does not ask for it.
"""

import json
import os
import re
from collections.abc import Container, Iterable, Mapping
from functools import cache
from pathlib import Path

import xarray as xr

from prophet_xr.catalogue import specs, unstated
from prophet_xr.catalogue.config import keys, reader
from prophet_xr.catalogue.plans import parse
from prophet_xr.catalogue.specs import TEXTS
from prophet_xr.checks import text
from prophet_xr.errors import InputError, SpecError
from prophet_xr.files import replacing
from prophet_xr.registry import fields

MODEL, _PLAN = "model", "plan"
_WORDS = ("name", "stored_precision", "notes", "config")


def slug(name: str) -> str:
    """Label of a model: its name in lower case, without what a file name cannot hold."""
    return re.sub(r"[^a-z0-9._+-]+", "-", name.lower()).strip("-.") or "model"


def spec_from_config(
    config: str | Path | Mapping, name: str | None = None, *, like: str | None = None
) -> xr.Dataset:
    """Turn a Hugging Face ``config.json`` into one model row.

    Parameters
    ----------
    config
        Path of the file, or its content as a mapping.
    name
        Name of the model; its slug is the label.  By default ``_name_or_path`` of the config,
        or its model_type.
    like
        Family to read it as, where its own model_type is not known.

    Returns
    -------
    xr.Dataset
        Scalar fields of a model row (parameters by component, KV elements, bytes of constant
        state, native context) with units, and with each ``<field>_source`` (the keys it was
        counted from), ``<field>_status`` and ``<field>_arithmetic``.  `prophet_xr.inputs` takes
        it in place of a label.

    Raises
    ------
    SpecError
        If the config is of no known family, lacks a key that has no documented rule, or
        contradicts itself.
    InputError
        For a name that is no text.

    Examples
    --------
    >>> import prophet_xr as px
    >>> row = px.spec_from_config("data/configs/olmoe-1b-7b.json", "My OLMoE")
    >>> row.model.item(), row.router_parameters_arithmetic.item()
    ('my-olmoe', '16 * 2048 * 64')
    """
    for what, given in (("name", name), ("like", like)):
        if given is not None:
            text(what, given)
    row = reader.read_config(config, name, like)
    entries = unstated.entries(row)
    data = xr.Dataset(coords={MODEL: slug(row.name)})
    for q in fields(MODEL):
        entry = entries[q.name]
        data[q.name] = ((), float(entry["number"]), q.attrs)
        for companion, key in zip(TEXTS, ("source", "status", "value"), strict=True):
            data[f"{q.name}_{companion}"] = entry[key]
    return data.assign({word: getattr(row, word) for word in _WORDS})


# --- What the user keeps ---------------------------------------------------------------------


def folder() -> Path:
    """Folder of the user's models: PROPHET_XR_CATALOGUE, or the user's data directory."""
    chosen = os.environ.get("PROPHET_XR_CATALOGUE")
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(chosen) if chosen else base / "prophet_xr" / "models"


def kept() -> list[str]:
    """Labels of the user's models."""
    return sorted(file.stem for file in folder().glob("*.json"))


def add(
    config: str | Path,
    name: str | None = None,
    *,
    like: str | None = None,
    replace: bool = False,
) -> xr.Dataset:
    """Check a config and keep it among the user's models, under the slug of its name.

    Raises InputError if the label is taken, SpecError if the config is refused.
    """
    row = spec_from_config(config, name, like=like)
    label = row.model.item()
    if label in specs.read(MODEL)[MODEL].values:
        raise InputError(f"model={label!r} is in the catalogue; expected another --name")
    target = folder() / f"{label}.json"
    if target.exists() and not replace:
        raise InputError(f"model={label!r} is kept already in {target}; --replace puts this one")
    data = {
        "name": row["name"].item(),
        "like": like,
        "config": keys.load_config(config),
    }
    with replacing(target) as draft:
        draft.write_text(json.dumps(data), encoding="utf-8")
    return row


def own(label: str) -> xr.Dataset:
    """One of the user's models."""
    file = folder() / f"{label}.json"
    return _own(file, file.stat().st_mtime_ns)


@cache
def _own(file: Path, _changed: int) -> xr.Dataset:
    kept = keys.load_config(file)
    config, name, like = kept.get("config"), kept.get("name"), kept.get("like")
    if not isinstance(config, Mapping) or not isinstance(name, str):
        raise SpecError(f"model {file}: expected a file made by `prophet-xr specs add`")
    row = spec_from_config(config, name, like=like if isinstance(like, str) else None)
    return specs.read_only(row)


# --- Rows for a sweep ------------------------------------------------------------------------


def known_labels(label: str, study: str = "verified") -> list[str]:
    """Labels of an axis; models of the user come last."""
    own = kept() if label == MODEL else []
    found = specs.rows(label, study)[label].values.tolist()
    return [*found, *(name for name in own if name not in found)]


def row(label: str, name: str) -> xr.Dataset:
    """One row with its sources."""
    data = specs.read(label)
    return data.sel({label: name}) if name in data[label] else own(name)


def row_labels(rows: Iterable[object]) -> dict[str, xr.Dataset]:
    """Label every row given in place of a label; raise InputError for what is no row."""
    found = {}
    for row in rows:
        if isinstance(row, xr.Dataset):
            names = [MODEL, "name", "stored_precision", *(q.name for q in fields(MODEL))]
            wrong = [n for n in names if n not in row.variables or row[n].ndim]
            if wrong:
                raise InputError(
                    f"model row has no single {', '.join(wrong[:3])}; "
                    f"expected one row, as px.spec_from_config gives it"
                )
            found[str(row[MODEL].item())] = row
    return found


def rows_by_label(
    label: str, study: str, asked: Iterable[str], given: Mapping[str, xr.Dataset]
) -> xr.Dataset:
    """Rows of an axis by label: the catalogue's, and of models the user's and those given."""
    group = "published/model" if label == MODEL and study == "published" else label
    table = specs.rows(label, study)
    if label == _PLAN:
        return _plans(asked)
    if label != MODEL:
        return table
    words = specs.read(group)
    table = table.assign_coords(model_name=words["name"].variable)
    if "stored_precision" in words:
        table = table.assign_coords(stored_precision=words["stored_precision"].variable)
    known = set(table[MODEL].values.tolist())
    extra = {**{name: own(name) for name in asked if name not in known | set(given)}, **given}
    if not extra:
        return table
    rest = table.drop_sel({MODEL: [name for name in extra if name in known]})
    parts = [rest, *(_plain(row, table.coords) for row in extra.values())]
    return xr.concat(parts, MODEL, coords="minimal", compat="override", join="outer")


def _plans(asked: Iterable[str]) -> xr.Dataset:
    """Rows of plans, each from its label alone."""
    labels = list(asked)
    degrees = [parse(label) for label in labels]
    columns = {q.name: (_PLAN, [d[q.name] for d in degrees], q.attrs) for q in fields(_PLAN)}
    return xr.Dataset(columns, coords={_PLAN: labels})


def _plain(row: xr.Dataset, words: Container) -> xr.Dataset:
    """Numbers of a row, with the coordinates the catalogue gives its rows."""
    data = row[[q.name for q in fields(MODEL)]]
    texts = {"model_name": row["name"].item(), "stored_precision": row["stored_precision"].item()}
    one = data.drop_vars([n for n in data.coords if n != MODEL]).expand_dims(MODEL)
    return one.assign_coords({k: (MODEL, [v]) for k, v in texts.items() if k in words})
