"""The figures of the study, in their order; a figure's name is its file name."""

from prophet_xr.reporting.listing import Figures
from prophet_xr.studies.sensitivity import break_even_figures, index_figures

FIGURES = Figures()
FIGURES.update(index_figures.FIGURES)
FIGURES.update(break_even_figures.FIGURES)
