"""Processes that draw end when their parent does."""

import subprocess
import sys
import time

import psutil
import pytest


def test_workers_leave_when_their_parent_is_killed():
    code = (
        "import os, signal\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from prophet_xr.reporting.drawing_processes import leave_with_parent, start\n"
        "pool = ProcessPoolExecutor(1, start('prophet_xr.files'), leave_with_parent)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
    for _ in range(300):
        if not psutil.pid_exists(worker):
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} is still there")
