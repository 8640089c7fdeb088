"""Work done side by side by the machines of an existing Ray cluster. Needs the extra `ray`, there and here."""

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..errors import DivergedError, InputError, WorkerError
from .processes import ATTEMPTS

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds to wait for the cluster's head to answer; Ray itself would wait for minutes."""

START_IT = "start one with `ray start --head`, or name one in RAY_ADDRESS (HOST:PORT, or ray://HOST:PORT)"

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How HTTP/2, which Ray's parts speak, begins (RFC 9113, 3.4); SETTINGS is the kind of frame that must answer."""

SETTINGS = 4

FAILURES = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ImportError, SystemExit)
"""How Ray gives up an address."""

MOST_TASKS = 10_000
"""Tasks side by side that a cluster is given."""


MOST_WAITING = 1000
"""Tasks that the cluster is given before it has room for them, unless told how many."""

GRACE = 25.0
"""Seconds in which tasks that are no longer wanted may keep what they have."""


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
    address = _address()
    try:
        if ":" in address:
            _call_on(address)
        with _handlers_kept():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except FAILURES as error:
        where = "that this machine runs" if address == "auto" else f"at '{address}'"
        raise InputError(
            f"engine 'ray': no cluster {where} ({_reason(error)}), expected one that runs; {START_IT}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """What SIGTERM did before, it does afterwards: Ray sets a handler of its own."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if here and before is not None:
            signal.signal(signal.SIGTERM, before)


def _address() -> str:
    """What RAY_ADDRESS says, auto where it says nothing. Raises InputError for local: that would start a cluster."""
    address = os.environ.get("RAY_ADDRESS", "").strip() or "auto"
    if address == "local":
        raise InputError(f"engine 'ray': RAY_ADDRESS is 'local', expected a cluster that runs; {START_IT}")
    return address


def _call_on(address: str) -> None:
    """Raises OSError or ValueError where nobody answers at HOST:PORT, or not as Ray does."""
    split = urlsplit(address if "//" in address else f"//{address}")
    if not split.hostname or not split.port:
        raise ValueError("expected a host and a port")
    with socket.create_connection((split.hostname, split.port), PATIENCE) as line:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        line.sendall(GREETING)
        answer = line.recv(9)
        if answer[3:4] != bytes([SETTINGS]):
            raise OSError("what answers there is not Ray")


def _reason(error: BaseException) -> str:
    """The first sentence of what went wrong, where it was said to be read by people."""
    if isinstance(error, SystemExit):
        return "what answers there is no cluster's head"
    if not isinstance(error, (OSError, RuntimeError, ValueError)) or not str(error).strip():
        return f"Ray failed with {type(error).__name__}"
    return str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")


def check_tasks(workers: int) -> None:
    """Raises InputError for a number of tasks below 1, or more than any cluster is given at a time."""
    if not 1 <= workers <= MOST_TASKS:
        raise InputError(f"{workers} workers: expected 1 to {MOST_TASKS} tasks side by side; give another number")


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


@contextmanager
def cluster_pool(workers: int | None = None, gpus: int = 0) -> Iterator["ClusterPool"]:
    """Ray tasks of one processor and so many GPUs each, on the cluster that `on_cluster` would take; workers: tasks side by side.

    Unless that is given the cluster has them all, and does as many as it has processors for. Where the block ends, tasks
    under way are interrupted as if by Ctrl-C, and have GRACE seconds to keep what they have.

    Raises InputError where Ray is not installed or no cluster answers.
    """
    with connection() as ray:
        pool = ClusterPool(ray, workers or MOST_WAITING, gpus)
        try:
            yield pool
        finally:
            pool.close()


class ClusterPool:
    """submit(function, *arguments): a Future of its result, or of the InputError, DivergedError or WorkerError it raises.

    A task whose worker is killed is done again, ATTEMPTS times in all; then, or where it fails in another way, that is a
    WorkerError.
    """

    def __init__(self, ray: Any, workers: int, gpus: int = 0) -> None:
        self.ray, self.threads = ray, ThreadPoolExecutor(workers)
        self.call = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS - 1)(_call)
        self.under_way: set[Any] = set()

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        return self.threads.submit(self._result, function, arguments)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for reference in list(self.under_way):
            self.ray.cancel(reference)
        deadline = time.monotonic() + GRACE
        while self.under_way and time.monotonic() < deadline:
            time.sleep(0.1)

    def _result(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        reference = self.call.remote(function, *arguments)
        self.under_way.add(reference)
        try:
            result: T = self.ray.get(reference)
            return result
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, (InputError, DivergedError, WorkerError)):
                raise type(cause)(str(cause)) from None
            raise WorkerError(f"{_failure(cause)}; correct that and run the same command again") from None
        except self.ray.exceptions.RayError as error:
            raise WorkerError(f"{_failure(error)}; run the same command again to go on") from None
        finally:
            self.under_way.discard(reference)


def _call(function: Callable[..., T], *job: Any) -> T:
    return function(*job)


def _failure(error: BaseException) -> str:
    last = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return f"a worker of the Ray cluster failed ({type(error).__name__}: {last})"
