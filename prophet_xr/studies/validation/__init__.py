"""The laws and the predictions against what others measured: data/measured/ -> docs/validation.md.

The measured rows live in a checkout, not in a wheel.  Every prediction is one call of the public
sweep, with the measured systems along an extra dimension.
"""

from prophet_xr.reporting.study import Study

STUDY = Study(
    package=__name__,
    command="validation",
    about="Compare the laws of routing, caching and offloading with every measured row.",
    report="validation.md",
    out="docs",
)
