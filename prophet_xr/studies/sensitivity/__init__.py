"""Which conclusions survive other assumptions, and which input matters."""

from prophet_xr.reporting.study import Study

STUDY = Study(
    package=__name__,
    command="sensitivity",
    about="Write what the results depend on, and which conclusions survive other assumptions.",
    folder="sensitivity",
    report="WHICH_CONCLUSIONS_SURVIVE.md",
    borrows={"costs": "offload"},
)
