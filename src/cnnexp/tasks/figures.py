"""Where a task's figures go: into its folder, and into TensorBoard beside the run that they are about."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from cnnexp.tasks.job import Job
from cnnexp.training.loggers import TensorBoardLogger


def save_figures(job: Job, figures: Mapping[str, Figure]) -> None:
    """Write each figure as NAME.png; and, for a task on a run that logs to TensorBoard, to that.

    TensorBoard's files are the task's own, so that the run's stay as they are.
    """
    for name, figure in figures.items():
        figure.savefig(job.folder / f"{name}.png", dpi=130)
    if job.config.run is None or "tensorboard" not in job.config.logger:
        return
    logger = TensorBoardLogger(job.folder / "tensorboard")
    for name, figure in figures.items():
        logger.log_figure(name, figure, 0)
    logger.close()
