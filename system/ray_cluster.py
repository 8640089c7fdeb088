"""Runs jobs in parallel on an existing Ray cluster. Every machine, including this one, needs the extra `ray`."""

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
"""Seconds to wait for the cluster's head node to answer; Ray itself would wait for minutes."""

START_IT = "start one with `ray start --head`, or name one in RAY_ADDRESS (HOST:PORT, or ray://HOST:PORT)"

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The connection preface of HTTP/2, Ray's protocol (RFC 9113, 3.4). The answer must be a frame of type SETTINGS."""

SETTINGS = 4

FAILURES = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ImportError, SystemExit)
"""The errors that Ray raises if it cannot connect to an address."""

MOST_TASKS = 10_000
"""The largest number of parallel tasks."""


MOST_WAITING = 1000
"""Tasks submitted at a time if no number is set. The cluster queues those that it cannot run yet."""

GRACE = 25.0
"""Seconds that interrupted tasks get to save their work."""


@contextmanager
def connection() -> Iterator[Any]:
    """Connects to the cluster that `on_cluster` describes. An existing connection is reused and stays open.

    Yields:
        The module ray, connected.

    Raises:
        InputError: if Ray is not installed or no cluster answers.
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
        where = "on this machine" if address == "auto" else f"at '{address}'"
        raise InputError(
            f"engine 'ray': no cluster {where} ({_reason(error)}), expected a running one; {START_IT}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restores the handler of SIGTERM after the block, because Ray replaces it."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if here and before is not None:
            signal.signal(signal.SIGTERM, before)


def _address() -> str:
    """RAY_ADDRESS, or "auto" if it is not set. Raises InputError for "local", which would start a new cluster."""
    address = os.environ.get("RAY_ADDRESS", "").strip() or "auto"
    if address == "local":
        raise InputError(f"engine 'ray': RAY_ADDRESS is 'local', expected a running cluster; {START_IT}")
    return address


def _call_on(address: str) -> None:
    """Raises OSError or ValueError if nothing answers at HOST:PORT, or if the answer is not Ray's."""
    split = urlsplit(address if "//" in address else f"//{address}")
    if not split.hostname or not split.port:
        raise ValueError("expected a host and a port")
    with socket.create_connection((split.hostname, split.port), PATIENCE) as line:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        line.sendall(GREETING)
        answer = line.recv(9)
        if answer[3:4] != bytes([SETTINGS]):
            raise OSError("the server there is not Ray")


def _reason(error: BaseException) -> str:
    """The first sentence of the error's message if it is meant for people; else a text that names the error's type."""
    if isinstance(error, SystemExit):
        return "the server there is not the head of a cluster"
    if not isinstance(error, (OSError, RuntimeError, ValueError)) or not str(error).strip():
        return f"Ray failed with {type(error).__name__}"
    return str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")


def check_tasks(workers: int) -> None:
    """Raises InputError for fewer than one task, and for more than MOST_TASKS."""
    if not 1 <= workers <= MOST_TASKS:
        raise InputError(f"{workers} workers: expected 1 to {MOST_TASKS} parallel tasks; give another number")


def on_cluster(
    function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int | None = None
) -> Generator[T, None, None]:
    """Calls a function for every job, as Ray tasks of one processor each. A job is repeated if its worker is killed.

    RAY_ADDRESS names the cluster; without it, the cluster is the one that runs on this machine. The function is sent
    there once and the results come back through Ray, so no shared file system is needed.

    Args:
        function: called with the arguments of a job.
        jobs: tuples of arguments.
        workers: number of parallel tasks; by default, the number of processors of the cluster.

    Yields:
        The results, in the order of the jobs.

    Raises:
        InputError: if Ray is not installed, if no cluster answers, or if the function raises an InputError.
        WorkerError: if the function raises another error, or if a job's worker dies ATTEMPTS times or cannot run
            satlab.
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
                    f"{_failure(error.cause)}; repair the cluster, then run the same command again"
                ) from None
            except ray.exceptions.RayError as error:
                raise WorkerError(
                    f"{_failure(error)}; finished work is kept; run the same command again to go on"
                ) from None
            waiting.extend(call.remote(shared, *job) for job in islice(upcoming, 1))
            yield result


@contextmanager
def cluster_pool(workers: int | None = None, gpus: int = 0) -> Iterator["ClusterPool"]:
    """A pool of Ray tasks on the cluster that `on_cluster` describes.

    At the end of the block, running tasks are interrupted as if by Ctrl-C and get GRACE seconds to save their work.

    Args:
        workers: number of parallel tasks; by default MOST_WAITING, of which the cluster runs as many as fit.
        gpus: number of GPUs for each task. Each task also has one processor.

    Yields:
        The pool.

    Raises:
        InputError: if Ray is not installed or no cluster answers.
    """
    with connection() as ray:
        pool = ClusterPool(ray, workers or MOST_WAITING, gpus)
        try:
            yield pool
        finally:
            pool.close()


class ClusterPool:
    """A pool of Ray tasks. A task whose worker is killed runs again, at most ATTEMPTS times in all.

    Args:
        ray: the module ray, connected to a cluster.
        workers: number of tasks submitted to the cluster at the same time.
        gpus: number of GPUs for each task.
    """

    def __init__(self, ray: Any, workers: int, gpus: int = 0) -> None:
        self.ray, self.threads = ray, ThreadPoolExecutor(workers)
        self.call = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS - 1)(_call)
        self.under_way: set[Any] = set()

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        """Starts a task.

        Args:
            function: the function that the task calls.
            *arguments: the function's arguments.

        Returns:
            A Future of the result. InputError and DivergedError are passed on; every other failure becomes a
            WorkerError.
        """
        return self.threads.submit(self._result, function, arguments)

    def close(self) -> None:
        """Interrupts the running tasks and waits up to GRACE seconds for them to end."""
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
            raise WorkerError(f"{_failure(cause)}; correct the cause, then run the same command again") from None
        except self.ray.exceptions.RayError as error:
            raise WorkerError(f"{_failure(error)}; run the same command again to go on") from None
        finally:
            self.under_way.discard(reference)


def _call(function: Callable[..., T], *job: Any) -> T:
    return function(*job)


def _failure(error: BaseException) -> str:
    last = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return f"a worker of the Ray cluster failed ({type(error).__name__}: {last})"
