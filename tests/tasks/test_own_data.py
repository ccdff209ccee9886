"""A LightningDataModule of one's own, by the command: what it must have, and what is lost without the rest."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch

MODULE = '''
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset, random_split


class Stripes(LightningDataModule):
    """Horizontal stripes or vertical ones."""

    def __init__(self, noise: float = 0.3, workers: int = 0):
        super().__init__()
        self.noise, self.workers = noise, workers
        self.num_classes = 2

    def setup(self, stage):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(80) % 2
        stripes = (torch.arange(12) % 4 < 2).float()
        images = torch.where((labels == 0).view(-1, 1, 1, 1), stripes.view(12, 1), stripes).expand(-1, 1, 12, 12)
        images = images + self.noise * torch.randn(80, 1, 12, 12, generator=generator)
        # a split that is drawn: from torch's own generator, as Lightning's examples do
        self.train, self.val = random_split(TensorDataset(images, labels), [60, 20])

    def train_dataloader(self):
        return DataLoader(self.train, 8, shuffle=True, num_workers=self.workers)

    def val_dataloader(self):
        return DataLoader(self.val, 20)


class Tested(Stripes):
    def test_dataloader(self):
        return DataLoader(self.val, 20)


class Nameless(Stripes):
    def __init__(self):
        super().__init__()
        del self.num_classes


class Flat(Tested):
    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.zeros(8, 144), torch.zeros(8)), 8)


class Other:
    pass


class Told(Tested):
    def state_dict(self):
        return {"class_names": ["lying", "upright"], "image_shape": [1, 12, 12], "mean": None, "std": None}
'''
TINY = ["model.channels=[4]", "model.hidden=[]", "model.dropout=0.2"]


@pytest.fixture
def own(cnnexp, folder, monkeypatch):
    """Run a command about a data module in the working folder; returns its exit status."""
    (folder / "mystripes.py").write_text(MODULE)
    (folder / "my" / "data").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))

    def run(name: str, *arguments: str) -> int:
        (folder / "my" / "data" / "stripes.yaml").write_text(f"# Stripes\n_target_: mystripes.{name}\n")
        return cnnexp("--config-dir", "my", *(arguments or ("data=stripes", *TINY)))

    return run


def last_run(folder: Path) -> Path:
    return max((folder / "outputs" / "cnn-stripes").iterdir(), key=os.path.getmtime)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("workers", [0, 2])
def test_it_trains_and_a_resume_gives_the_same_bits(workers, own, folder):
    typed = ["data=stripes", *TINY, f"+data.workers={workers}"]
    assert own("Tested", *typed, "trainer.max_epochs=4") == 0
    whole = last_run(folder)
    assert own("Tested", *typed, "trainer.max_epochs=2") == 0
    part = last_run(folder)
    assert part != whole
    assert rows(part) == rows(whole)[:2]
    assert own("Tested", f"resume={part}", "trainer.max_epochs=4") == 0
    assert rows(part) == rows(whole)
    last = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, part)]
    weights, again = (one["state_dict"] for one in last)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    result = json.loads((whole / "result.json").read_text())
    assert result["status"] == "completed"
    assert result["train_accuracy"] is not None
    assert result["test_accuracy"] == result["val_accuracy"]
    assert [result[f"{part}_images"] for part in ("train", "val", "test")] == [60, 20, 20]
    assert result["majority_baseline"] is None
    assert result["samples_per_second"] > 0


def test_it_is_tested_and_summarized_and_says_what_it_has(own, folder, capsys):
    assert own("Tested") == 0
    run = last_run(folder)
    assert "60 training and 20 validation images of 1×12×12 in 2 classes" in capsys.readouterr().out
    before = json.loads((run / "result.json").read_text())
    assert own("Tested", "task=test", f"run={run}") == 0
    [tested] = (run / "test").iterdir()
    assert json.loads((tested / "result.json").read_text())["test_loss"] == before["test_loss"]
    assert own("Tested", "task=summary", f"run={run}") == 0
    assert "for images of 1×12×12 and 2 classes" in capsys.readouterr().out


def test_without_a_test_part_there_are_no_test_numbers(own, folder, capsys):
    assert own("Stripes") == 0
    run = last_run(folder)
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["test_loss"], result["test_accuracy"]) == ("completed", None, None)
    capsys.readouterr()
    assert own("Stripes", "task=test", f"run={run}") == 2
    assert "Stripes has no test_dataloader" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [("Nameless", "give it an attribute num_classes"), ("Flat", "batches must be (images, labels): floats")],
)
def test_what_is_required_is_asked_for_in_a_line(name, told, own, folder, capsys):
    assert own(name) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (["task=predict", "task.images=photo.png"], "state_dict has class_names, image_shape"),
        (["task=export", "task.format=torch_export"], "state_dict has class_names, image_shape"),
        (["task=mistakes"], "Tested doesn't hand out"),
        (["task=examples"], "Tested doesn't hand out"),
    ],
)
def test_a_task_that_needs_more_says_so(task, told, own, folder, capsys):
    assert own("Tested") == 0
    (folder / "photo.png").write_bytes(b"")
    capsys.readouterr()
    assert own("Tested", *task, f"run={last_run(folder)}") == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 2


def test_with_a_state_photos_are_classified(own, folder, capsys):
    from PIL import Image

    assert own("Told") == 0
    Image.new("L", (12, 12)).save(folder / "photo.png")
    capsys.readouterr()
    assert own("Told", "task=predict", "task.images=photo.png", f"run={last_run(folder)}") == 0
    said = capsys.readouterr().out
    assert "lying" in said
    assert "upright" in said


def test_an_interrupted_epoch_is_done_again_from_its_start(own, folder, interrupt_when):
    assert own("Tested", "data=stripes", *TINY, "trainer.max_epochs=3") == 0
    whole = last_run(folder)
    interrupt_when(lambda self, trainer, batch_idx: (trainer.current_epoch, batch_idx) == (1, 3))
    saving = ["callbacks=[save_every]", "callbacks.save_every.steps=2"]
    assert own("Tested", "data=stripes", *TINY, "trainer.max_epochs=3", *saving) == 130
    part = last_run(folder)
    assert json.loads((part / "result.json").read_text())["status"] == "interrupted"
    assert own("Tested", f"resume={part}") == 0
    assert rows(part) == rows(whole)


def test_something_else_than_a_data_module_is_refused(own, folder, capsys):
    assert own("Other") == 2
    assert "data._target_=mystripes.Other isn't a LightningDataModule" in capsys.readouterr().err
