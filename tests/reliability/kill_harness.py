"""Kill real runs at random instants, resume each, and compare with the run that nobody killed.

    python tests/reliability/kill_harness.py --kills 50

Half of the kills come at a random instant of the run, half at a random one of the calls that write a checkpoint
(flush to the disk, rename).

    python tests/reliability/kill_harness.py --matrix

kills a run of each shipped network, precision, schedule and callback at each kind of instant (start, in mid-epoch,
boundary of epochs, validation, test, report, decoding) by SIGKILL and SIGTERM: so many combinations that any two
values meet; all of them with ``--matrix=full``.

Prints a line a kill and ends with how many runs came to the same, bit for bit.
"""

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

# in the parent, which trains nothing itself: a forked run starts in a blink
import lightning  # noqa: F401
import torch  # noqa: F401

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


def matrix(full: bool, seed: int = 0, most: int | None = None, say: Callable[[str], None] = print) -> list[Kill]:
    """Return what became of a killed run of each combination, or of so many that all pairs of values meet."""
    lists = kill_matrix.factors()
    wanted = itertools.islice(itertools.product(*lists) if full else kill_matrix.pairwise(lists, seed), most)
    done: list[Kill] = []
    straight: dict[tuple[str, ...], Path | None] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, one in enumerate(wanted):
            arguments, made = kill_matrix.settings(one), one[:4]
            if made not in straight:
                folder = Path(name) / "-".join(made)
                folder.mkdir()
                straight[made] = the_run(folder) if ended(started(folder, arguments)) == 0 else None
            where, path = ", ".join(one), straight[made]
            if path is None:
                done.append(Kill(where, 0, False, "the run that nobody kills fails"))
            else:
                folder = Path(name) / str(number)
                folder.mkdir()
                ended(started(folder, arguments, kill_matrix.die(one)))
                killed = the_run(folder)
                ended(started(folder, [f"resume={killed}"] if killed else arguments))
                why, resumed = "", the_run(folder)
                try:
                    assert resumed is not None, "no run"
                    identical(path, resumed)
                except (AssertionError, OSError) as error:
                    why = f"{type(error).__name__}: {error}"[:200]
                done.append(Kill(where, 1, not why, why))
            say(f"{number + 1:3} {'identical' if done[-1].same else 'DIFFERENT'}: {where} {done[-1].why}")
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--matrix", nargs="?", const="pairwise", choices=["pairwise", "full"])
    parser.add_argument("--most", type=int, help="combinations of the matrix at most")
    options = parser.parse_args()
    if options.matrix:
        outcome = matrix(options.matrix == "full", options.seed, options.most)
    else:
        outcome = harness(options.kills, options.seed)
    print(f"{sum(kill.same for kill in outcome)} of {len(outcome)} identical")
    sys.exit(not all(kill.same for kill in outcome))
