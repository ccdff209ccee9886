"""Kill real runs at random instants, resume each, and compare with the run that nobody killed.

    python tests/reliability/kill_harness.py --kills 50

Half of the kills come at a random instant of the run, half at a random one of the calls that write a checkpoint
(flush to the disk, rename).

    python tests/reliability/kill_harness.py --matrix

kills a run of each shipped network, precision, callback, schedule and optimizer at each kind of instant (decoding
of images, start, in mid-epoch, boundary of epochs, validation, test, report) by SIGKILL and SIGTERM: so many
combinations that any two values meet. ``--matrix=full`` takes each network in each precision with each callback
at each instant; ``--part 2/9`` the second ninth of them; a combination as it is printed takes that one alone.

Prints a line a kill and ends with how many runs came to the same, bit for bit.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

# in the parent, which trains nothing itself: a forked run starts in a blink
import lightning  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch._dynamo
import torch.utils.tensorboard  # noqa: F401
import torchvision.models  # noqa: F401

import cnnexp.tasks.fit  # noqa: F401
from cnnexp.app import run

from reliability import kill_matrix  # isort: skip
from tasks.test_resume import identical  # isort: skip

SETTINGS = [
    "model.channels=[4,4]", "model.hidden=[16]", "model.batch_norm=true", "model.dropout=0.3",
    "data.batch_size=48",
    "data.crop_padding=2", "trainer.max_epochs=5", "scheduler=onecycle", "callbacks=[ema,save_every]",
    "callbacks.ema.decay=0.9", "callbacks.save_every.minutes=null", "callbacks.save_every.steps=5",
    "trainer.accumulate_grad_batches=2",
]  # fmt: skip


@dataclass
class Kill:
    """What was done to a run, and what came of it."""

    where: str
    resumes: int
    same: bool
    why: str = ""


def started(folder: Path, arguments: list[str], before: Callable[[], None] = lambda: None) -> int:
    """Start the command in a process of its own, in ``folder``; return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.chdir(folder)
        os.environ["CNNEXP_CACHE"] = str(folder / "cache")
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        before()
        status = run(arguments)
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a process and return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at_call(number: int) -> Callable[[], None]:
    """Return what makes a process kill itself as it enters the so-manieth flush or rename."""

    def arrange() -> None:
        calls = 0

        def counted(function: Callable) -> Callable:
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        os.fsync, os.replace = counted(os.fsync), counted(os.replace)

    return arrange


def the_run(folder: Path) -> Path | None:
    """The run's folder, if the process lived to claim it, to record its settings and to say that it began."""
    runs = [path for path in folder.glob("outputs/*/*") if (path / "result.json").is_file()]
    return runs[0] if runs else None


def killed_and_resumed(
    folder: Path, seconds: float, straight: Path, random_: random.Random, in_write: bool
) -> Kill:
    """Kill a run, resume it (and kill that once more, sometimes), and compare."""
    folder.mkdir()
    arguments, resumes, where = SETTINGS, 0, ""
    for _ in range(random_.choice((1, 1, 2))):
        if in_write:
            number = random_.randrange(1, 120)
            where += f"call {number} of a write; "
            pid = started(folder, arguments, die_at_call(number))
        else:
            instant = random_.uniform(0, seconds)
            where += f"{instant:.2f} s after the start; "
            pid = started(folder, arguments)
            time.sleep(instant)
            os.kill(pid, signal.SIGKILL)
        ended(pid)
        path = the_run(folder)
        if path is not None:
            arguments, resumes = [f"resume={path}"], resumes + 1
    status = ended(started(folder, arguments))
    path = the_run(folder)
    assert path is not None
    result = json.loads((path / "result.json").read_text())
    # a run that was killed after its end has nothing to resume: that is refused with 2, and is complete
    if result["status"] != "completed":
        return Kill(where, resumes, False, f"exit status {status}, {result['status']}: {result['error']}")
    try:
        identical(straight, path)
    except AssertionError as error:
        return Kill(where, resumes, False, str(error)[:200])
    return Kill(where, resumes, True)


def harness(kills: int, seed: int = 0, say: Callable[[str], None] = print) -> list[Kill]:
    """Return what became of so many killed runs."""
    random_ = random.Random(seed)
    done: list[Kill] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        straight = root / "straight"
        straight.mkdir()
        begin = time.perf_counter()
        assert ended(started(straight, SETTINGS)) == 0
        seconds = time.perf_counter() - begin
        path = the_run(straight)
        assert path is not None
        for number in range(kills):
            kill = killed_and_resumed(root / str(number), seconds, path, random_, in_write=number % 2 == 1)
            done.append(kill)
            verdict = "same" if kill.same else "DIFFERENT"
            say(f"{number + 1:3} {verdict}: {kill.where}resumed {kill.resumes}× {kill.why}")
    return done


def matrix(wanted: Iterable[kill_matrix.Combination], say: Callable[[str], None] = print) -> list[Kill]:
    """Return what became of a killed run of each combination."""
    done: list[Kill] = []
    straight: dict[kill_matrix.Combination, Path | None] = {}
    with tempfile.TemporaryDirectory() as name:
        kill_matrix.images(Path(name) / "images")
        for number, one in enumerate(wanted):
            arguments, made = kill_matrix.settings(one), kill_matrix.run_of(one)
            if made not in straight:
                folder = Path(name) / "-".join(made)
                folder.mkdir()
                straight[made] = the_run(folder) if ended(started(folder, arguments)) == 0 else None
            done.append(killed_once(Path(name) / str(number), arguments, one, straight[made]))
            say(f"{number + 1:4} {'identical' if done[-1].same else 'DIFFERENT'}: {done[-1].where} {done[-1].why}")
    return done


def killed_once(folder: Path, arguments: list[str], one: kill_matrix.Combination, straight: Path | None) -> Kill:
    """Kill a run at a combination's instant, resume it, and compare."""
    where = ", ".join(one)
    if straight is None:
        return Kill(where, 0, False, "the run that nobody kills fails")
    folder.mkdir()
    status = ended(started(folder, arguments, kill_matrix.die(one)))
    if status not in (-signal.SIGKILL, 128 + signal.SIGTERM):
        return Kill(where, 0, False, f"ended with {status} before it was killed")
    killed = the_run(folder)
    status = ended(started(folder, [f"resume={killed}"] if killed else arguments))
    resumed = the_run(folder)
    try:
        assert resumed is not None, "no run"
        identical(straight, resumed)
    except (AssertionError, OSError) as error:
        return Kill(where, 1, False, f"{status}, {type(error).__name__}: {error}"[:200])
    shutil.rmtree(folder)
    return Kill(where, 1, True)


def part(text: str) -> tuple[int, int]:
    """``2/9`` as numbers: the second ninth."""
    number, of = map(int, text.split("/"))
    return number, of


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--matrix", nargs="?", const="pairwise", help="pairwise, full, or one combination")
    parser.add_argument("--most", type=int, help="combinations of the matrix at most")
    parser.add_argument("--part", type=part, default=(1, 1), help="of the matrix: 2/9 is the second ninth")
    options = parser.parse_args()
    if options.matrix == "full":
        combinations = list(kill_matrix.full(options.seed))
    elif options.matrix and "," in options.matrix:
        combinations = [tuple(options.matrix.split(", "))]
    elif options.matrix:
        combinations = list(kill_matrix.pairwise(kill_matrix.factors(), options.seed))
    if options.matrix:
        which, parts = options.part
        start, stop = (len(combinations) * end // parts for end in (which - 1, which))
        outcome = matrix(combinations[start:stop][: options.most])
    else:
        outcome = harness(options.kills, options.seed)
    print(f"{sum(kill.same for kill in outcome)} of {len(outcome)} identical")
    sys.exit(not all(kill.same for kill in outcome))
