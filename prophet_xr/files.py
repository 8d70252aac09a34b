"""Files are written under another name and renamed: the old one stays until the new is whole.

Comes in: a path, and what to write.  Goes out: the new file, or the old one as it was.
Why so: a rename inside one folder happens at once or not at all, whatever stops the program.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, renamed to ``path`` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a text file, the same bytes on every system."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
