"""What a long run and a long sweep keep in memory: nothing of what is over."""

import gc
from collections import Counter
from pathlib import Path

import lightning as L
import pytest

from cnnexp import CNN
from cnnexp.models.classifier import Classifier
from cnnexp.sweeps import jobs

SMALL = ["model.channels=[4]", "model.hidden=[8]", "trainer.limit_train_batches=2"]


def resident() -> float:
    """Memory that this process holds, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("this system has no /proc to read a process's memory from")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_twenty_jobs_leave_nothing_behind(cnnexp, folder, monkeypatch):
    counts: list[Counter] = []
    memory: list[float] = []

    def watched(config):
        run_job(config)
        gc.collect()
        counts.append(Counter(type(thing) for thing in gc.get_objects()))
        memory.append(resident())

    run_job = jobs.run_job_of_sweep
    monkeypatch.setattr(jobs, "run_job_of_sweep", watched)
    assert cnnexp(*SMALL, "trainer.max_epochs=1", "-m", "seed=range(20)") == 0
    for kind in (L.Trainer, CNN):
        assert counts[-1][kind] <= counts[4][kind]
    # a job that kept its settings or its network would keep thousands of objects
    assert sum(counts[-1].values()) - sum(counts[4].values()) < 100 * 15
    # what the allocator keeps for reuse settles only slowly; the images and the networks are more than this
    assert memory[-1] - memory[4] < 60


@pytest.mark.slow
def test_ten_epochs_take_no_more_memory_than_two(cnnexp, folder, monkeypatch):
    memory: list[float] = []
    end = Classifier.on_train_epoch_end
    monkeypatch.setattr(
        Classifier, "on_train_epoch_end", lambda self: (end(self), gc.collect(), memory.append(resident()))[0]
    )
    assert cnnexp("model.channels=[8]", "model.hidden=[32]", "trainer.max_epochs=10") == 0
    assert len(memory) == 10
    assert memory[-1] - memory[1] < 8
