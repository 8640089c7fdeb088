"""A Ray cluster of this machine, for tests."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")


def environments(folder):
    """{process id: its environment} of the processes that carry this cluster's mark."""
    mark, found = f"SATLAB_CLUSTER={folder}".encode(), {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found[int(path.parent.name)] = path.parent.joinpath("cmdline").read_bytes()
        except OSError:
            continue
    return found


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.fixture
def cluster(tmp_path_factory):
    """(the environment in which a command finds it, its directory) of a cluster of two processors, for this machine."""
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    environment = os.environ | {
        "SATLAB_CLUSTER": str(folder),
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what makes Ray listen to 127.0.0.1 alone
    }
    options = ["--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    options += ["--disable-usage-stats", "--object-store-memory=100000000", f"--temp-dir={folder}", "--block"]
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 90
        while not any(b"raylet" in command for command in environments(folder).values()):
            assert head.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}, folder
    finally:
        head.terminate()
        head.wait(30)
        for process in environments(folder):
            os.kill(process, signal.SIGKILL)
