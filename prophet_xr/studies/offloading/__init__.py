"""What offloading experts to host memory costs.

Everything is one cube over ordinary axes, and selections from it; nothing here computes a cost.
"""

from prophet_xr.reporting.study import Study

STUDY = Study(
    package=__name__,
    command="offload",
    about="Write what offloading experts costs, and where the claims of the study on it hold.",
    folder="offload",
    report="WHAT_OFFLOADING_COSTS.md",
)
