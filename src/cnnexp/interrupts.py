"""Signals as exceptions."""

import signal
from collections.abc import Callable, Sequence
from types import FrameType


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: what ends one job must end a whole sweep."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_status = 128 + number


def _stop(number: int, frame: FrameType | None) -> None:
    # not KeyboardInterrupt: Lightning answers that one by ending the process, and so a whole sweep
    raise Interrupted(number)


def raise_on_signals(numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Callable[[], None]:
    """Turn SIGINT (Ctrl-C) and SIGTERM, or other signals, into that exception; one that is ignored stays ignored.

    Returns the function that puts the handlers back that were there before.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _stop)

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return give_back


def stop_signals() -> list[int]:
    """Return the signals that ask a run to stop: SIGINT, SIGTERM, and others given to `raise_on_signals`."""
    usual = (signal.SIGINT, signal.SIGTERM)
    return [number for number in signal.valid_signals() if number in usual or signal.getsignal(number) is _stop]
