"""``callbacks=[compile]``: the same run, its compile time apart."""

import json
import shutil

import pytest
import torch

from cnnexp import load_run

SMALL = [
    "model.channels=[4]", "model.hidden=[]", "model.batch_norm=true",
    "trainer.max_epochs=2", "data.batch_size=100",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="needs a C++ compiler")
def test_a_compiled_run_has_the_same_names_and_nearly_the_same_numbers(cnnexp, folder):
    assert cnnexp(*SMALL) == cnnexp(*SMALL, "callbacks=[compile]") == 0
    results = {}
    for run in (folder / "outputs" / "cnn-digits").iterdir():
        result = json.loads((run / "result.json").read_text())
        results["compiled" if "compile_seconds" in result else "plain"] = (run, result)
    (plain_run, plain), (compiled_run, compiled) = results["plain"], results["compiled"]
    assert compiled["compile_seconds"] > 0
    assert compiled["test_accuracy"] == pytest.approx(plain["test_accuracy"], abs=0.03)
    before, after = (load_run(run, "last").model.state_dict() for run in (plain_run, compiled_run))
    assert list(before) == list(after)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0.1, atol=0.02)


def test_a_mode_that_torch_does_not_have_is_refused(cnnexp, folder, capsys):
    assert cnnexp("callbacks=[compile]", "callbacks.compile.mode=fastest") == 2
    assert "callbacks.compile.mode" in capsys.readouterr().err
