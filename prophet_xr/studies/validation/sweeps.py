"""What the page on validation begins from: the page as it is, whose other part is kept."""

from pathlib import Path


def prepare(out: Path) -> tuple[Path, dict[str, str]]:
    """Folder of the page, and the page as it is."""
    file = out / "validation.md"
    return out, {"present": file.read_text(encoding="utf-8") if file.exists() else ""}
