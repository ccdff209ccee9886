"""Figures over two logarithmic axes: drawn where there is something to say, with captions of what is there."""

import pytest
from matplotlib.container import ErrorbarContainer
from run_folders import FITTING, make_run

from cnnexp.reports.learning_curve import draw_learning_curve, learning_curve, learning_curve_told
from cnnexp.reports.log_errors import NO_ERROR
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.width import by_heart, draw_width, threshold, width_of, width_told
from cnnexp.reports.write import write_report

HEART = [0.3, 0.1, 0.0, 0.0]  # training errors of four widths


def ending(train, val):
    return [row | {"train_accuracy": 1 - train, "val_accuracy": 1 - val} for row in FITTING]


def made(folder, runs):
    for number, (typed, rows, result) in enumerate(runs):
        make_run(folder / f"{number:03}", typed, rows, **result)
    return study(read_runs(sweep_runs(folder)))


def sizes(errors, seeds=3, typed=(), factor=1.02):
    return [
        (
            [f"data.train_size={10 ** (i + 1)}", f"seed={seed}", *typed],
            ending(0.0, error * factor**seed),
            {"train_images": 10 ** (i + 1), "val_images": 1000},
        )
        for i, error in enumerate(errors)
        for seed in range(seeds)
    ]


def widths(train=HEART, key="model.hidden", values=("[4]", "[16]", "[64]", "[256]"), typed=(), seeds=2, **result):
    facts = {"train_images": 100, "train_eval_images": 100, "val_images": 1000, "classes": 10} | result
    return [
        (
            ["model=ffnn", f"{key}={value}", f"seed={seed}", *typed],
            ending(error, 0.4 / (i + 1)),
            {"parameters": 300 * 3**i} | facts,
        )
        for i, (value, error) in enumerate(zip(values, train, strict=True))
        for seed in range(seeds)
    ]


def test_a_learning_curve_is_drawn_with_its_prediction(tmp_path):
    found = made(tmp_path, sizes([0.5, 0.25, 0.125]))
    [axes] = draw_learning_curve(found).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    points = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert sorted(set(points[0].get_xdata())) == [10, 100, 1000]
    assert len(points[0].get_xdata()) == 9
    [predicted] = [part for part in axes.containers if isinstance(part, ErrorbarContainer)]
    assert float(predicted.lines[0].get_xdata()[0]) == pytest.approx(2000)
    assert predicted.lines[0].get_markerfacecolor() == "white"
    # the figure and the sentence say the same
    assert f"{float(predicted.lines[0].get_ydata()[0]):.2%}" in learning_curve(found)
    for height in predicted.lines[2][0].get_segments()[0][:, 1]:
        assert f"{height:.2%}" in learning_curve(found)
    assert NO_ERROR not in learning_curve_told(found)


def test_a_run_without_any_error_has_its_place(tmp_path):
    runs = sizes([0.5, 0.25, 0.125, 0.0625, 0.03125])
    found = made(tmp_path, [*runs, (["data.train_size=100000", "seed=9"], ending(0, 0), {"train_images": 100000})])
    [axes] = draw_learning_curve(found).axes
    assert [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "v"] == [0.5 / 1000]
    assert NO_ERROR in learning_curve_told(found)


@pytest.mark.parametrize(
    "runs",
    [
        sizes([0.5, 0.25]),  # two points lie on any law
        sizes([0.5, 0.25, 0.125], seeds=1),
        sizes([0.3, 0.3, 0.3]),
        sizes([0.125, 0.25, 0.5]),
        [*sizes([0.5, 0.25, 0.125]), *sizes([0.5, 0.25, 0.125], typed=["model=ffnn"])],
        widths(),
        [],
    ],
)
def test_no_learning_curve_is_drawn_where_nothing_is_said_of_it(runs, tmp_path):
    found = made(tmp_path, runs)
    assert learning_curve(found) is None
    assert draw_learning_curve(found) is None
    assert learning_curve_told(found) == ""


def uprights(figure):
    """Where the dashed and the dotted line stand."""
    lines = [line for line in figure.axes[0].lines if line.get_color() == "black"]
    return {line.get_linestyle(): float(line.get_xdata()[0]) for line in lines}


@pytest.mark.parametrize(
    ("runs", "marks"),
    [
        (widths(), {"--": 1000, ":": 2700}),
        (widths(seeds=1), {"--": 1000, ":": 2700}),
        (widths(train=[0.3, 0.2, 0.1, 0.05]), {"--": 1000}),
        (widths(train=[0.0] * 4), {"--": 1000}),  # it lies below the narrowest, where nothing is drawn
        (widths(classes=2), {":": 2700}),  # 200 are fewer than the narrowest has
        (widths(train_images=1000), {":": 2700}),  # 10,000 are more than the widest has
        (widths(classes=None), {":": 2700}),
        (widths(train=[0.3, 0.2, 0.1, 0.05], classes="ten"), {}),
        (widths(key="model.dropout", values=("0.1", "0.2", "0.3", "0.4")), {"--": 1000, ":": 2700}),
    ],
)
def test_only_thresholds_that_the_widths_reach_are_marked_and_told(runs, marks, tmp_path):
    found = made(tmp_path, runs)
    figure, told = draw_width(found), width_told(found)
    [axes] = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert uprights(figure) == pytest.approx(marks)
    assert ("images × classes" in told) is ("--" in marks) is (threshold(found) is not None)
    assert ("by heart" in told) is (":" in marks) is (by_heart(found) is not None)
    assert (NO_ERROR in told) is any(line.get_marker() == "v" for line in axes.lines)
    assert ("a point a run" in told) is (len(runs) == 8)


@pytest.mark.parametrize(
    "runs",
    [
        widths(train=HEART[:2], values=("[4]", "[16]")),  # two points have no shape
        widths(parameters=1000),  # nothing is wider
        [*widths(), *widths(typed=["optimizer=sgd"])],
        [(["model=ffnn"], FITTING, {"parameters": 5}), (["model=cnn"], FITTING, {"parameters": 7})],
        sizes([0.5, 0.25, 0.125]),
        [],
    ],
)
def test_no_width_is_drawn_where_none_is_swept(runs, tmp_path):
    found = made(tmp_path, runs)
    assert width_of(found) is None
    assert draw_width(found) is None
    assert width_told(found) == ""


@pytest.mark.parametrize(
    ("runs", "there"), [(widths(), "width.png"), (sizes([0.5, 0.25, 0.125]), "learning_curve.png")]
)
def test_the_page_has_the_figure_with_its_caption(runs, there, tmp_path):
    found = made(tmp_path, runs)
    names = {file.name for file in write_report(sweep_runs(tmp_path), tmp_path, "x").files}
    assert names & {"width.png", "learning_curve.png"} == {there}
    assert (width_told(found) or learning_curve_told(found)) in (tmp_path / "report.html").read_text()
