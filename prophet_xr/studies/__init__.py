"""Six studies on top of the library; none of them knows another.

To add one: a folder with the modules sweeps, tables, figures and report, its `STUDY`, and a line
here; its command follows.  docs/architecture.md has the steps.
"""

from prophet_xr.reporting.study import Study
from prophet_xr.studies.kv_extension import STUDY as KV_EXTENSION
from prophet_xr.studies.multi_gpu import STUDY as MULTI_GPU
from prophet_xr.studies.offloading import STUDY as OFFLOADING
from prophet_xr.studies.sensitivity import STUDY as SENSITIVITY
from prophet_xr.studies.serving_load import STUDY as SERVING_LOAD
from prophet_xr.studies.validation import STUDY as VALIDATION

STUDIES: dict[str, Study] = {
    study.command: study
    for study in (KV_EXTENSION, OFFLOADING, MULTI_GPU, SERVING_LOAD, SENSITIVITY, VALIDATION)
}
"""Every study by its command."""
