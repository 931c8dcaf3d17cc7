"""The signals that end a command: Ctrl-C, a closed terminal, and a request to terminate."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

SIGNALLED = 128
"""The exit status of a command that a signal stopped is this and the signal's number, as in shells."""

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_WAKING = getattr(signal, "SIGURG", None)
"""A signal that nobody sends and that does nothing. Windows has none."""


class SignalWatcher:
    """Receives signals from the first moment of a command to its last: none can end it in the middle of a write.

    Until a run takes them over, the first signal raises KeyboardInterrupt. Then the run receives them. Once the
    command has finished they are ignored: all that is left is to exit.

    Attributes:
        number: The first signal received; 0 before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._notify: Callable[[int], object] | None = None

    def start(self) -> None:
        """Begin to receive signals. Does nothing outside of the main thread, where Python has no handlers."""
        for number in _list_signals():
            # `nohup` starts a command with SIGHUP ignored: its user wants it to outlive the terminal.
            if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN:
                _set(number, self._receive)
        if _WAKING is not None:
            _set(_WAKING, _wake_up)

    def wake(self) -> None:
        """Have the main thread try again what it is waiting for, such as a write, from another thread."""
        if _WAKING is not None and callable(signal.getsignal(_WAKING)):
            signal.pthread_kill(threading.main_thread().ident or 0, _WAKING)

    def hand_to(self, notify: Callable[[int], object]) -> None:
        """Call `notify` with the number of each signal from now on, in the main thread between two instructions."""
        self._notify = notify

    def finish(self) -> None:
        """Ignore signals from now on, also while Python shuts down."""
        for number in _list_signals():
            _set(number, signal.SIG_IGN)

    def _receive(self, number: int, _: object) -> None:
        first, self.number = not self.number, self.number or number
        if self._notify is not None:
            self._notify(number)
        elif first:
            raise KeyboardInterrupt


def _wake_up(_number: int, _frame: object) -> None:
    """Do nothing: to be called is all that it takes."""


def _list_signals() -> list[signal.Signals]:
    return [signal.Signals[name] for name in _ENDING if name in signal.Signals.__members__]  # Windows has no SIGHUP


def _set(number: signal.Signals, handler: Callable[[int, object], None] | signal.Handlers) -> None:
    with suppress(ValueError):  # not the main thread
        signal.signal(number, handler)
