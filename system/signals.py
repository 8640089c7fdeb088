"""Signals that ask work to stop: Ctrl-C, SIGTERM and SIGUSR1 (with which Slurm announces that a job's time is up)."""

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from ..errors import StoppedError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

ONE_PRESS = 0.5
"""Seconds in which a second Ctrl-C counts as the first one: a terminal and a wrapper may both pass it on."""

LOOK_AGAIN = 0.05
"""Seconds after which a signal that came in the middle of an import comes again."""


class SignalError(StoppedError):
    """Work was stopped by a signal; what was done is kept. status: what the process exits with, 128 + the number."""

    def __init__(self, what: str, remedy: str, number: int) -> None:
        super().__init__(what, remedy)
        self.status = 128 + number


class StopRequest:
    """While the block lasts, a signal makes stop() true, and whoever works brings that to a good end.

    stop() before any signal: False, and from then on signals wait to be asked for. Before that, while nothing is there to
    be kept, a signal ends the block at once, as a second Ctrl-C does at any time. Either way, and where StoppedError is
    raised in the block, it ends with a SignalError. Then signals do what they did before; those ignored stay so.

    What is to end at once ends as soon as no import is in progress: the interpreter calls code in the middle of one that
    would print an exception and swallow it.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.patient = self.urgent = False
        self.since = 0.0
        self.around: FrameType | None = None
        self.before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
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
        """Whether what runs in this frame was called, within the block, by an import."""
        while frame is not None and frame is not self.around:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False
