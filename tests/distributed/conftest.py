from collections.abc import Iterator

import pytest
import torch.distributed as dist


@pytest.fixture(autouse=True)
def no_group_stays() -> Iterator[None]:
    """Take down the process group that Lightning leaves behind, by which later tests would seem distributed."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()
