"""What a person sees in TensorBoard: a real server, looked at with a real browser."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

PATIENCE = 90  # seconds, at most, for a page on a busy machine


@pytest.fixture
def tensorboard(folder) -> Iterator:
    """Serve a folder; return the address."""
    servers: list[subprocess.Popen] = []

    def serve() -> str:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", "outputs", "--port", "0"]
        server = subprocess.Popen([*command, "--host", "127.0.0.1"], cwd=folder, stderr=subprocess.PIPE, text=True)
        servers.append(server)
        assert server.stderr is not None
        for line in server.stderr:
            if " at http" in line:
                return line.split(" at ")[1].split()[0]
        raise AssertionError("TensorBoard ended before it served")

    yield serve
    for server in servers:
        server.terminate()
        server.communicate()


# the table of the HParams tab, wherever in the page's shadow trees it is
TABLE = """
const grids = [];
const walk = node => {
  if (node.tagName === "VAADIN-GRID") grids.push(node);
  if (node.shadowRoot) walk(node.shadowRoot);
  for (const child of node.children || []) walk(child);
};
walk(document.body);
return grids.map(grid => grid.innerText).join("\\n");
"""


@pytest.mark.slow
def test_curves_lie_on_one_chart_and_a_sweep_in_one_table(cnnexp, folder, tensorboard, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    quick = ["model=ffnn", "model.hidden=[16]", "trainer.max_epochs=3", "data.batch_size=200"]
    assert cnnexp(*quick, "-m", "optimizer.lr=0.001,0.02") == 0
    jobs = sorted((folder / "outputs" / "sweeps").glob("*/*/optimizer*"))
    assert len(jobs) == 2
    address = tensorboard()
    browser.get(f"{address}#timeseries")
    wait = WebDriverWait(browser, PATIENCE)
    parts = [f"{job.name}/tensorboard/{part}" for job in jobs for part in ("train", "val")]

    def curves(browser) -> str:
        """What the chart of the accuracy says below its axes: a row a curve, once all are drawn."""
        for card in browser.find_elements(By.CSS_SELECTOR, "card-view"):
            text = card.get_property("innerText")
            if text.startswith("accuracy") and all(part in text for part in parts):
                return text
        return ""

    text = wait.until(curves)
    for job in jobs:
        rows = list(csv.DictReader((job / "metrics.csv").read_text().splitlines()))
        for part in ("train", "val"):
            # the last epoch's value, at its own number on the axis
            assert f"{float(rows[-1][f'{part}_accuracy']):.4f}" in text
    assert "hp_metric" not in browser.find_element(By.TAG_NAME, "body").get_property("innerText")

    browser.get(f"{address}#hparams")
    browser.refresh()  # another tab of the same page isn't loaded anew
    lines = wait.until(lambda browser: len(found := browser.execute_script(TABLE).splitlines()) > 30 and found)
    shown = ("val.accuracy", "best/test_accuracy", "best/generalization_gap")
    assert {"optimizer.lr", *shown} <= set(lines)
    assert lines.index("optimizer.lr") < 4  # what differs comes first
    for job, rate in zip(jobs, (0.001, 0.02), strict=True):
        result = json.loads((job / "result.json").read_text())
        row = lines[next(number for number, line in enumerate(lines) if job.name in line) :][:12]
        last = list(csv.DictReader((job / "metrics.csv").read_text().splitlines()))[-1]
        numbers = (float(last["val_accuracy"]), result["test_accuracy"], result["generalization_gap"], rate)
        # five digits, as JavaScript's toPrecision writes them
        assert {f"{number:#.5g}" for number in numbers} <= set(row)
