"""What is logged: a run ends when its ``run.log`` can't be written, and Lightning says only what is of use."""

import logging
import sys
import warnings


class RunLog(logging.FileHandler):
    """A log file that ends the run when it can't be written.

    Python's own would print a traceback for each line and go on.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the disk's error again in the code that logged; Python calls this while handling the error."""
        if isinstance(sys.exc_info()[1], OSError):
            raise
        super().handleError(record)


def quiet_lightning() -> None:
    """Leave out Lightning's remarks that a user of this command can do nothing about."""
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in (
        "does not have many workers",  # the loader draws and augments whole batches, in this process
        "smaller than the logging interval",  # an epoch may have few batches
        "exists and is not empty",  # the folder of a run that is resumed
        "your dataloader is not resumable",  # Classifier skips the batches of a resumed epoch
        "LeafSpec",  # Lightning uses a name that torch deprecated
        "could not find the monitored key",  # an epoch without validation
        "recommended to use `self.log",  # the logged numbers are sums over all processes already
        "callbacks used to create the checkpoint",  # the test runs without weight averaging
        "The .srun. command is available",  # a single process on a cluster's login node
    ):
        warnings.filterwarnings("ignore", f".*{message}")
