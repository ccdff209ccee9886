"""The exceptions that end a command: a user's mistake above all."""


class CnnexpError(Exception):
    """A mistake in what was asked for, told in a line or two: what is wrong, what is allowed, what to type.

    The command line prints the text without a traceback and exits with ``exit_status``.
    """

    exit_status = 2


class CantWrite(CnnexpError):
    """The disk got full, or a folder was taken away, while a run was at work: nothing was typed wrong."""

    exit_status = 1


class LeftAlone(CnnexpError):
    """Another of a run's processes has gone: nothing was typed wrong."""

    exit_status = 1


class Refused(BaseException):
    """Carries a CnnexpError (its ``__cause__``) through Hydra to the end of the command.

    Not an Exception: Hydra would turn it into a warning in a callback, and announce it with the list of
    overrides in a job.
    """


class StopSweep(BaseException):
    """Ends a sweep at a failed job, where ``fail_fast`` is set or the disk is the reason."""


class Stopped(BaseException):
    """Ends training after an epoch, as ``stop_after_epoch`` asks, to be gone on with. Not an Exception: no error.

    Args:
        epoch: how many epochs are behind it.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(f"stopped after epoch {epoch}")
        self.epoch = epoch


def first_line(error: BaseException) -> str:
    """Return what an exception says, on one line; its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
