"""The networks' section of docs/extending.md, followed to the letter from an empty folder."""

import re
import shlex
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SHORT = ["trainer.limit_train_batches=2", "trainer.max_epochs=1", "data.eval_batch_size=2000"]


@pytest.mark.slow
def test_a_network_is_added_as_the_page_says(folder, cnnexp, monkeypatch):
    [section] = re.findall(r"^## A network\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.S | re.M)
    monkeypatch.syspath_prepend(folder)
    blocks = re.findall(r"(?:^`(\S+)`:\n\n)?^```(\w+)\n(.*?)^```", section, re.S | re.M)
    assert len(blocks) >= 8
    for file, language, text in blocks:
        if language != "bash":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
            continue
        for command in text.splitlines():
            program, *arguments = shlex.split(command)[2:]
            assert program == "cnnexp"
            for named in re.findall(r"outputs/[\w-]+/[\d_-]+", command):
                run = sorted((folder / Path(named).parent).iterdir())[0]
                arguments = [argument.replace(named, str(run)) for argument in arguments]
            fits = not any(argument.startswith(("task=", "resume=")) for argument in arguments)
            assert cnnexp(*arguments, *(SHORT if fits else [])) == 0, command
    for module in ("my_modules", "own_network"):
        sys.modules.pop(module)
