import matplotlib
import pytest
from run_folders import FITTING, OVERFITTING

from cnnexp.reports.curves import draw_curves
from cnnexp.reports.tables import final_table
from cnnexp.reports.verdicts import judge


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            f"{part}_{metric}": 0.5 + 0.01 * e
            for part in ("train", "val", "running")
            for metric in ("loss", "accuracy")
        }
        | {"epoch": e}
        for e in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_both_panels_show_training_and_validation(epochs, tmp_path):
    figure = draw_curves(history(epochs), "a title")
    for axes in figure.axes:
        labels = {line.get_label() for line in axes.lines}
        assert {"train, clean", "train, running", "validation"} <= labels
        assert len(axes.lines[0].get_xdata()) == epochs
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5_000


def test_the_best_epoch_is_marked_and_no_window_is_left():
    figure = draw_curves(history(3), "a title")
    assert any("best: epoch 3" in text.get_text() for text in figure.axes[1].texts)
    assert matplotlib._pylab_helpers.Gcf.get_num_fig_managers() == 0


def test_an_epoch_without_validation_is_a_gap():
    rows = history(3)
    del rows[1]["val_loss"], rows[1]["val_accuracy"]
    assert draw_curves(rows, "t").axes


def test_the_final_table_leaves_out_what_is_unknown(tmp_path):
    table = final_table({"test_loss": 0.25, "test_accuracy": 0.9}, tmp_path)
    assert "test      0.2500     90.00%" in table
    assert "train" not in table


def test_the_gap_is_a_band_and_the_turn_a_line():
    left, right = draw_curves(OVERFITTING, "t", judge(OVERFITTING, 100, 100)).axes
    assert [text.get_text() for text in left.get_legend().get_texts()][-1] == "turned: epoch 3"
    told = [text.get_text() for text in right.get_legend().get_texts()]
    assert told[-2:] == ["turned: epoch 3", "gap at the end: 19.6 points [10.3, 28.4]"]
    [band] = right.collections
    assert band.get_paths()[0].vertices[:, 0].min() == 1
    left, right = draw_curves(FITTING, "t").axes
    told = [text.get_text() for axes in (left, right) for text in axes.get_legend().get_texts()]
    assert "gap at the end: 0.3 points" in told
    assert not any("turned" in text for text in told)
