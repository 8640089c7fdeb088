"""Work done side by side by the machines of an existing Ray cluster. Needs the extra `ray`, there and here."""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import InputError, WorkerError
from .workers import ATTEMPTS

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds to wait for the cluster's head to answer; Ray itself would wait for minutes."""

START_IT = "start one with `ray start --head`, or name one in RAY_ADDRESS"


@contextmanager
def connection() -> Iterator[Any]:
    """The module ray, connected to a cluster as `on_cluster` says. A connection that is there is used and left open.

    Raises InputError where Ray is not installed or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise InputError(
            "engine 'ray': Ray is not installed, expected the extra `ray`; pip install 'saturation-lab[ray]'"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        if ":" in address:
            split = urlsplit(address if "//" in address else f"//{address}")
            socket.create_connection((split.hostname, split.port), PATIENCE).close()
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise InputError(
            f"engine 'ray': no cluster at '{address}' ({reason}), expected one that runs; {START_IT}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def on_cluster(
    function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int | None = None
) -> Generator[T, None, None]:
    """function(*job) for every job, yielded in their order, as Ray tasks of one processor each.

    The cluster is the one that RAY_ADDRESS names, or else the one that runs on this machine; function travels there
    once, results come back through Ray: no file system need be shared. workers: tasks side by side, all the cluster's
    processors unless given. A job whose worker is killed is done again.

    Raises InputError where Ray is not installed or no cluster answers, WorkerError where a job's worker dies ATTEMPTS
    times or cannot run satlab, and InputError where function does.
    """
    with connection() as ray:
        workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        call, shared = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_call), ray.put(function)
        upcoming = iter(jobs)
        waiting = deque(call.remote(shared, *job) for job in islice(upcoming, 2 * workers))
        while waiting:
            try:
                result = ray.get(waiting.popleft())
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, InputError):
                    raise InputError(str(error.cause)) from None
                raise WorkerError(
                    f"{_failure(error.cause)}; correct the cluster and run the same command again"
                ) from None
            except ray.exceptions.RayError as error:
                raise WorkerError(
                    f"{_failure(error)}; what was finished is kept: run the same command again to go on"
                ) from None
            waiting.extend(call.remote(shared, *job) for job in islice(upcoming, 1))
            yield result


def _call(function: Callable[..., T], *job: Any) -> T:
    return function(*job)


def _failure(error: BaseException) -> str:
    last = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return f"a worker of the Ray cluster failed ({type(error).__name__}: {last})"
