"""A frame as a Markdown table."""

import numpy as np
import pandas as pd


def digits(column: pd.Series) -> pd.Series:
    """Format a column for reading: thousands separated, few digits, a dash for none."""
    mixed = column.dtype == object

    def text(value: object) -> str:
        if isinstance(value, str):
            return value
        if value is None or pd.isna(value):  # type: ignore[arg-type]
            return "-"
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        if isinstance(value, int | np.integer):
            return f"{value:,}"
        number = float(value)  # type: ignore[arg-type]
        if abs(number) >= 1000:
            return f"{number:,.0f}"
        if mixed:  # no common precision: as many digits as the number has, four at most
            return f"{number:.4g}"
        return f"{number:.2f}" if abs(number) < 100 else f"{number:.1f}"

    return column.map(text)


def markdown(frame: pd.DataFrame) -> str:
    """Write a frame as a Markdown table, and its note below it."""
    aligned = ["left" if frame[c].dtype.kind in "OUT" else "right" for c in frame.columns]
    text = frame.apply(digits).to_markdown(index=False, colalign=aligned, disable_numparse=True)
    note = frame.attrs.get("note", "")
    return f"{text}\n\n{note}\n" if note else f"{text}\n"
