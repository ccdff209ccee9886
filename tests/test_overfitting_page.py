"""docs/overfitting.md: what its tables say holds together, and its law predicts what it says."""

import re

import pytest
from test_docs import REPOSITORY, python_blocks
from test_exercises import check

from cnnexp.evaluation.trends import power_law

PAGE = REPOSITORY / "docs" / "overfitting.md"
TEXT = PAGE.read_text()
ROW = re.compile(r"^\| ([\d,]+) \|" + r" ([\d.]+) and ([\d.]+) \|" * 4 + r" (.*?) \|$", re.MULTILINE)


def rows() -> dict[int, list[tuple[float, float]]]:
    """The table's pairs by the number of images: training, validation, test, gap."""
    found = {}
    for size, *numbers, _ in ROW.findall(TEXT):
        values = [float(number) for number in numbers]
        found[int(size.replace(",", ""))] = list(zip(values[::2], values[1::2], strict=True))
    return found


def test_each_gap_is_the_difference_of_its_row():
    assert list(rows()) == [100, 300, 1000, 3000, 10000, 54000]
    for size, (train, validation, _, gap) in rows().items():
        for seed in range(2):
            # each of the three is rounded to a hundredth
            assert gap[seed] == pytest.approx(train[seed] - validation[seed], abs=0.0151), size


def test_the_law_of_up_to_10000_images_predicts_what_54000_gave(capsys):
    [block] = python_blocks(PAGE)
    state = {"__name__": "page"}
    exec(compile(block, "overfitting.md", "exec"), state)
    check(capsys.readouterr().out, re.search(r"^```text\n(at 54,000.*?)^```", TEXT, re.M | re.S)[1])
    table = {size: validation for size, (_, validation, _, _) in rows().items()}
    measured = table.pop(54000)
    assert state["validation"] == table
    assert all(100 * (1 - state["high"]) < accuracy < 100 * (1 - state["low"]) for accuracy in measured)
    assert "Measured were {:.2f} and {:.2f} %".format(*measured) in TEXT


def test_the_sentence_of_the_law_is_the_fit_of_the_table():
    points = [
        (size, 1 - accuracy / 100)
        for size, (_, validation, _, _) in rows().items()
        if size < 54000
        for accuracy in validation
    ]
    law = power_law(*zip(*points, strict=True))
    said = f"n^−{law.exponent:.2f} (95 % interval {law.low:.2f} to {law.high:.2f}, "
    assert said + f"{law.points} sizes, {len(points)} runs)" in " ".join(TEXT.split())
