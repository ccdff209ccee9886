"""What a person sees in TensorBoard: a real server, looked at with a real browser."""

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
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1600,1400", "--disable-gpu", "--disable-webgl"):
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

    def charts(browser) -> dict[str, int]:
        found = {}
        for card in browser.find_elements(By.CSS_SELECTOR, "card-view"):
            tag = card.find_elements(By.CSS_SELECTOR, ".tag")
            curves = card.find_elements(By.CSS_SELECTOR, "svg path")
            drawn = [curve for curve in curves if len((curve.get_attribute("d") or "").split("L")) >= 3]
            if tag and drawn:
                found[tag[0].text.strip()] = len(drawn)
        return found if found.get("loss", 0) >= 2 and found.get("accuracy", 0) >= 2 else {}

    found = wait.until(charts)
    # two curves a chart: the training's and the validation's; TensorBoard may draw a smoothed one over each
    assert found["loss"] in (2, 4)
    assert found["accuracy"] in (2, 4)
    rows = browser.find_elements(By.CSS_SELECTOR, "runs-table-wrapper *, runs-data-table *")
    names = {row.text.strip() for row in rows}
    for part in ("train", "val"):
        assert any(f"{run.parent.name}/{run.name}/tensorboard/{part}" in name for name in names)
