"""``task=kernels``: the weights of the first layer, before and after training."""

import logging
from typing import Annotated, Literal

from annotated_types import Ge
from torch import nn
from torch.nn import functional as F

from cnnexp.inspection.kernels import first_kernels, largest_kernels
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.load import load_run
from cnnexp.job.subject import untrained
from cnnexp.models.shapes import show
from cnnexp.reports.kernels import draw_kernels
from cnnexp.reports.tables import in_columns, shown, write_csv

log = logging.getLogger(__name__)


def kernels(job: Job, count: Annotated[int, Ge(1)] | Literal["all"] = 64) -> None:
    """Draw the first layer's kernels; of a network without convolutions, its first linear layer's weights."""
    loaded = load_run(job.config.run, job.config.checkpoint)
    name, after = first_kernels(loaded.model)
    _, before = first_kernels(untrained(loaded))
    chosen = largest_kernels(after, None if count == "all" else count)
    some = f"the {len(chosen)} of the largest norm of" if len(chosen) < len(after) else "all"
    kind = "kernels" if isinstance(loaded.model.get_submodule(name), nn.Conv2d) else "units' weights"
    title = f"{type(loaded.model).__name__}, {name}: {some} {len(after)} {kind}, {show(after.shape[1:])} each"
    save_figures(job, {"kernels": draw_kernels(before, after, chosen, title)})

    flat_before, flat_after = before.flatten(1), after.flatten(1)
    numbers = {
        "norm_before": flat_before.norm(dim=1),
        "norm_after": flat_after.norm(dim=1),
        "norm_of_change": (flat_after - flat_before).norm(dim=1),
        "cosine": F.cosine_similarity(flat_before, flat_after),
    }
    write_csv(job.folder / "kernels.csv", [
        {
            "kernel": kernel, **{key: f"{float(values[kernel]):.7g}" for key, values in numbers.items()},
            "shown": kernel in chosen,
        }
        for kernel in range(len(after))
    ])  # fmt: skip
    log.info("%s", title)
    rows = [
        [key.replace("_", " "), *(f"{float(v):.3g}" for v in (values.min(), values.median(), values.max()))]
        for key, values in numbers.items()
    ]
    log.info("%s", in_columns([["", "smallest", "median", "largest"], *rows], "lrrr"))
    log.info("cosine: of the angle between a kernel before and after; files: %s", shown(job.folder))
