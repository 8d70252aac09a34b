"""What is on disk while a cube is being written: its folder, the lock, the journal, the swap.

Comes in: the path of the cube, its digest, and the number of every slab as it is finished.  Goes
out: the slabs that need not be computed again, or an InputError that says what is in the way.
Why so: a run may be killed at any moment, and nothing runs after a kill.  So each step leaves a
state that the next run can read:

- All that is unfinished is in one folder next to the cube, ``.cube.zarr.part``.  The system drops
  the lock on a file in it together with the process that holds the lock.
- The journal gets the line of a slab after the chunks of the slab.  A line without its end was cut
  by a kill; it is ignored, and its slab is computed again.
- A cube that replaces another is moved in with two renames.  Between the two the old cube is at
  ``.cube.zarr.old``; `recover` moves it back.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prophet_xr.errors import InputError
from prophet_xr.files import replacing

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None

LOCK, JOURNAL = "lock", "journal"


def part_folder(target: Path) -> Path:
    """Folder of what is unfinished of the cube at ``target``."""
    return target.with_name(f".{target.name}.part")


# --- Lock --------------------------------------------------------------------------------------


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Make the folder of a cube and hold its lock; remove the folder if only the lock is in it.

    Raises InputError if another process holds the lock, or if the folder cannot be made because
    a file or a link has its name.
    """
    folder = part_folder(target)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is in the way; expected to make that folder: remove it")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with path.open("w") as lock:
        if not _take(lock.fileno(), path):
            raise InputError(f"{target} is being written by another process")
        yield
        if folder.exists() and [file.name for file in folder.iterdir()] == [LOCK]:
            shutil.rmtree(folder)


def _take(descriptor: int, path: Path) -> bool:
    """Lock an open file; False if another process holds it, or has finished and removed it."""
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


# --- Journal -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Journal:
    """A text file: the digest of the cube, then one line for every finished slab, its number."""

    target: Path
    digest: str

    @property
    def file(self) -> Path:
        """Where it is."""
        return part_folder(self.target) / JOURNAL

    @property
    def is_of_this_cube(self) -> bool:
        """Whether the file is there and begins with the digest of this cube."""
        return self._lines()[:1] == [self.digest.encode()]

    def check_owner(self) -> None:
        """Raise InputError if the folder holds slabs of a cube with another digest."""
        owner, *slabs = self._lines() or [b""]
        if owner and owner != self.digest.encode():
            raise InputError(
                f"{self.file.parent} holds {len(slabs)} slabs of another cube that is not whole; "
                f"expected the call that began it, or to remove the folder"
            )

    def finished(self, n_slabs: int) -> set[int]:
        """Numbers of the finished slabs; InputError if a line is no number below ``n_slabs``."""
        lines = self._lines()[1:]
        if not all(line.isdigit() and int(line) < n_slabs for line in lines):
            raise InputError(
                f"{self.file} is damaged; expected numbers of slabs: remove {self.file.parent}"
            )
        return {int(line) for line in lines}

    def start(self, finished: Collection[int] = ()) -> None:
        """Write the file anew, without the half line that a killed run may have left."""
        with replacing(self.file) as draft:
            lines = [self.digest, *map(str, sorted(finished))]
            draft.write_bytes("".join(f"{line}\n" for line in lines).encode())

    def add(self, slab: int) -> None:
        """Note a slab as finished; its chunks must be written by now."""
        with self.file.open("ab") as file:
            file.write(b"%d\n" % slab)

    def _lines(self) -> list[bytes]:
        """Lines that have their end."""
        return self.file.read_bytes().split(b"\n")[:-1] if self.file.exists() else []


# --- Swap --------------------------------------------------------------------------------------


def swap(new: Path, target: Path) -> None:
    """Put the folder ``new`` in the place of ``target``, whether that exists or not."""
    old = _replaced(target)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Undo or complete a `swap` that was killed between its renames, or before it removed the old.

    Raises InputError if another process is at it.
    """
    old = _replaced(target)
    if not old.is_dir():
        return
    with locked(target):
        if target.exists():
            shutil.rmtree(old)
        else:
            old.rename(target)


def _replaced(target: Path) -> Path:
    """Where the old cube is while the new one is moved in."""
    return target.with_name(f".{target.name}.old")
