"""The five figures of the study, in their order; a figure's name is its file name."""

from prophet_xr.reporting.listing import Figures
from prophet_xr.studies.kv_extension import STUDIES_SHOWN, expert_figures, memory_figures

FIGURES = Figures(STUDIES_SHOWN)
FIGURES.update(memory_figures.FIGURES)
FIGURES.update(expert_figures.FIGURES)
