"""Every shipped network, precision, schedule and callback, and each kind of instant; for kill_harness.py."""

import importlib
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"
SMALLEST = {
    "cnn": ["model.channels=[4]", "model.hidden=[8]", "model.dropout=0.3", "model.batch_norm=true"],
    "ffnn": ["model.hidden=[16]", "model.dropout=0.3"],
    "vgg16": ["model.width=0.05"],
    "airbench": ["model.channels=[4,4,4]", "model.whitening_bias_epochs=1"],
}
SHORT = ["trainer.max_epochs=3", "trainer.limit_train_batches=6", "data.batch_size=16", "data.train_size=96",
         "data.val_size=32", "data.eval_batch_size=16", "trainer.limit_test_batches=3", "data.crop_padding=2",
         "optimizer=sgd", "optimizer.lr=0.01"]  # fmt: skip
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")
POINTS: dict[str, tuple[str, int]] = {
    "start": ("cnnexp.tasks.fit.build_model", 1),
    "mid-epoch": ("cnnexp.training.callbacks.SeedSteps.on_train_batch_start", 9),
    "boundary": ("cnnexp.training.checkpoints.WholeCheckpointIO.save_checkpoint", 3),
    "validation": ("cnnexp.models.classifier.Classifier.on_validation_epoch_end", 3),
    "test": ("cnnexp.models.classifier.Classifier.on_test_epoch_start", 1),
    "report": ("cnnexp.tasks.fit.draw_curves", 1),
    "decode": ("cnnexp.tasks.fit.build_data", 1),
}
"""The function at whose so-manieth call a run is killed, by the kind of instant."""

Combination = tuple[str, ...]


def choices(group: str) -> list[str]:
    """The choices of a config group, but those that only others are made of."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


def factors() -> list[list[str]]:
    """What is combined: networks, precisions, schedules, callbacks, instants and signals."""
    networks = [name for name in choices("model") if name in SMALLEST]
    callbacks = [name for name in choices("callbacks") if name != "compile"]  # which promises no bits
    return [networks, list(PRECISIONS), choices("scheduler"), callbacks, list(POINTS), ["SIGKILL", "SIGTERM"]]


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
    network, precision, schedule, callback, _, _ = combination
    more = {
        "save_every": ["callbacks.save_every.minutes=null", "callbacks.save_every.steps=4"],
        "early_stopping": ["callbacks.early_stopping.patience=1"],
        "ema": ["callbacks.ema.decay=0.5"],
    }
    return [
        f"model={network}", *SMALLEST[network], *SHORT, f"trainer.precision={precision}", f"scheduler={schedule}",
        f"callbacks=[{callback}]", *more.get(callback, []),
    ]  # fmt: skip


def die(combination: Combination) -> Callable[[], None]:
    """Return what makes this process send itself the combination's signal, once, at its instant."""
    name, due = POINTS[combination[4]]
    number = getattr(signal, combination[5])

    def arrange() -> None:
        owner, _, method = name.rpartition(".")
        try:
            place = importlib.import_module(owner)
        except ModuleNotFoundError:
            module, _, cls = owner.rpartition(".")
            place = getattr(importlib.import_module(module), cls)
        real, calls = getattr(place, method), 0

        def watched(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == due:
                os.kill(os.getpid(), number)
            return real(*arguments, **named)

        setattr(place, method, watched)

    return arrange
