"""Signals as exceptions."""

import signal
from collections.abc import Callable
from types import FrameType


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: what ends one job must end a whole sweep."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


def raise_on_signals() -> Callable[[], None]:
    """Turn SIGINT (Ctrl-C) and SIGTERM into that exception, but leave them ignored where they are.

    Returns the function that puts the handlers back that were there before.
    """
    # not KeyboardInterrupt: Lightning answers that one by ending the process, and so a whole sweep

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, stop)

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return give_back
