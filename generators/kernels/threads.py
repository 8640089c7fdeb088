"""Runs compiled passes on as many threads as torch uses."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from .simd import WIDTH

GROUP = WIDTH // 4
"""The largest number of sentences that a kernel processes together. Threads split batches only between such groups."""

DRAWS = 2**14
"""The smallest number of random draws for which a thread pays off. Starting a thread takes 0.1 ms."""


def in_parallel(run: Callable[..., None], n: int, *arguments: object, least: int = GROUP) -> None:
    """Calls run(*arguments, begin, end) for the rows 0 .. n - 1, split between threads at whole groups.

    Args:
        run: a compiled pass.
        n: the number of rows.
        arguments: the first arguments of the pass.
        least: the smallest number of rows for which a thread pays off.
    """
    threads = max(1, min(torch.get_num_threads(), -(-n // max(least, GROUP))))
    share = -(-n // (threads * GROUP)) * GROUP
    if threads == 1:
        run(*arguments, 0, n)
        return
    for done in [_pool(os.getpid()).submit(run, *arguments, at, min(at + share, n)) for at in range(0, n, share)]:
        done.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process. A forked process creates its own."""
    return ThreadPoolExecutor(os.cpu_count())
