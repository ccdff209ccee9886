import torch
from torch import Tensor


def random_images(count: int, channels: int = 3, side: int = 8, last: bool = False) -> Tensor:
    """Images that are all different, channels last in memory or first."""
    generator = torch.Generator().manual_seed(count)
    if last:
        shape = (count, side, side, channels)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
