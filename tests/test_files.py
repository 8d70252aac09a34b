"""A file is the old one or the new one, never a part of it."""

import pytest

from prophet_xr import files


def test_a_file_is_replaced_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new folder" / "text.md"
    for text in ("old", "new"):
        with files.replacing(path) as draft:
            assert draft.parent == path.parent  # a rename does not leave the file system
            draft.write_text(text)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == text
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
def test_the_old_file_stays_if_the_block_fails(tmp_path, problem):
    path = tmp_path / "text.md"
    path.write_text("old")

    def write():
        with files.replacing(path) as draft:
            draft.write_text("half")
            raise problem

    with pytest.raises(problem):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_told_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "text.md"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), files.replacing(path):
        pass
    assert path.read_text() == "old"


def test_text_has_the_same_bytes_on_every_system(tmp_path):
    files.write(tmp_path / "text.md", "µ\n1\n")
    assert (tmp_path / "text.md").read_bytes() == b"\xc2\xb5\n1\n"
