"""``run.log``, which can't be left unwritten without anybody knowing."""

import logging
import sys


class RunLog(logging.FileHandler):
    """A log file that ends the run when it can't be written.

    Python's own would print a traceback for each line and go on.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Let what the disk says through to whoever logged; called while that exception is handled."""
        if isinstance(sys.exc_info()[1], OSError):
            raise
        super().handleError(record)
