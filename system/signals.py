"""Signals that ask work to stop: Ctrl-C, SIGTERM, and SIGUSR1, with which Slurm announces the end of a job's time."""

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from ..errors import StoppedError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

ONE_PRESS = 0.5
"""Seconds during which a second Ctrl-C counts as the first; a terminal and a wrapper may both pass on one press."""

LOOK_AGAIN = 0.05
"""Seconds after which a signal that arrived during an import is sent again."""


class SignalError(StoppedError):
    """A signal stopped the work. Finished work is kept.

    The attribute `status` is the exit status of the process, 128 + the number of the signal.

    Args:
        what: what stopped and where.
        remedy: how to resume it.
        number: the number of the signal.
    """

    def __init__(self, what: str, remedy: str, number: int) -> None:
        super().__init__(what, remedy)
        self.status = 128 + number


class StopRequest:
    """A context manager in which a signal asks the work to stop instead of ending the process.

        with StopRequest() as stop:
            while not stop():
                ...

    A signal makes stop() return True; the work then saves its state and raises StoppedError. Before the first call of
    stop() there is nothing to save, so a signal ends the block at once. A second Ctrl-C ends the block at once at any
    time. In all these cases the block ends with a SignalError. After the block, the previous signal handlers are back.
    Ignored signals stay ignored.

    During an import, a block does not end at once but after the import, because the interpreter prints and swallows
    exceptions in some of the code that it runs during imports.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.patient = self.urgent = False
        self.since = 0.0
        self.around: FrameType | None = None
        self.before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has arrived. After the first call, a first signal no longer ends the block at once."""
        self.patient, self.urgent = True, False
        return self.signal is not None

    def __enter__(self) -> Self:
        self.around = sys._getframe(1)
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self.before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}
            for number in self.before:
                signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        overdue = self.urgent and error is None
        self.patient, self.urgent, self.around = True, False, None
        for number, handler in self.before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if self.signal is None:
            return
        if isinstance(error, StoppedError):
            raise SignalError(f"{error.what} by {self._name}", error.remedy, self.signal) from None
        if overdue or isinstance(error, KeyboardInterrupt):
            remedy = "run the same command again to go on"
            raise SignalError(f"stopped at once by {self._name}", remedy, self.signal) from None

    @property
    def _name(self) -> str:
        return "Ctrl-C" if self.signal == signal.SIGINT else signal.Signals(self.signal or 0).name

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal is None:
            self.signal, self.since = signal.Signals(number), now
            self.urgent = not self.patient
        elif number == signal.SIGINT and now - self.since > ONE_PRESS:
            self.urgent = True
        if self.urgent and self._importing(frame):
            later = threading.Timer(LOOK_AGAIN, self._again, (signal.Signals(number),))
            later.daemon = True
            later.start()
        elif self.urgent:
            raise KeyboardInterrupt

    def _again(self, number: signal.Signals) -> None:
        if self.urgent:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _importing(self, frame: FrameType | None) -> bool:
        """Whether an import within the block is running the code of this frame."""
        while frame is not None and frame is not self.around:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False
