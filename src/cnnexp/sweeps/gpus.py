"""How many jobs run at once on one machine, and which GPU each of them gets."""

import os
from collections.abc import Sequence
from itertools import takewhile

from joblib import effective_n_jobs
from omegaconf import DictConfig


def seen(config: DictConfig, gpus: Sequence[int] | None = None) -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls the GPUs that a sweep's jobs are to be shared out to.

    Args:
        config: the sweep's settings; none are shared out where its jobs train on the CPU, or each on several GPUs.
        gpus: numbers of those that may be used, among the visible ones; all when None.
    """
    trainer = config.trainer
    if trainer.get("accelerator", "auto") not in ("auto", "gpu", "cuda") or trainer.get("devices", 1) != 1:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        listed = [name.strip() for name in visible.split(",") if name.strip()]
        names = list(takewhile(lambda name: not name.startswith("-"), listed))  # CUDA sees none from -1 on
    elif gpus is not None:
        return [str(number) for number in gpus]
    else:
        import torch

        names = [str(number) for number in range(torch.cuda.device_count())]
    return names if gpus is None else [names[number] for number in gpus if number < len(names)]


def jobs_at_once(config: DictConfig, n_jobs: int, jobs_per_gpu: int, gpus: Sequence[int] | None = None) -> int:
    """Return how many jobs run at once: as many as were asked for, or so many a GPU, or one a core."""
    if n_jobs == -1 and (found := seen(config, gpus)):
        return len(found) * jobs_per_gpu
    return int(effective_n_jobs(n_jobs))
