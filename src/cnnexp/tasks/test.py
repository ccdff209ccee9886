"""``task=test``: test a run's checkpoint again."""

import logging

from cnnexp.contract import has_test
from cnnexp.errors import CnnexpError
from cnnexp.job.build import build_trainer, build_training
from cnnexp.job.job import Job
from cnnexp.job.load import load_for
from cnnexp.job.looks import count_looks
from cnnexp.reports.majority import beside_majority
from cnnexp.reports.tables import final_table
from cnnexp.training.callbacks import StopOnSignal

log = logging.getLogger(__name__)


def test(job: Job) -> None:
    """Test the checkpoint that ``checkpoint`` names on the test set of the run that ``run`` names.

    Another ``data.root`` tests it on other images of the same classes, prepared as those it was trained on.
    """
    loaded = load_for(job)
    if not has_test(loaded.data):
        raise CnnexpError(f"{type(loaded.data).__name__} has no test_dataloader, and so nothing to test on")
    # what the command line changes (another data.root, another precision) is in the job's settings
    loaded.model.train_with(**build_training(job.config, loaded.model.classes))
    trainer = build_trainer(job.config, job.folder, [StopOnSignal()])
    [numbers] = trainer.test(loaded.model, datamodule=loaded.data, verbose=False)
    job.record(
        **{**numbers, "test_images": int(numbers["test_images"])},
        majority_baseline=getattr(loaded.data, "majority_baseline", None),
        parameters=loaded.model.parameter_count,
        device=str(trainer.strategy.root_device),
        checkpoint=str(loaded.checkpoint),
    )
    count_looks(job, loaded.data, job.result["test_images"], job.result.get("test_accuracy"))
    log.info("%s\n%s", loaded.checkpoint, final_table(job.result, job.folder, beside_majority(job.result)))
