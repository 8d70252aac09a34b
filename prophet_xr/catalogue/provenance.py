"""What made a cube: version, revision, hash of the specs.

Comes in: nothing; it looks at the package, its checkout and specs.nc.  Goes out: attributes.
Why so: a file that lies around says which program and which numbers it came from.  There is no
clock in it: the same inputs give the same bytes.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from prophet_xr.catalogue import specs


def provenance() -> dict[str, str]:
    """Return the attributes every cube carries."""
    number = _version()
    return {
        "Conventions": "CF-1.11",
        "title": "prophet_xr cube",
        "prophet_xr_version": number,
        "prophet_xr_revision": _revision(),
        "specs_digest": specs.digest(),
        "history": f"prophet_xr {number}: sweep",
    }


@cache
def _version() -> str:
    try:
        return version("prophet_xr")
    except PackageNotFoundError:
        return "unknown"


@cache
def _revision() -> str:
    """Commit of the checkout the package runs from; empty where there is none to read."""
    git = Path(__file__).parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return ""
