"""Processes that draw figures, started early: what they import, they import beside the caller."""

from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext


def start() -> BaseContext:
    """Start the process that others are forked from, unless it runs already."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["prophet_xr.study"])
    forkserver.ensure_running()
    return context
