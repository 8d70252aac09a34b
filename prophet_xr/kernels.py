"""The physics: one formula, one cell, floats in, float out.

A formula reads only its arguments, the functions and the constants of its module, so that it runs
unchanged in plain Python and inside a compiled loop.  SI units: B, s, FLOP, token, expert,
parameter.  Importing this module declares every metric, in an order in which each reads only
earlier ones; the formulas are grouped by topic in `prophet_xr.physics`.
"""

# isort: off
# The order of declaration: each file reads only what the files above it declare.
from prophet_xr.physics.plans import *  # noqa: F403
from prophet_xr.physics.routing import *  # noqa: F403
from prophet_xr.physics.experts import *  # noqa: F403
from prophet_xr.physics.weights import *  # noqa: F403
from prophet_xr.physics.runtime import *  # noqa: F403
from prophet_xr.physics.kv import *  # noqa: F403
from prophet_xr.physics.kv_blocks import *  # noqa: F403
from prophet_xr.physics.memory import *  # noqa: F403
from prophet_xr.physics.communication import *  # noqa: F403
from prophet_xr.physics.decode_step import *  # noqa: F403
from prophet_xr.physics.offloading import *  # noqa: F403
