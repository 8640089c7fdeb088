"""Compiled passes on as many threads as torch has."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from .simd import WIDTH

GROUP = WIDTH // 4
"""Sentences that no cut between threads may part: the most that a kernel works on together."""


DRAWS = 2**14
"""Numbers to be drawn that are worth a thread, which takes 0.1 ms to be set to work."""


def in_parallel(run: Callable[..., None], n: int, *arguments: object, least: int = GROUP) -> None:
    """run(*arguments, begin, end) over the rows 0 .. n - 1, cut between threads at whole groups; least rows are worth a thread."""
    threads = max(1, min(torch.get_num_threads(), -(-n // max(least, GROUP))))
    share = -(-n // (threads * GROUP)) * GROUP
    if threads == 1:
        return run(*arguments, 0, n)
    for done in [_pool(os.getpid()).submit(run, *arguments, at, min(at + share, n)) for at in range(0, n, share)]:
        done.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: one that it was forked from has its own."""
    return ThreadPoolExecutor(os.cpu_count())
