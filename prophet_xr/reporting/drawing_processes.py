"""Processes that draw figures, started early: they import while the caller does other work."""

import os
from multiprocessing import connection, forkserver, get_context, parent_process
from multiprocessing.context import BaseContext
from threading import Thread


def start(module: str) -> BaseContext:
    """Start the process that others are forked from, unless it runs already.

    It imports ``module`` once for all of them.  A forked child cannot use that of its parent: its
    workers start from nothing.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    try:
        forkserver.ensure_running()
    except ChildProcessError:
        return get_context("spawn")
    return context


def leave_with_parent() -> None:
    """Let a worker end when its parent is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_leave, args=(parent.sentinel,), daemon=True).start()


def _leave(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
