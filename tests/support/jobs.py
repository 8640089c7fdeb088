"""What worker processes are given to do in tests; a module of its own, since each of them imports it."""

import os
import signal
import time

import torch

from satlab.errors import InputError


def squared_or_killed(folder, k):
    """k * k; the process dies the first time it is asked for 3 and whenever it is asked for 7, and 9 is an error."""
    if k == 7 or (k == 3 and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if k == 9:
        raise InputError("nine")
    return k * k


def process_and_threads(k):
    return os.getpid(), (os.environ["OMP_NUM_THREADS"], torch.get_num_threads())


def asleep(folder, k):
    """Says that it has begun, and goes on for longer than anyone waits."""
    (folder / f"begun-{k}").touch()
    time.sleep(300)


def gone(group, patience=20.0):
    """Whether no process of the group is left."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
