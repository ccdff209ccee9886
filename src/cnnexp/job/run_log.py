"""``run.log``: a run ends when its log can't be written."""

import logging
import sys


class RunLog(logging.FileHandler):
    """A log file that ends the run when it can't be written.

    Python's own would print a traceback for each line and go on.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the disk's error again in the code that logged; Python calls this while handling the error."""
        if isinstance(sys.exc_info()[1], OSError):
            raise
        super().handleError(record)
