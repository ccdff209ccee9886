"""Finished runs for the tasks that need one. Tasks write into folders of their own within them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.app import run

TINY = {
    "cnn": ["model.channels=[4,8]", "model.hidden=[16]"],
    "ffnn": ["model.hidden=[16]"],
    "vgg16": ["model.width=0.0625", "trainer.limit_train_batches=5"],
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train a tiny network on digits, or on what is typed, once a session, and return the run's folder."""
    made: dict[tuple[str, ...], Path] = {}

    def train(model: str = "cnn", *arguments: str) -> Path:
        key = (model, *arguments)
        if key not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path_factory.mktemp("trained"))
                typed = [f"model={model}", *TINY[model], "trainer.max_epochs=2", "data.batch_size=64", *arguments]
                assert run(typed) == 0
                [folder] = Path("outputs").glob("*/*")
                made[key] = folder.absolute()
        return made[key]

    return train


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of two classes, cats red and dogs blue, of all sizes."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 6)):
        for channel, kind in ((0, "cat"), (2, "dog")):
            (root / part / kind).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 100, (34 + number, 40, 3), np.uint8)
                pixels[..., channel] += 120
                Image.fromarray(pixels).save(root / part / kind / f"{number}.png")
    return root
