"""What a person sees in TensorBoard: a real server, looked at with a real browser."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

PATIENCE = 90  # seconds, at most, for a page on a busy machine


@pytest.fixture
def browser() -> Iterator:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("needs Chromium and its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1600,1400", "--disable-gpu"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


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


@pytest.mark.slow
def test_training_and_validation_lie_on_one_chart(cnnexp, folder, tensorboard, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    assert cnnexp("model=ffnn", "model.hidden=[16]", "trainer.max_epochs=3", "data.batch_size=200") == 0
    [run] = (folder / "outputs").glob("*/*")
    browser.get(f"{tensorboard()}#timeseries")
    wait = WebDriverWait(browser, PATIENCE)

    def curves(browser) -> str:
        """What the chart of the accuracy says below its axes: a row a curve, once both are drawn."""
        for card in browser.find_elements(By.CSS_SELECTOR, "card-view"):
            text = card.get_property("innerText")
            if text.startswith("accuracy") and all(f"tensorboard/{part}" in text for part in ("train", "val")):
                return text
        return ""

    text = wait.until(curves)
    named = f"{run.parent.name}/{run.name}/tensorboard/"
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    for part in ("train", "val"):
        assert f"{named}{part}" in text
        # the last epoch's value, at its own number on the axis
        assert f"{float(rows[-1][f'{part}_accuracy']):.4f}" in text
    assert "hp_metric" not in browser.find_element(By.TAG_NAME, "body").get_property("innerText")
