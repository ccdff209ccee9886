"""What the kill harness combines: networks, precisions, callbacks, schedules, optimizers, instants, signals."""

import itertools
import random
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from waiting import signal_after

CONF = Path(__file__).parents[2] / "conf"
SMALLEST = {
    "cnn": ["model.channels=[4]", "model.hidden=[8]", "model.dropout=0.3", "model.batch_norm=true"],
    "ffnn": ["model.hidden=[16]", "model.dropout=0.3"],
    "vgg16": ["model.width=0.05"],
    "airbench": ["model.channels=[4,4,4]", "model.whitening_bias_epochs=1"],
    "network": ["model.network._target_=torchvision.models.mobilenet_v2", "model.network.width_mult=0.25"],
    "own": ["model._target_=cnnexp.CNN", "model.channels=[4]", "model.hidden=[8]", "model.activation=gelu"],
}
"""What makes a network small; one that isn't here is taken as it is."""
OFTEN = {
    "save_every": ["callbacks.save_every.minutes=null", "callbacks.save_every.steps=4"],
    "early_stopping": ["callbacks.early_stopping.patience=1"],
    "ema": ["callbacks.ema.decay=0.5"],
}
"""What has a callback come into play in so short a run."""
SHORT = ["trainer.max_epochs=3", "trainer.limit_train_batches=6", "data.batch_size=16", "data.train_size=96",
         "data.val_size=32", "data.eval_batch_size=16", "trainer.limit_test_batches=3", "data.crop_padding=2",
         "data=image_folder", "data.root=../images", "data.image_size=28", "optimizer.lr=0.01"]  # fmt: skip
POINTS: dict[str, tuple[str, int]] = {
    "decode": ("cnnexp.data.image_cache.read_image", 40),
    "start": ("cnnexp.tasks.fit.build_model", 1),
    "mid-epoch": ("cnnexp.training.callbacks.SeedSteps.on_train_batch_start", 9),
    "boundary": ("cnnexp.training.checkpoints.WholeCheckpointIO.save_checkpoint", 3),
    "validation": ("cnnexp.models.classifier.Classifier.on_validation_epoch_end", 2),  # a third is rare
    "test": ("cnnexp.models.classifier.Classifier.on_test_epoch_start", 1),
    "report": ("cnnexp.tasks.fit.draw_curves", 1),
}
"""The function at the end of whose so-manieth call a run is killed, by the kind of instant."""
SIGNALS = ("SIGKILL", "SIGTERM")

Combination = tuple[str, ...]
"""Network, precision, callback, instant, schedule, optimizer, signal."""


def choices(group: str) -> list[str]:
    """The choices of a config group, but those that only others are made of."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


def precisions() -> list[str]:
    """The precisions that the Trainer takes, but NVIDIA's own and a mere number of bits.

    Of 16-mixed Lightning makes bf16-mixed on a CPU.
    """
    from lightning.fabric import connector

    return sorted(
        name for name in connector._PRECISION_INPUT_STR.__args__ if re.fullmatch(r"b?f?\d+-(true|mixed)", name)
    )


def factors() -> list[list[str]]:
    """What is combined, in the order of a combination."""
    callbacks = [name for name in choices("callbacks") if name != "compile"]  # which promises no bits
    chosen = [choices("model"), precisions(), callbacks, list(POINTS)]
    return [*chosen, choices("scheduler"), choices("optimizer"), list(SIGNALS)]


def full(seed: int = 0) -> Iterator[Combination]:
    """Yield each network in each precision with each callback, at each instant.

    Schedules and optimizers take turns from one such run to the next, signals from one instant to the next.
    """
    *made, instants, schedules, optimizers, signals = factors()
    runs = list(itertools.product(*made))
    random.Random(seed).shuffle(runs)  # so that a part of all of them has something of each
    for number, run in enumerate(runs):
        turn = (schedules[number % len(schedules)], optimizers[number % len(optimizers)])
        for place, instant in enumerate(instants):
            yield (*run, instant, *turn, signals[(number + place) % len(signals)])


def pairwise(lists: Sequence[Sequence[str]], seed: int = 0) -> Iterator[Combination]:
    """Yield combinations in which any two values of two lists meet at least once."""
    random_ = random.Random(seed)
    places = list(itertools.combinations(range(len(lists)), 2))
    open_ = {(i, a, j, b) for i, j in places for a in lists[i] for b in lists[j]}

    def new(one: Combination) -> set[tuple[int, str, int, str]]:
        return {(i, one[i], j, one[j]) for i, j in places} & open_

    while open_:
        i, a, j, b = min(open_)  # one that is missing, and the best of a few that have it
        tries = [[random_.choice(values) for values in lists] for _ in range(60)]
        for one in tries:
            one[i], one[j] = a, b
        best = max((tuple(one) for one in tries), key=lambda one: len(new(one)))
        open_ -= new(best)
        yield best


def settings(combination: Combination) -> list[str]:
    """The command of a combination."""
    network, precision, callback, _, schedule, optimizer, _ = combination
    return [
        f"model={network}", *SMALLEST.get(network, []), *SHORT, f"trainer.precision={precision}",
        f"scheduler={schedule}", f"optimizer={optimizer}", f"callbacks=[{callback}]", *OFTEN.get(callback, []),
    ]  # fmt: skip


def run_of(combination: Combination) -> Combination:
    """A combination without its instant and its signal: what runs have in common that come to the same."""
    return (*combination[:3], *combination[4:6])


def die(combination: Combination) -> Callable[[], None]:
    """Return what makes this process send itself the combination's signal, once, at its instant."""
    name, due = POINTS[combination[3]]
    return partial(signal_after, name, getattr(signal, combination[6]), due)


def images(folder: Path) -> None:
    """Write an image folder of digits, 25 of each class to train and 6 to test."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        for place, number in enumerate(np.flatnonzero(digits.target == label)[:31]):
            kind = folder / ("train" if place < 25 else "test") / str(label)
            kind.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[number] * 15).astype(np.uint8)).save(kind / f"{number}.png")
