"""The data sets' section of docs/extending.md, followed to the letter from an empty folder."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from serving import FileServer, serve_idx
from torchvision import datasets

from cnnexp.command.targets import named_in

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.mark.slow
def test_a_data_set_is_added_as_the_page_says(folder, cnnexp, monkeypatch, tmp_path_factory):
    server = FileServer(tmp_path_factory.mktemp("served"))
    serve_idx(datasets.KMNIST, server, monkeypatch, 400)
    [section] = re.findall(r"^## A data set\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.S | re.M)
    monkeypatch.syspath_prepend(folder)
    blocks = re.findall(r"(?:^`(\S+)`:\n\n)?^```(\w+)\n(.*?)^```", section, re.S | re.M)
    assert len(blocks) >= 9
    for file, language, text in blocks:
        if language != "bash":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
            named_in.cache_clear()  # a command is a process of its own elsewhere
            continue
        for command in text.splitlines():
            program, *arguments = shlex.split(command)[1:]
            if program != "-m":
                runpy.run_path(program)
                continue
            for named in re.findall(r"outputs/[\w-]+/[\d_-]+", command):
                run = sorted((folder / Path(named).parent).iterdir())[0]
                arguments = [argument.replace(named, str(run)) for argument in arguments]
            assert arguments.pop(0) == "cnnexp"
            assert cnnexp(*arguments) == 0, command
    server.stop()
    for module in ("my_data", "my_module"):
        sys.modules.pop(module)
    # the examples are learned: what a page shows must work, not only run
    for data in ("blobs", "noise", "csv"):
        [run] = (folder / "outputs" / f"cnn-{data}").iterdir()
        assert json.loads((run / "result.json").read_text())["test_accuracy"] > 0.9, data
