"""Signals as exceptions, and what is said at the end of a command that a signal ended."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
USUAL = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP, which a process gets when its terminal is closed

last_words: list[str] = []
"""What to print after an interruption: how to go on. Not an argument: a signal comes wherever it comes."""

leave_at_once = False
"""Whether a signal ends the process where nothing was begun: so that of the modules that are being imported none
takes the exception for its own, or keeps it. The command's process sets this, whose end is the caller's too."""

_received: int | None = None
_held_back = False
_begun = False


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: what ends one job must end a whole sweep."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_status = 128 + number


def _stop(number: int, frame: FrameType | None) -> None:
    # not KeyboardInterrupt: Lightning ends the process on that, and so a whole sweep
    global _received
    _received = number
    if _held_back:
        return
    if leave_at_once and not _begun:
        words = "\n".join([f"interrupted by {signal.Signals(number).name}", *last_words, ""])
        try:
            os.write(2, words.encode(errors="replace"))
        finally:
            os._exit(128 + number)
    raise Interrupted(number)


def raise_on_signals(numbers: Sequence[int] = USUAL) -> Callable[[], None]:
    """Turn SIGINT (Ctrl-C), SIGTERM and SIGHUP, or other signals, into that exception, but those that are ignored.

    Returns the function that puts the handlers back that were there before.
    """
    global _received, _held_back, _begun
    _received, _held_back, _begun = None, False, False
    last_words.clear()
    return answer_signals(_stop, numbers)


def received() -> int | None:
    """Return the last signal since ``raise_on_signals`` that was answered by the exception; None without one.

    The exception can get lost: Python drops what is raised while an object is deleted, and some libraries catch
    everything.
    """
    return _received


def raise_received() -> None:
    """Raise Interrupted if a signal has come since ``raise_on_signals``."""
    if _received is not None:
        raise Interrupted(_received)


def hold_back() -> None:
    """Answer signals later, at ``let_through``: what is begun now can be gone on with only when it is complete."""
    global _held_back, _begun
    raise_received()
    _held_back = _begun = True


def let_through() -> None:
    """Answer signals at once again, and one that was held back now."""
    global _held_back, _begun
    _held_back, _begun = False, True
    raise_received()


def say_interrupted(signal_name: str) -> None:
    """Print by what a command was interrupted, and how to go on; no further signal gets between."""
    global _held_back
    _held_back = True
    print(f"interrupted by {signal_name}", *last_words, sep="\n", file=sys.stderr)


def answer_signals(handler: Handler, numbers: Sequence[int] = USUAL) -> Callable[[], None]:
    """Have a handler called for signals, but for those that are ignored.

    Returns the function that puts the handlers back that were there before.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    for number, earlier in before.items():
        if earlier != signal.SIG_IGN:
            signal.signal(number, handler)

    def give_back() -> None:
        for number, earlier in before.items():
            signal.signal(number, earlier)

    return give_back


def stop_signals() -> list[int]:
    """Return the signals that ask a run to stop: the usual, and others given to `raise_on_signals`."""
    return [number for number in signal.valid_signals() if number in USUAL or signal.getsignal(number) is _stop]
