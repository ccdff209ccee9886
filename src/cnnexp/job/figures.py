"""Save a task's figures: as PNG files in its folder, and for TensorBoard."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from cnnexp.job.job import Job
from cnnexp.reports.figures import png
from cnnexp.training.loggers import TensorBoardLogger


def save_figures(job: Job, figures: Mapping[str, Figure]) -> None:
    """Write each figure as NAME.png, and for TensorBoard where that is a logger.

    TensorBoard's files are the task's own, so that the run's stay as they are.
    """
    files = {name: png(figure, dpi=130) for name, figure in figures.items()}
    for name, content in files.items():
        (job.folder / f"{name}.png").write_bytes(content)
    if "tensorboard" not in job.config.logger:
        return
    logger = TensorBoardLogger(job.folder / "tensorboard")
    for name, content in files.items():
        logger.log_png(name, content, 0)
    logger.close()
