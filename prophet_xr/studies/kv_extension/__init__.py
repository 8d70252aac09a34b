"""The published study: how much context Prophet buys, and what becomes of each claim."""

from prophet_xr.reporting.study import Study

STUDIES_SHOWN = ("published", "verified")
"""Its own constants, and the true architectures: tables and figures are made under both."""

STUDY = Study(
    package=__name__,
    command="study",
    about="Regenerate the published study, under its own constants and the true architectures.",
    report="PROPHET_KV_EXTENSION_COMPREHENSIVE_REPORT.md",
    borrows={
        "costs": "offload",
        "slowdowns_region": "offload",
        "slowdown_ratio_region": "offload",
        "offloading_summary": "offload",
        "assumptions": "sensitivity",
        "sensitivity_summary": "sensitivity",
    },
    draws_apart=True,
)
