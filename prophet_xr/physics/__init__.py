"""The formulas, by topic; `prophet_xr.kernels` is their face."""

from prophet_xr import schema  # noqa: F401  (declares what the formulas read)
