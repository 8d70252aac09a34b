"""How models scale over parallel plans, what fits, and the study's four systems."""

from prophet_xr.reporting.study import Study

STUDY = Study(
    package=__name__,
    command="cluster",
    about="Write how models scale over GPUs, and judge the note of the study on several GPUs.",
    folder="cluster",
    report="MANY_GPUS.md",
)
