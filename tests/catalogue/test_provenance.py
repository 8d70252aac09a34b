"""A cube says what made it, and two runs of one program say the same."""

import subprocess
from pathlib import Path

import pytest

import prophet_xr as px
from prophet_xr.catalogue import provenance as module
from prophet_xr.catalogue import specs
from prophet_xr.catalogue.provenance import provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def forget():
    """What is read once for each process is read again."""
    yield
    module._revision.cache_clear()
    module._version.cache_clear()


def checkout(folder, monkeypatch):
    """Let the package run from a folder."""
    (folder / ".git" / "refs" / "heads").mkdir(parents=True)
    file = folder / "prophet_xr" / "catalogue" / "provenance.py"
    monkeypatch.setattr(module, "__file__", str(file))
    module._revision.cache_clear()
    return folder / ".git"


def test_every_cube_carries_it(small):
    attrs = px.sweep(small, ["fits"]).attrs
    assert provenance().items() <= attrs.items()
    assert attrs["specs_digest"] == specs.digest()
    assert len(attrs["specs_digest"]) == 16
    assert attrs["history"] == f"prophet_xr {attrs['prophet_xr_version']}: sweep"


def test_there_is_no_clock_in_it():
    first = provenance()
    module._revision.cache_clear()
    module._version.cache_clear()
    assert provenance() == first


def test_the_revision_is_that_of_the_checkout(tmp_path, monkeypatch):
    git = checkout(tmp_path, monkeypatch)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert provenance()["prophet_xr_revision"] == ""  # no commit yet
    (git / "refs" / "heads" / "main").write_text("0123abcd\n")
    module._revision.cache_clear()
    assert provenance()["prophet_xr_revision"] == "0123abcd"
    (git / "HEAD").write_text("4567ef01\n")  # a commit that no branch names
    module._revision.cache_clear()
    assert provenance()["prophet_xr_revision"] == "4567ef01"


def test_without_a_checkout_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "prophet_xr" / "catalogue" / "x.py"))
    module._revision.cache_clear()
    assert provenance()["prophet_xr_revision"] == ""


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name):
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", missing)
    module._version.cache_clear()
    assert provenance()["prophet_xr_version"] == "unknown"


@pytest.mark.skipif(not (ROOT / ".git" / "HEAD").exists(), reason="no checkout")
def test_git_names_the_same_revision():
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and (revision := provenance()["prophet_xr_revision"]):
        assert revision == done.stdout.strip()
