"""The laws against what others measured: data/measured/ -> the second part of docs/validation.md.

The measured rows live in a checkout, not in a wheel.  Every prediction is one call of the public
sweep, with the measured systems along an extra dimension.
"""
