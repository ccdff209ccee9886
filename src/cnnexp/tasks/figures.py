"""Where a task's figures go: a PNG in its folder, and its own TensorBoard page."""

from collections.abc import Mapping

from hydra.utils import instantiate
from matplotlib.figure import Figure

from cnnexp.tasks.job import Job
from cnnexp.training.loggers import TensorBoardLogger


def save_figures(job: Job, figures: Mapping[str, Figure]) -> None:
    """Write each figure to ``<name>.png`` in the task's folder, and to TensorBoard where that is a logger."""
    for name, figure in figures.items():
        figure.savefig(job.folder / f"{name}.png", dpi=110)
    for name, node in job.config.logger.items():
        logger = instantiate(node, _convert_="all")(job.folder / str(name))
        if isinstance(logger, TensorBoardLogger):
            for tag, figure in figures.items():
                logger.log_figure(tag, figure, 0)
            logger.close()
