"""The texts of the study: its rows, its claims with their verdicts, and three documents."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing, Results
from prophet_xr.reporting.markdown import markdown
from prophet_xr.reporting.report import document
from prophet_xr.studies.kv_extension import STUDIES_SHOWN, architecture_pages
from prophet_xr.studies.kv_extension.report_sections import SECTIONS, SEVERAL, verdict_counts
from prophet_xr.studies.kv_extension.rows import rows_csv, rows_json
from prophet_xr.studies.published.claim_file import RULES

PAGES = Listing(STUDIES_SHOWN)


@PAGES.named("prophet_kv_extension_data.csv")
def data_csv(cube: xr.Dataset) -> str:
    """The study's rows as CSV."""
    return rows_csv(cube)


@PAGES.named("prophet_kv_extension_data.json")
def data_json(cube: xr.Dataset) -> str:
    """The study's rows as JSON."""
    return rows_json(cube)


@PAGES.named("claims.csv")
def claims_csv(claims: pd.DataFrame) -> str:
    """Every claim with its verdict and reason, as CSV."""
    return claims.to_csv(index=False, float_format="%.6g")


@PAGES.named("claims.md")
def claims_page(claims: pd.DataFrame) -> str:
    """Every claim with its verdict and reason."""
    parts = ["# Published claims, judged", RULES, SEVERAL, verdict_counts(claims)]
    for source, rows in claims.groupby("document", sort=False):
        parts += [f"## {source}", markdown(rows.drop(columns="document"))]
    return document(parts)


@PAGES.named("PROPHET_KV_EXTENSION_COMPREHENSIVE_REPORT.md")
def report(results: Results, tables: Mapping[str, pd.DataFrame]) -> str:
    """The comprehensive report."""
    parts = ["# Prophet: KV cache extension by expert prediction"]
    written = {**results, "results": results, "tables": tables}
    for count, (heading, part, values) in enumerate(SECTIONS.bound(written), 1):
        parts += [f"## {count}. {heading}", part(*values)]
    return document(parts)


@PAGES.named("OPEN_SOURCE_MOE_ARCHITECTURES.md")
def architectures_page() -> str:
    """The architecture of every model."""
    return architecture_pages.architectures()


@PAGES.named("PARAMETER_BREAKDOWN_DETAILED.md")
def breakdowns_page() -> str:
    """The parameters of every model, by component."""
    return architecture_pages.breakdowns()
