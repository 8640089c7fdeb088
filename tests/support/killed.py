"""Work that is killed between two of its writes."""

import os

import pytest

KILLED = 9

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
"""Marks a test that calls `killed_at`."""


def killed_at(step, work):
    """Whether a process of its own that does the work is killed, before its call number `step` of fsync and replace."""
    process = os.fork()
    if process == 0:
        left = [step]

        def dying(function):
            def call(*arguments):
                if left[0] == 0:
                    os._exit(KILLED)
                left[0] -= 1
                return function(*arguments)

            return call

        os.fsync, os.replace = dying(os.fsync), dying(os.replace)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED
