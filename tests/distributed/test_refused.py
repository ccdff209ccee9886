"""What is typed wrong about several processes: a line or two, before there is a folder."""

import pytest
import torch

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "1", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400",
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "environment", "said"),
    [
        ("-m trainer=ddp trainer.devices=2 seed=0,1", {}, "Type one run a command"),
        ("-m trainer=ddp seed=0,1", {}, "or trainer.devices=1 trainer.num_nodes=1"),
        ("-m trainer.devices=1,2", {}, "can't be one of a sweep"),
        ("trainer=ddp trainer.num_nodes=2", {}, "nothing starts a process on the other nodes. Type srun"),
        ("trainer=ddp trainer.devices=3", TORCHRUN, "(3 * 1) does not match the world size (2)"),
        ("", TORCHRUN, "torchrun started 2 processes, but trainer.devices and trainer.num_nodes ask for one"),
        ("task=summary", TORCHRUN, "task=summary is done by one process, but torchrun started 2"),
        ("task=summary trainer=ddp trainer.devices=2", {}, "leave trainer, trainer.devices out"),
        pytest.param(
            "trainer=ddp trainer.devices=2 trainer.sync_batchnorm=true",
            {},
            "sync_batchnorm=true needs GPUs",
            marks=needs_no_gpu,
        ),
        pytest.param("trainer=fsdp", {}, "needs NVIDIA GPUs", marks=needs_no_gpu),
        pytest.param("trainer=fsdp trainer.accelerator=cpu", {}, "type trainer=ddp", marks=needs_no_gpu),
    ],
)
def test_a_line_says_what_to_type(typed, environment, said, cnnexp, folder, capsys, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cnnexp(*typed.split(), "model.channels=[4]") == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) <= 2
    assert not (folder / "outputs").exists()


def test_one_process_may_be_asked_for_as_several_are(cnnexp, folder, monkeypatch):
    # a process group of one stays behind in torch, and nothing in the environment
    monkeypatch.setenv("MASTER_PORT", "0")
    small = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert cnnexp("-m", "trainer=ddp", "trainer.devices=1", "trainer.accelerator=cpu", "seed=0,1", *small) == 0
