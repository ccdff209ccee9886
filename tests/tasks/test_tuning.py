"""Learning rate, batch size and profile, each found by a real if short training."""

import csv
import json
from pathlib import Path

import pytest
import torch

from cnnexp import FFNN, ImageDataModule
from cnnexp.training.batch_sizes import StepTimer, scale_batch_size

TINY = ["model=ffnn", "model.hidden=[16]"]


def only(folder: Path) -> Path:
    [made] = folder.glob("outputs/*/*")
    return made


def test_a_learning_rate_is_found_drawn_and_put_into_a_command(cnnexp, folder):
    typed = ["optimizer=adam", "scheduler=onecycle", "data.batch_size=64", "trainer.max_epochs=1"]
    assert cnnexp("task=lr_find", *TINY, *typed, "task.steps=60") == 0
    made = only(folder)
    done = json.loads((made / "result.json").read_text())
    # 21 batches an epoch: three epochs were begun, whatever trainer.max_epochs says
    with (made / "lr_find.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 30
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-6)
    assert 1e-5 < done["suggestion"] < 0.5
    assert (made / "lr_find.png").exists()
    assert (made / "tensorboard").is_dir()
    command = f"python -m cnnexp {' '.join(TINY)} {' '.join(typed)} optimizer.lr={done['suggestion']:.2g}"
    assert command in (made / "run.log").read_text().replace("'", "")
    assert not list(made.glob("**/*.ckpt"))


def test_batch_sizes_are_timed_up_to_the_largest(cnnexp, folder):
    assert cnnexp("task=batch_size_find", *TINY, "task.smallest=16", "task.largest=64", "task.steps=3") == 0
    made = only(folder)
    with (made / "batch_size_find.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["batch_size"] for row in rows] == ["16", "32", "64"]
    assert all(float(row["samples_per_second"]) > 0 for row in rows)
    done = json.loads((made / "result.json").read_text())
    assert done["largest"] == 64
    assert f"data.batch_size={done['suggestion']}" in (made / "run.log").read_text()
    assert (made / "batch_size_find.png").exists()


class Greedy(FFNN):
    """Needs more memory than there is for batches over 32."""

    def forward(self, images):
        if len(images) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(images)


@pytest.mark.filterwarnings("ignore")
def test_the_search_ends_where_the_memory_does_and_leaves_everything_as_it_was(tmp_path):
    import lightning as L

    data = ImageDataModule("digits", batch_size=48)
    model = Greedy(data.image_shape, data.classes, hidden=[4])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    timer = StepTimer(data)
    trainer = L.Trainer(
        accelerator="cpu", profiler=timer, default_root_dir=tmp_path, logger=False, max_epochs=-1,
        check_val_every_n_epoch=10**9, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    rows = scale_batch_size(trainer, model, data, timer, smallest=8, steps=3)
    assert [row["batch_size"] for row in rows] == [8, 16, 32]
    assert data.batch_size == 48
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not list(tmp_path.glob("**/*.ckpt"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("typed", "inside", "files"),
    [
        ("trainer=profile", "aten::addmm", {"fit-profile.txt", "test-profile.txt"}),
        ("trainer.profiler=simple", "run_training_batch", {"fit-profile.txt", "test-profile.txt"}),
    ],
)
def test_a_profile_is_written_into_the_run_folder(typed, inside, files, cnnexp, folder):
    assert cnnexp(*TINY, typed, "trainer.max_epochs=1", "trainer.limit_train_batches=8") == 0
    made = only(folder)
    assert files <= {path.name for path in (made / "profile").iterdir()}
    assert bool(list((made / "profile").glob("*.json"))) == (typed == "trainer=profile")
    assert inside in (made / "profile" / "fit-profile.txt").read_text()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["task=lr_find", "task.min_lr=1", "task.max_lr=0.1"], "task.min_lr=1 must be below task.max_lr=0.1"),
        (["task=lr_find", "task.steps=3"], "greater than or equal to 20"),
        (["task=lr_find", "task.max_lr=1e-9", "task.min_lr=1e-10"], "the loss never fell"),
        (["task=batch_size_find", "task.smallest=9", "task.largest=8"], "must not be above task.largest=8"),
        (["trainer.profiler=fast"], "'simple', 'advanced' or 'pytorch'"),
    ],
)
def test_a_mistake_is_answered(typed, said, cnnexp, folder, capsys):
    assert cnnexp(*TINY, *typed) == 2
    assert said in capsys.readouterr().err
