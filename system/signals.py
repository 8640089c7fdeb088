"""Signals that ask work to stop: Ctrl-C, SIGTERM, and SIGUSR1, by which Slurm announces the end of a job's time."""

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from ..errors import StoppedError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

ONE_PRESS = 0.5
"""Seconds in which a second Ctrl-C counts as the first, because a terminal and a wrapper may both pass it on."""

LOOK_AGAIN = 0.05
"""Seconds after which a signal that came during an import is sent again."""


class SignalError(StoppedError):
    """Work was stopped by a signal, and what was done is kept.

    The attribute `status` is the exit status of the process, 128 + the number of the signal.

    Args:
        what: what stopped where.
        remedy: how it goes on.
        number: of the signal.
    """

    def __init__(self, what: str, remedy: str, number: int) -> None:
        super().__init__(what, remedy)
        self.status = 128 + number


class StopRequest:
    """A context manager in which signals ask the work to stop instead of ending it.

        with StopRequest() as stop:
            while not stop():
                ...

    A signal makes stop() return True; the work then saves its state and raises StoppedError. Before the first call of
    stop() there is nothing to save, so a signal ends the block at once, as a second Ctrl-C does at any time. In all
    these cases the block ends with a SignalError. After the block, signals do what they did before it. Signals that
    were ignored stay ignored.

    A block that is to end at once ends when no import is in progress, because the interpreter prints and swallows
    exceptions in some of the code that it calls during an import.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.patient = self.urgent = False
        self.since = 0.0
        self.around: FrameType | None = None
        self.before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come. From the first call on, signals no longer end the block at once."""
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
        """Whether an import within the block has called the code of this frame."""
        while frame is not None and frame is not self.around:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False
