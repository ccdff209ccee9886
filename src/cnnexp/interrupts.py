"""Signals as exceptions."""

import signal
from collections.abc import Callable, Sequence
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
USUAL = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: what ends one job must end a whole sweep."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_status = 128 + number


def _stop(number: int, frame: FrameType | None) -> None:
    # not KeyboardInterrupt: Lightning ends the process on that, and so a whole sweep
    raise Interrupted(number)


def raise_on_signals(numbers: Sequence[int] = USUAL) -> Callable[[], None]:
    """Turn SIGINT (Ctrl-C) and SIGTERM, or other signals, into that exception; one that is ignored stays ignored.

    Returns the function that puts the handlers back that were there before.
    """
    return answer_signals(_stop, numbers)


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
    """Return the signals that ask a run to stop: SIGINT, SIGTERM, and others given to `raise_on_signals`."""
    return [number for number in signal.valid_signals() if number in USUAL or signal.getsignal(number) is _stop]
