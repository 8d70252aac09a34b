"""Whatever moment a run is killed at, the next one reads a state that it can go on from."""

import os
import subprocess
import sys

import pytest

from prophet_xr.errors import InputError
from prophet_xr.streaming import checkpoint
from prophet_xr.streaming.checkpoint import Journal

DIGEST = "0123abcd"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cube.zarr"


@pytest.fixture
def journal(target):
    checkpoint.part_folder(target).mkdir()
    return Journal(target, DIGEST)


def cube_at(path, text):
    """A folder in the place of a cube, told from others by a text."""
    path.mkdir()
    (path / "content").write_text(text)


# --- Journal ---------------------------------------------------------------------------------


def test_slabs_that_are_noted_are_finished(journal):
    assert not journal.is_of_this_cube
    journal.start()
    assert journal.is_of_this_cube
    assert journal.finished(12) == set()
    for slab in (0, 1, 11):
        journal.add(slab)
    assert journal.finished(12) == {0, 1, 11}
    assert journal.file.read_text() == f"{DIGEST}\n0\n1\n11\n"


def test_a_line_without_its_end_is_no_finished_slab(journal):
    journal.start([3])
    with journal.file.open("a") as file:
        file.write("1")  # killed while it wrote the number of slab 10
    assert journal.finished(12) == {3}
    journal.start(journal.finished(12))  # else the next number would follow the half one
    journal.add(2)
    assert journal.finished(12) == {2, 3}


def test_half_a_digest_is_no_journal(journal):
    journal.file.write_text(DIGEST[:4])
    assert not journal.is_of_this_cube
    journal.check_owner()  # nothing can be lost with it


@pytest.mark.parametrize("line", [b"twelve", b"-1", b"12", b"\xff", b""])
def test_a_line_that_is_no_slab_is_refused(journal, line):
    journal.file.write_bytes(DIGEST.encode() + b"\n1\n" + line + b"\n")
    with pytest.raises(InputError, match=r"journal is damaged.*remove .*cube\.zarr\.part"):
        journal.finished(12)


def test_slabs_of_another_cube_are_counted_and_kept(target, journal):
    journal.start([0, 1, 2])
    other = Journal(target, "another")
    assert not other.is_of_this_cube
    with pytest.raises(InputError, match="holds 3 slabs of another cube"):
        other.check_owner()
    journal.check_owner()
    assert journal.finished(12) == {0, 1, 2}


# --- Lock ------------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from prophet_xr.streaming import checkpoint
with checkpoint.locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_another_process_goes_with_it(target):
    command = [sys.executable, "-c", HOLDS, str(target)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match="is being written by another process"):
            checkpoint.locked(target).__enter__()
    finally:
        process.kill()
        process.communicate()
    assert checkpoint.part_folder(target).is_dir()  # a kill removes nothing
    with checkpoint.locked(target):
        pass
    assert not checkpoint.part_folder(target).exists()


def test_a_lock_that_its_holder_removed_is_none(target):
    path = checkpoint.part_folder(target) / "lock"
    path.parent.mkdir()
    with path.open("w") as lock:
        path.unlink()
        assert not checkpoint._take(lock.fileno(), path)
        path.touch()  # by a third process, which holds another lock now
        assert not checkpoint._take(lock.fileno(), path)
    with path.open("w") as lock:
        assert checkpoint._take(lock.fileno(), path)


def test_what_is_unfinished_outlives_the_lock(target):
    with checkpoint.locked(target):
        Journal(target, DIGEST).start([7])
    assert Journal(target, DIGEST).finished(12) == {7}


def test_a_file_or_a_link_in_the_place_of_the_folder_is_refused(target, tmp_path):
    folder = checkpoint.part_folder(target)
    folder.touch()
    with pytest.raises(InputError, match="is in the way"):
        checkpoint.locked(target).__enter__()
    folder.unlink()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is in the way"):
        checkpoint.locked(target).__enter__()


# --- Swap ------------------------------------------------------------------------------------


def test_a_new_cube_takes_the_place_of_the_old_one(target, tmp_path):
    for text in ("first", "second"):
        cube_at(tmp_path / "new", text)
        checkpoint.swap(tmp_path / "new", target)
        assert (target / "content").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == [target.name]


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("renames", "text"), [(0, "old"), (1, "old"), (2, "new")])
def test_a_swap_killed_at_any_rename_leaves_a_whole_cube(
    target, tmp_path, monkeypatch, renames, text
):
    cube_at(target, "old")
    cube_at(tmp_path / "new", "new")
    rename, left = type(target).rename, iter(range(renames))

    def killed(self, other):
        if next(left, None) is None:
            raise Killed
        return rename(self, other)

    def killed_too(path, ignore_errors):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(target), "rename", killed)
        patch.setattr(checkpoint.shutil, "rmtree", killed_too)
        with pytest.raises(Killed):
            checkpoint.swap(tmp_path / "new", target)
    checkpoint.recover(target)
    assert (target / "content").read_text() == text
    assert not (tmp_path / ".cube.zarr.old").exists()
    assert (tmp_path / "new").exists() == (text == "old")  # the next run moves it in


def test_nothing_is_recovered_while_another_run_swaps(target, tmp_path):
    cube_at(tmp_path / ".cube.zarr.old", "old")
    with checkpoint.locked(target):
        with pytest.raises(InputError, match="another process"):
            checkpoint.recover(target)
        assert not target.exists()
    checkpoint.recover(target)
    assert (target / "content").read_text() == "old"
