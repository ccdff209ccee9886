"""What a person sees and does on a report's page, in a real browser: on a screen, a phone and paper."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from run_folders import FITTING, OVERFITTING, make_run

from cnnexp.reports.records import sweep_runs
from cnnexp.reports.write import write_report

DARK, LIGHT = "dark", "light"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report on many configurations, with names that are long or full of signs, and one that failed."""
    folder = tmp_path_factory.mktemp("page")
    for number, size in enumerate((5, 100, 9, 50, 1000, 20)):
        rows = [
            row | {"val_accuracy": row["val_accuracy"] - number / 100}
            for row in (FITTING, OVERFITTING)[number % 2]
        ]
        loss = {"name": ("a_long_name_" * 12) if size == 9 else f"<b>{size} & more</b>"}
        for seed in range(3):
            typed = [f"data.train_size={size}", f"seed={seed}"]
            rows = [row | {"val_accuracy": row["val_accuracy"] - 0.001 * seed} for row in rows]
            make_run(folder / f"size {size} #{seed}%", typed, rows, recorded={"loss": loss}, test_f1=0.5)
    make_run(folder / "failed", ["data.train_size=7"], [], "failed", error="RuntimeError: " + "no " * 100)
    write_report(sweep_runs(folder), folder, "a page " + "with_a_long_title" * 9)
    return folder / "report.html"


@pytest.fixture
def show(browser, page):
    """Show the page so wide, dark or light, on a screen or on paper, and return the browser."""

    def shown(width: int = 1366, scheme: str = LIGHT, media: str = "screen"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.as_uri())
        return browser

    return shown


def cells(browser, column: str, table: int = 0) -> list[str]:
    """What stands in the column of that heading, from the top."""
    script = """
    const table = document.querySelectorAll("table")[arguments[1]], heads = [...table.tHead.rows[0].cells];
    const at = heads.findIndex((head) => head.textContent === arguments[0]);
    return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent);
    """
    return browser.execute_script(script, column, table)


def heading(browser, column: str):
    [found] = [
        head for head in browser.find_elements("css selector", "th [role=button]")
        if head.get_property("textContent") == column
    ][:1]  # fmt: skip
    return found


def style(browser, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    return browser.execute_script(script, selector, name)


@pytest.mark.parametrize("by", ["click", "enter", "space"])
def test_columns_sort_by_number_and_what_has_none_comes_last(by, show):
    from selenium.webdriver.common.keys import Keys

    browser = show()
    best_first = cells(browser, "train_size")

    def press(column: str) -> None:
        head = heading(browser, column)
        head.click() if by == "click" else head.send_keys(Keys.ENTER if by == "enter" else Keys.SPACE)

    press("train_size")
    assert cells(browser, "train_size") == ["5", "7", "9", "20", "50", "100", "1000"]
    press("train_size")
    assert cells(browser, "train_size") == ["1000", "100", "50", "20", "9", "7", "5"]
    press("val acc %")
    assert cells(browser, "train_size")[-1] == "7"  # which has no accuracy
    press("val acc %")
    assert cells(browser, "train_size") == best_first
    assert best_first[-1] == "7"
    sorted_by = browser.find_elements("css selector", "th[aria-sort]")
    assert [head.get_property("textContent") for head in sorted_by] == ["val acc %"]


def test_headings_and_fold_are_reached_by_the_keyboard(show):
    from selenium.webdriver.common.keys import Keys

    browser = show()
    reached = []
    for _ in range(5):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            browser.execute_script("return document.activeElement.id || document.activeElement.textContent")
        )
    assert reached[:4] == ["more", "train_size", "name", "runs"]
    assert not heading(browser, "val loss").is_displayed()
    browser.find_element("id", "more").send_keys(Keys.SPACE)
    assert heading(browser, "val loss").is_displayed()
    assert heading(browser, "test f1").is_displayed()


def test_a_runs_name_leads_to_its_folder(show, page):
    browser = show()
    name = "size 5 #0%"
    browser.find_element("link text", name).click()
    assert browser.current_url == f"{(page.parent / name).as_uri()}/"
    assert "result.json" in browser.find_element("tag name", "body").text


@pytest.mark.parametrize("width", [1366, 390])
def test_the_page_is_as_wide_as_the_screen_and_its_figures_can_be_read(width, show):
    browser = show(width)
    root = "return document.documentElement"
    assert browser.execute_script(f"{root}.scrollWidth") == browser.execute_script(f"{root}.clientWidth") <= width
    sizes = browser.execute_script("return [...document.images].map((image) => [image.width, image.naturalWidth])")
    assert len(sizes) == 4
    for shown, natural in sizes:
        assert shown == natural if width == 390 else shown <= natural
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('figure .wide')].map((box) => box.scrollWidth > box.clientWidth)"
    )
    hints = [hint.is_displayed() for hint in browser.find_elements("class name", "hint")]
    assert hints == boxes == [width == 390] * 4  # that one can scroll is said where one can
    table = browser.execute_script("return document.querySelector('table').scrollWidth")
    assert width == 390 or table <= width  # the first columns, with a name of 144 letters among them


def lightness(colour: str) -> float:
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(", "))) / 3 / 255


@pytest.mark.parametrize(
    ("scheme", "media", "dark"), [(DARK, "screen", True), (LIGHT, "screen", False), (DARK, "print", False)]
)
def test_figures_are_dark_where_the_page_is(scheme, media, dark, show):
    browser = show(scheme=scheme, media=media)
    assert (lightness(style(browser, "body", "backgroundColor")) < 0.2) is dark
    assert (lightness(style(browser, "body", "color")) > 0.8) is dark
    assert ("invert" in style(browser, "img", "filter")) is dark


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs pdftotext, of poppler-utils")
def test_a_print_has_every_column_on_each_page_and_cuts_nothing(show, tmp_path):
    browser = show(scheme=DARK, media="")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    (tmp_path / "page.pdf").write_bytes(base64.b64decode(printed["data"]))
    command = ["pdftotext", "-layout", str(tmp_path / "page.pdf"), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = text.split()
    # folded on a screen, the last column there is, and a heading on each page that a table goes over
    assert {"test", "loss", "f1", "seconds"} <= set(words)
    assert words.count("verdict") >= 2
    assert "scroll the figure" not in text
    assert "".join(words).count("a_long_name_" * 12) >= 2  # whole, in several lines
