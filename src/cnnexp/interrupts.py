"""Signals as exceptions."""

import signal
from types import FrameType


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: what ends one job must end a whole sweep."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


def raise_on_signals() -> None:
    """Turn SIGINT (Ctrl-C) and SIGTERM into that exception, but leave them ignored where they are."""
    # not KeyboardInterrupt: Lightning answers that one by ending the process, and so a whole sweep

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
