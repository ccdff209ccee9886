"""Every task that measures on a test set has it counted here."""

import logging
from typing import Any

from cnnexp.contract import fingerprint
from cnnexp.evaluation.ledger import look, told
from cnnexp.job.job import Job

log = logging.getLogger(__name__)


def count_looks(job: Job, data: Any, images: int | None, *accuracies: float | None) -> None:
    """Count looks at a data module's test set, record how many there have been, and say what that means.

    Nothing that goes wrong here ends the job.

    Args:
        job: its folder is noted, and its result.json gets ``test_looks``.
        data: the data module, set up for the test.
        images: number of test images.
        accuracies: those of the networks that were measured, fractions.
    """
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if not job.writes or not known:
        return
    try:
        which = fingerprint(data)
    except Exception as error:  # somebody's own data module may raise anything
        log.debug("looks at the test set aren't counted: %s", error)
        return
    counted = [None if which is None else look(which, accuracy, job.folder) for accuracy in known]
    if (looks := counted[-1]) is None:
        return
    job.record(test_looks=looks)
    if looks > 1 and images:
        log.info("%s.", told(looks, images, known[-1]))
