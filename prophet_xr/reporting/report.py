"""The sections that every report has: its tables and its figures."""

from collections.abc import Iterable, Mapping

import pandas as pd

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.markdown import markdown

Tables = Mapping[str, pd.DataFrame]
"""Tables of a study by name, as a page reads them."""
Captions = Mapping[str, str]
"""Captions of its figures by name, empty where the title says all."""


def tables_and_figures(
    listed_tables: Listing,
    tables: Tables,
    listed_figures: Listing,
    figures: Captions,
) -> list[str]:
    """Sections with every table that was made, and a picture of every figure with its caption."""
    parts = ["## Tables"]
    for name, frame in tables.items():
        title = listed_tables[name].title
        parts += [f"### {title}", f"`{name}.csv`", markdown(frame).strip("\n")]
    parts.append("## Figures")
    for name, caption in figures.items():
        title = listed_figures[name].title
        parts += [f"### {title}", f"![{title}]({name}.png)", *([caption] if caption else [])]
    return parts


def document(parts: Iterable[str]) -> str:
    """Join paragraphs to a Markdown file."""
    return "\n\n".join(parts) + "\n"
