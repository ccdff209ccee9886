import json
import math
import re
from html import escape
from html.parser import HTMLParser
from urllib.parse import unquote

import matplotlib
import pytest
from matplotlib.colors import to_hex
from run_folders import FITTING, OVERFITTING, make_run

from cnnexp.reports import write
from cnnexp.reports.against import draw_against, draw_heat_maps
from cnnexp.reports.curves import TRAIN, VAL
from cnnexp.reports.findings import HIDDEN, findings, headline
from cnnexp.reports.grid import MOST_PANELS, draw_grid, panels_told
from cnnexp.reports.leaderboard import text_table
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.write import write_report


def sweep(folder, jobs, rows=FITTING, **asked):
    for number, typed in enumerate(jobs):
        make_run(folder / f"job-{number:03}", typed.split(), rows)
    return study(read_runs(sweep_runs(folder)), **asked)


SIZES = [f"data.train_size={size} seed={seed}" for size in (50, 500, 5000) for seed in (0, 1)]
MODELS = [f"model={model} {rest}" for model in ("cnn", "ffnn") for rest in SIZES]


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_a_panel_holds_a_configurations_seeds_with_the_best_epoch_marked(metric, tmp_path):
    panels = visible(draw_grid(sweep(tmp_path, SIZES, OVERFITTING), metric))
    assert [axes.get_title() for axes in panels] == ["train_size=50", "train_size=500", "train_size=5000"]
    for axes in panels:
        curves = [line for line in axes.lines if len(line.get_xdata()) == 6]
        assert sorted(to_hex(line.get_color()) for line in curves) == sorted([TRAIN, VAL] * 2)
        assert [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"] == [3, 3]
        # where it turned; no epoch belongs to a gap, which is a band
        assert [float(line.get_xdata()[0]) for line in axes.lines if line.get_linestyle() == "--"] == [3]
        assert len(axes.collections) == (2 if metric == "accuracy" else 0)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_no_turn_is_drawn_where_nothing_turned(metric, tmp_path):
    figure = draw_grid(sweep(tmp_path, SIZES), metric)
    assert not any(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines)
    assert not any("turned" in text.get_text() for text in figure.legends[0].get_texts())


def test_of_many_configurations_some_are_drawn_and_the_title_says_so(tmp_path):
    figure = draw_grid(sweep(tmp_path, [f"data.train_size={size}" for size in range(1, 41)]), "loss")
    assert len(visible(figure)) == MOST_PANELS
    assert figure.get_suptitle() == "loss, 24 of 40 configurations"


@pytest.mark.parametrize("best", [1, 2, 17, 40])
def test_the_best_is_drawn_and_its_title_is_bold_as_the_leaderboard_has_it(best, tmp_path):
    for size in range(1, 41):
        rows = [row | {"val_accuracy": row["val_accuracy"] - 0.001 * abs(size - best)} for row in FITTING]
        make_run(tmp_path / f"{size:02}", [f"data.train_size={size}"], rows)
    found = study(read_runs(sweep_runs(tmp_path)))
    panels = visible(draw_grid(found, "loss"))
    bold = [axes.get_title() for axes in panels if axes.title.get_fontweight() == "bold"]
    assert bold == [found.configurations[0].label] == [f"train_size={best}"]
    assert len({axes.get_title() for axes in panels}) == MOST_PANELS


@pytest.mark.parametrize(
    ("jobs", "rows", "metric", "said", "unsaid"),
    [
        ([f"data.train_size={n}" for n in range(1, 41)], FITTING, "loss", "24 of 40 configurations", "seed"),
        (SIZES, FITTING, "loss", "a panel a configuration; a line a seed; the title of", "of 3 configurations"),
        (SIZES[:1], FITTING, "loss", "Loss by epoch; the dot", "a panel"),
        (SIZES[:2], FITTING, "loss", "Loss by epoch; a line a seed; the dot", "bold"),
        (SIZES, FITTING, "loss", "best epoch", "turned"),
        (SIZES, OVERFITTING, "loss", "validation loss turned", "band"),
        (SIZES, FITTING, "accuracy", "the band is the generalization gap", "turned"),
        ([f"seed={seed}" for seed in range(12)], FITTING, "loss", "ten seeds of each", "a line a seed"),
    ],
)
def test_a_caption_speaks_only_of_what_is_drawn(jobs, rows, metric, said, unsaid, tmp_path):
    found = sweep(tmp_path, jobs, rows)
    told = panels_told(found, metric)
    assert said in told
    assert unsaid not in told
    legend = {text.get_text() for text in draw_grid(found, metric).legends[0].get_texts()}
    assert (f"validation {metric} turned" in legend) is ("turned" in told)


@pytest.mark.parametrize(
    ("jobs", "scale", "labels"),
    [
        (SIZES, "log", ["50", "500", "5000"]),
        (["data.train_size=50", "data.train_size=60"], "linear", ["50", "60"]),
        # nobody knows how many all of them are: at the end, on a line of its own
        ([*SIZES, "seed=0"], "log", ["50", "500", "5000", "\nall"]),
        (["data.train_size=50", "seed=0"], "linear", ["50", "all"]),  # one number makes no axis
        (["model.dropout=0.0", "model.dropout=0.5"], "linear", ["0", "0.5"]),
        (["model=ffnn", "model=cnn"], "linear", ["cnn", "ffnn"]),
        (["model.channels=[16]", "model.channels=[4,8]"], "linear", ["[4,8]", "[16]"]),
    ],
)
def test_axes_fit_what_is_swept(jobs, scale, labels, tmp_path):
    left, right = draw_against(sweep(tmp_path, jobs, reveal=True)).axes
    for axes in (left, right):
        assert axes.get_xscale() == scale
        shown = [tick.get_text() for tick in axes.get_xticklabels()]
        if axes.get_xscale() == "log" or not any(shown):
            shown = [axes.xaxis.get_major_formatter()(x) for x in axes.get_xticks()]
        assert shown == labels
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"train, clean", "validation", "test"}


@pytest.mark.parametrize(
    ("sizes", "images", "label", "places"),
    [
        ((50, 500, None), {50: 50, 500: 500, None: 1078}, "\nall: 1,078", [[50, 500, 1078]]),
        ((50, 60, None), {50: 50, 60: 60, None: 55}, "\nall: 55", [[50, 55, 60]]),
        ((50, None), {50: 50, None: 1078}, "\nall: 1,078", [[50, 1078]]),
        ((50, 500, None), {}, "\nall", [[50, 500], [pytest.approx(500 * 10**0.2)]]),
        ((50, 60, None), {}, "\nall", [[50, 60], [62]]),
    ],
)
def test_all_images_stand_at_their_number_or_after_a_gap(sizes, images, label, places, tmp_path):
    for size in sizes:
        known = {"train_images": images[size]} if size in images else {}
        make_run(tmp_path / str(size), [f"data.train_size={size or 'null'}"], FITTING, **known)
    axes = draw_against(study(read_runs(sweep_runs(tmp_path)))).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()][-1] == label
    assert [list(map(float, bars.lines[0].get_xdata())) for bars in axes.containers] == places


def test_error_bars_are_over_the_seeds(tmp_path):
    for seed, shift in enumerate((0.0, 0.02, 0.04)):
        for size in (50, 100):
            rows = [row | {"train_accuracy": row["train_accuracy"] + shift} for row in FITTING]
            make_run(tmp_path / f"{size}-{seed}", [f"data.train_size={size}", f"seed={seed}"], rows)
    left, _ = draw_against(study(read_runs(sweep_runs(tmp_path)))).axes
    [bars] = [container for container in left.containers if container.has_yerr]
    low, high = bars.lines[2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(4.303 * 2 / math.sqrt(3), rel=1e-3)  # Student's, of three


def test_two_settings_have_a_heat_map_and_a_line_each(tmp_path):
    found = sweep(tmp_path, MODELS)
    gap, accuracy = draw_heat_maps(found).axes[:2]
    assert gap.images[0].get_array().shape == accuracy.images[0].get_array().shape == (2, 3)
    assert accuracy.texts[0].get_text() == f"{100 * FITTING[-1]['val_accuracy']:.1f}"
    by_size = next(axes for axes in draw_against(found).axes if axes.get_xlabel() == "train_size")
    assert {text.get_text() for text in by_size.get_legend().get_texts()} == {"model=cnn", "model=ffnn"}


def test_a_cell_that_has_no_run_is_a_dash(tmp_path):
    gap = draw_heat_maps(sweep(tmp_path, MODELS[:-2])).axes[0]
    assert "–" in [text.get_text() for text in gap.texts]


def test_the_answer_says_which_overfit_when_and_by_how_much(tmp_path):
    make_run(tmp_path / "a", ["data.train_size=50"], OVERFITTING)
    make_run(tmp_path / "b", ["data.train_size=500"], FITTING)
    make_run(tmp_path / "c", ["data.train_size=5000"], [], "failed")
    found = study(read_runs(sweep_runs(tmp_path)))
    assert headline(found) == (
        "1 of 2 configurations overfits; highest validation accuracy: train_size=500 with 93.75 % (one seed; test "
        "93.75 %), not compared by seeds (2 of 3 runs completed, 1 failed)."
    )
    first, real, *_ = findings(found)
    assert first.startswith(
        "train_size=50: overfits; validation loss turned at epoch 3 and ends 50 ± 13 (standard error) % above its "
        "lowest; validation accuracy turned at epoch 3; gap 19.6 points at the end."
    )
    assert real.startswith(
        "Is it real? No configuration can be told apart from the best with fewer than two seeds"
    )


def with_accuracy(rows, change, gap=0.0):
    return [
        row | {"val_accuracy": row["val_accuracy"] + change, "train_accuracy": row["train_accuracy"] + gap}
        for row in rows
    ]


def test_what_is_told_apart_is_said_and_what_is_not_is_said_too(tmp_path):
    for seed, luck in enumerate((0.0, 0.01, 0.02, 0.005)):
        for size, change in ((50, 0.002 * seed - 0.2), (500, -0.001 * seed), (5000, 0.0)):
            rows = with_accuracy(FITTING, luck + change)
            make_run(tmp_path / f"{size}-{seed}", [f"data.train_size={size}", f"seed={seed}"], rows)
    found = study(read_runs(sweep_runs(tmp_path)))
    text = " ".join(findings(found))
    assert "1 of 2 other configurations is told apart from the best" in text
    assert "after Holm for 3 comparisons" in text
    assert (
        "Not told apart from the best: train_size=500; the closest is train_size=500, 0.15 ± 0.21 points behind"
        in text
    )
    assert re.search(r"\d+ more seeds would decide with a probability of 80 %", text)
    ahead = " ".join(findings(study(read_runs(sweep_runs(tmp_path)), baseline=["train_size=500"])))
    assert "the closest is train_size=5000, 0.15 ± 0.21 points ahead" in ahead
    board = text_table(found)
    assert re.search("5000 .* best .*\n500 .* not told apart .*\n50 .* worse ", board)


def test_a_trend_is_a_sentence_only_where_it_is_one(tmp_path):
    for seed, noise in enumerate((0.0, 0.03, -0.03)):
        for size in (50, 500, 5000):
            for folder, gap in (("trend", 0.1 if size == 50 else 0.05 if size == 500 else 0.0), ("none", 0.0)):
                rows = with_accuracy(FITTING, 0, gap + noise)
                make_run(tmp_path / folder / f"{size}-{seed}", [f"data.train_size={size}", f"seed={seed}"], rows)
    trend, none = (findings(study(read_runs(sweep_runs(tmp_path / name)))) for name in ("trend", "none"))
    assert "From train_size=50 to 5000 the gap shrinks by 10.0 points" in trend[-1]
    assert not any("the gap shrinks" in line or "the gap grows" in line for line in none)


def test_where_seeds_were_added_what_holds_at_any_time_is_said(tmp_path):
    ways = {"data.train_size": (50, 500, 5000)}
    for enabled in (True, False):
        for seed in range(9):
            for size, change in zip(
                ways["data.train_size"], (0.002 * (seed % 3) - 0.2, -0.001 * seed, 0.0), strict=True
            ):
                rows = with_accuracy(FITTING, 0.005 * (seed % 4) + change)
                typed = [f"data.train_size={size}", f"seed={seed}"]
                settle = {"settle": {"enabled": enabled, "max_seeds": 9}}
                make_run(tmp_path / str(enabled) / f"{size}-{seed}", typed, rows, recorded=settle)
    settled, fixed = (findings(study(read_runs(sweep_runs(tmp_path / name)))) for name in ("True", "False"))
    text = " ".join(settled)
    assert "paired by seed, e-values, which hold whenever one stops, p < 0.05 after Holm for 3 comparisons" in text
    assert re.search(
        r"Settled after 9 seeds: train_size=5000 is better than train_size=50 by 19.80 ± 0.\d\d points", text
    )
    assert "more seeds would decide" not in text
    assert not any("Settled" in line or "e-value" in line for line in fixed)


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        # (what each seed of a configuration lies behind the best)
        (
            [[0.003, 0.0, 0.001]],
            r"^\d+ more seeds would decide with a probability of 80 %, if the difference and its",
        ),
        ([[0.003, 0.0, 0.001], [0.004, -0.001, 0.002]], r"would decide about data=1, \d+ about all, each with"),
        ([[0.003, 0.0, 0.001], [0.01, -0.009999, 0.0]], r"^\d+ more seeds would decide about data=1 with a"),
        ([[0.003, 0.0]], None),  # of two pairs the spread is hardly known
        ([[0.0, 0.0, 0.0]], None),
        ([[0.3, 0.301, 0.302]], None),  # told apart
    ],
)
def test_the_seeds_that_would_decide_are_told_where_they_can_be(behind, said, tmp_path):
    for number, those in enumerate([[0.0] * len(behind[0]), *behind]):
        for seed, less in enumerate(those):
            rows = with_accuracy(FITTING, 0.01 * seed - less)
            make_run(tmp_path / f"{number}-{seed}", [f"model.dropout={number}", f"seed={seed}"], rows)
    lines = [line.replace("dropout", "data") for line in findings(study(read_runs(sweep_runs(tmp_path))))]
    told = [line for line in lines if "would decide" in line]
    assert len(told) == bool(said)
    assert not said or re.search(said, told[0]), told


def test_a_baseline_is_what_the_others_are_compared_with(tmp_path):
    for seed, luck in enumerate((0.0, 0.01, 0.02, 0.005)):
        for size, change in ((50, 0.002 * seed - 0.2), (500, -0.001 * seed - 0.1), (5000, 0.0)):
            rows = with_accuracy(FITTING, luck + change)
            make_run(tmp_path / f"{size}-{seed}", [f"data.train_size={size}", f"seed={seed}"], rows)
    records = read_runs(sweep_runs(tmp_path))
    found = study(records, baseline=["train_size=500"])
    text = " ".join(findings(found))
    assert "2 of 2 other configurations are told apart from the baseline (train_size=500)" in text
    assert "after Holm for 2 comparisons" in text
    assert re.search("vs baseline.*\n.*\n5000 .* better .*\n500 .* baseline .*\n50 .* worse ", text_table(found))
    assert "vs best" in text_table(study(records))


def test_only_the_best_by_validation_shows_its_test_numbers_unless_they_are_revealed(tmp_path):
    for size, test in ((50, 0.4321), (500, 0.5432)):
        rows = with_accuracy(FITTING, size / 1e5)
        made = {"test_accuracy": test, "test_loss": test + 1, "test_f1": test + 2}
        make_run(tmp_path / f"{size}", [f"data.train_size={size}"], rows, **made)
    hidden = re.compile("43.21|0.4321|1.4321|2.4321")
    for reveal in (False, True):
        report = write_report(sweep_runs(tmp_path), tmp_path, "title", reveal=reveal)
        shown = [str(report), *((tmp_path / name).read_text() for name in ("report.html", "report.csv"))]
        assert all("0.5432" in text or "54.32" in text for text in shown)
        assert [bool(hidden.search(text)) for text in shown] == [reveal] * 3
        assert [HIDDEN in text for text in shown] == [not reveal, not reveal, False]
        _, right = draw_against(report.study).axes
        drawn = {text.get_text() for text in right.get_legend().get_texts()}
        assert ("test" in drawn) is reveal
    assert json.loads((tmp_path / "50" / "result.json").read_text())["test_accuracy"] == 0.4321


def test_nothing_is_said_to_be_hidden_where_nothing_is(tmp_path):
    make_run(tmp_path / "untested" / "a", ["data.train_size=50"])
    make_run(tmp_path / "untested" / "b", ["data.train_size=9"], with_accuracy(FITTING, -0.1))
    make_run(tmp_path / "untested" / "c", ["data.train_size=7"], [], "failed")
    table = text_table(study(read_runs(sweep_runs(tmp_path / "untested")))).splitlines()
    assert ["hidden" in line for line in table[2:]] == [False, True, False]
    make_run(tmp_path / "a", ["seed=0"])
    make_run(tmp_path / "b", ["seed=1"])
    assert HIDDEN not in findings(study(read_runs(sweep_runs(tmp_path))))
    for name, size in (("c", 50), ("d", 500)):
        make_run(tmp_path / "none" / name, [f"data.train_size={size}"], test_accuracy=None, test_loss=None)
    assert HIDDEN not in findings(study(read_runs(sweep_runs(tmp_path / "none"))))


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ((40, 41), "41st look at these 10,000 test images"),
        ((1, None), ""),
        ((None, None), ""),
        ((41, "x"), "41st"),
    ],
)
def test_the_looks_at_the_test_images_are_told_from_the_second_on(looks, said, tmp_path):
    for seed, number in enumerate(looks):
        made = {"test_looks": number, "test_images": 10000, "data_fingerprint": "ab"}
        make_run(tmp_path / f"{seed}", [f"seed={seed}"], **made)
    # of other data it says nothing
    elsewhere = {"test_looks": 99, "test_images": 50, "data_fingerprint": "cd"}
    make_run(tmp_path / "other", ["data.train_size=9"], with_accuracy(FITTING, -0.1), **elsewhere)
    text = " ".join(findings(study(read_runs(sweep_runs(tmp_path)))))
    assert said in text
    assert bool(said) is ("look at these" in text)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.images = self.scripts = 0
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in ("meta", "img", "link", "input"):
            self.open.append(tag)
        self.images += tag == "img"
        self.scripts += tag == "script" and "src" not in given
        self.links += [given["href"]] if tag == "a" else []
        self.outside += [
            given[a] for a in ("src", "href") if not given.get(a, "data:").startswith(("data:", "./"))
        ]
        assert tag not in ("link", "b")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_escapes_everything(tmp_path):
    make_run(tmp_path / "a<b>&$x_$", ["data.train_size=<b>&$x_$", "seed=0"], OVERFITTING)
    make_run(tmp_path / "failed", ["data.train_size=2"], [], "failed", error="RuntimeError: <b>bold</b>\nmore")
    report = write_report(sweep_runs(tmp_path), tmp_path, "<b>title</b>")
    text = (tmp_path / "report.html").read_text()
    parsed = Page(text)
    assert parsed.open == []
    assert parsed.outside == []
    assert parsed.images == 2
    assert parsed.scripts == 1  # its own: what is recorded is text
    # of both tables of runs, and only within the page's folder
    assert parsed.links == ["./a%3Cb%3E%26%24x_%24/", "./failed/", "./failed/"]
    assert all((tmp_path / unquote(link)).is_dir() for link in parsed.links)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    answer, board, runs, failures = (
        text.index(part)
        for part in (escape(report.told.answer, quote=False), "Leaderboard", "Every run", "Not completed")
    )
    assert answer < board < runs < failures
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "failed: failed: RuntimeError: <b>bold</b>" in str(report)


@pytest.mark.parametrize(
    ("folder", "links"), [("page/run", ["./run/"]), ("page/../outside", []), ("page/link", [])]
)
def test_a_run_is_a_link_only_where_its_folder_lies_in_the_pages(folder, links, tmp_path):
    page = tmp_path / "page"
    page.mkdir()
    make_run(page / "run", ["seed=0"], FITTING)
    make_run(tmp_path / "outside", ["seed=0"], FITTING)
    (page / "link").symlink_to(tmp_path / "outside")
    write_report([tmp_path / folder], page, "title")
    assert Page((page / "report.html").read_text()).links == links


def test_a_page_has_so_many_rows_and_says_where_the_others_are(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "MOST_ROWS", 3)
    sweep(tmp_path, SIZES)
    make_run(tmp_path / "failed", ["data.train_size=2"], [], "failed", error="RuntimeError: no")
    write_report(sweep_runs(tmp_path), tmp_path, "many")
    text = (tmp_path / "report.html").read_text()
    assert "… and 1 more configurations in report.csv." in text
    assert "… and 4 more runs in report.csv." in text
    assert len(re.findall("<tr><td", text)) == 3 + 3 + 1
    assert len((tmp_path / "report.csv").read_text().splitlines()) == 1 + 7


def test_a_report_replaces_the_earlier_one_and_leaves_nothing_else(tmp_path):
    sweep(tmp_path, MODELS)
    write_report(sweep_runs(tmp_path), tmp_path, "first")
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    texts = {"report.html", "report.csv", "summary.csv", "report.json", "report.tex"}
    assert names == {*texts, "curves.png", "accuracy.png", "gap.png", "heatmap.png"}
    report = write_report(sweep_runs(tmp_path)[:1], tmp_path, "second")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == names - {"gap.png", "heatmap.png"}
    assert {path.name for path in report.files} == names - {"gap.png", "heatmap.png"}
    assert "second" in (tmp_path / "report.html").read_text()
    assert matplotlib._pylab_helpers.Gcf.get_num_fig_managers() == 0


def test_there_is_a_report_before_anything_is_finished(tmp_path):
    (tmp_path / "claimed" / ".hydra").mkdir(parents=True)
    report = write_report(sweep_runs(tmp_path), tmp_path, "so far")
    assert "No run has finished an epoch yet." in str(report)
    assert (tmp_path / "report.csv").read_text().count("\n") == 2


def test_the_table_is_as_wide_as_the_terminal(tmp_path, monkeypatch):
    sweep(tmp_path, SIZES)
    monkeypatch.setenv("COLUMNS", "70")
    table = write_report(sweep_runs(tmp_path), tmp_path, "narrow").table
    assert max(map(len, table.splitlines())) <= 70


@pytest.mark.parametrize("lengths", [(3, 3, 3), (2, 3, 6), (2, 6, 6)])
@pytest.mark.parametrize(
    "typed", ["data.train_size={}00", "model=ffnn model.hidden=[{}]", "optimizer.lr=0.{}", "model.dropout=0.{}"]
)
def test_a_report_of_what_was_stopped_early_is_written(typed, lengths, tmp_path):
    for number, length in enumerate(lengths, start=1):
        stopped = {} if length == 6 else {"status": "interrupted", "stopped_after_epoch": length}
        make_run(tmp_path / str(number), typed.format(number).split(), FITTING[:length], **stopped)
    told = write_report(sweep_runs(tmp_path), tmp_path, "halved")
    assert str(told).count("stopped at epoch") == sum(length < 6 for length in lengths)
    # one of them named as the baseline is compared with nothing
    named = typed.format(1).split()[-1].partition(".")[2]
    write_report(sweep_runs(tmp_path), tmp_path, "halved", baseline=[named])
