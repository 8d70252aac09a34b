"""How sure the answers are: variances, priors, draws, and which conclusions survive them.

`prophet_xr.sensitivity` is the face of it.
"""
