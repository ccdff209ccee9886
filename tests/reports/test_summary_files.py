import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from run_folders import FITTING, OVERFITTING, make_run

from cnnexp.command.resolvers import config_folder
from cnnexp.reports.contents import contents, report_json, summary_csv
from cnnexp.reports.held_fixed import held_fixed, question
from cnnexp.reports.leaderboard import columns, row
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.summary_files import escaped, latex, summary
from cnnexp.reports.write import write_report


def made(folder, sizes=(50, 500), seeds=(0, 1, 2), recorded=None, **result):
    for size in sizes:
        for seed in seeds:
            typed = [f"data.train_size={size}", f"seed={seed}"]
            # no two seeds alike: a spread of nothing says nothing
            rows = [{**one, "val_accuracy": one["val_accuracy"] - 0.01 * seed - 3 / size} for one in FITTING]
            make_run(folder / "-".join(typed), typed, rows, recorded=recorded, **result)
    return study(read_runs(sweep_runs(folder)))


def test_every_file_has_the_leaderboards_own_numbers(tmp_path):
    found = made(tmp_path)
    as_json = json.loads(report_json(contents(found, "title")))
    as_csv = list(csv.DictReader(io.StringIO(summary_csv(contents(found, "x")))))
    table = latex(found)
    assert as_json["best"] == as_csv[0]["configuration"] == found.configurations[0].label == "train_size=500"
    for place, configuration in enumerate(found.configurations):
        statistic = configuration.numbers["val_accuracy"]
        low, high = statistic.interval
        for one in (as_json["configurations"][place], as_csv[place]):
            assert float(one["val_accuracy"]) == pytest.approx(statistic.mean)
            assert (float(one["val_accuracy_low"]), float(one["val_accuracy_high"])) == pytest.approx((low, high))
            assert int(one["val_accuracy_n"]) == 3
            assert one["verdict"] == configuration.verdict
        shown = dict(zip([column.key for column in columns(found)], row(found, configuration), strict=True))
        assert f" & {escaped(shown['val_accuracy'])} & {escaped(shown['against'])} & " in table
    other = as_json["configurations"][1]
    assert other["difference"] == pytest.approx(3 / 50 - 3 / 500)
    assert other["difference_pairs"] == 3


def test_what_is_unknown_is_empty_and_null(tmp_path):
    make_run(tmp_path / "failed", ["seed=0"], [], "failed", error="no")
    (tmp_path / "claimed" / ".hydra").mkdir(parents=True)
    found = study(read_runs(sweep_runs(tmp_path)))
    assert json.loads(report_json(contents(found, "x")))["question"] is None
    assert all(one["p_value"] is None and one["difference"] is None for one in summary(found))
    assert len(summary_csv(contents(found, "x")).splitlines()) == 1 + len(found.configurations)


@pytest.mark.parametrize("sign", [*"\\{}$&#_%~^", *'<>[]"±–…\n', *"*|`-é照🙂\x07"])
def test_every_sign_is_text_in_latex(sign):
    text = escaped(f"a{sign}b")
    assert "\n" not in text
    assert text.isascii()
    assert text.isprintable()
    # it would belong to the command before it, which ends the line above
    assert not escaped(f"{sign}b").startswith(("*", "["))
    # what is special to TeX stands behind a backslash, and braces of its own making are in pairs
    assert not re.search(r"(?<!\\)[$&#_%~^]", text.replace(r"$\pm$", ""))
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")


def test_a_minus_is_no_hyphen():
    assert escaped("-1.5 ± 0.2, seed-0 --") == r"$-$1.5 $\pm$ 0.2, seed{-}0 {-}{-}"


NAMES = (
    "a & b % c $ d # e _ f { g } h ~ i ^ j \\ k < l > m [n] o |",
    "p ` q ' r \" s * t -- u ?` v ± w – x é y 照 z 🙂",
    "@ ; : \x07", "[x]", "*", "long_name-" * 20, "", "\\input{x}", "%", "-1", "<<--!`",
)  # fmt: skip


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex, of texlive-latex-recommended")
def test_latex_takes_every_table(tmp_path):
    """Names of all signs and of any length, one seed to three, equal ones, and what has no number at all."""
    tables = []
    for seeds in (1, 2, 3):
        folder = tmp_path / str(seeds)
        for place, name in enumerate(NAMES * (5 if seeds == 1 else 1)):
            for seed in range(seeds):
                rows = [
                    row | {"val_accuracy": row["val_accuracy"] - (0.0001 * seed + 0.002) * place}
                    for row in FITTING
                ]
                typed = [f"data.train_size={place + 1}", f"seed={seed}"]
                recorded = {"loss": {"name": name}}
                make_run(
                    folder / f"{place}-{seed}", typed, rows, recorded=recorded, val_images=144, test_images=359
                )
        make_run(folder / "failed", ["data.train_size=99"], [], "failed", error="no")
        (folder / "claimed" / ".hydra").mkdir(parents=True)
        tables.append(f"\\begin{{table}}\n{latex(study(read_runs(sweep_runs(folder))))}\\end{{table}}")
    paper = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text("\n".join([paper, *tables, "\\end{document}\n"]))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "Missing character" not in log
    assert not re.search("Warning|Overfull", log)  # no table is wider than the text, nor longer than a page


def test_a_latex_table_has_as_many_cells_in_each_line(tmp_path):
    lines = latex(made(tmp_path)).splitlines()
    [align] = re.findall(r"begin{tabular}{(\w+)}", "\n".join(lines))
    cells = [re.split(r"(?<!\\) & ", line) for line in lines if line.endswith(r"\\")]
    assert {len(line) for line in cells} == {len(align)}
    assert len(cells) == 1 + 2


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        (["why?", "why?"], "why?"),
        (["why?", "how?"], "the sweep"),
        ([None, None], "the sweep"),
        ([3, 3], "the sweep"),
    ],
)
def test_the_pages_title_is_the_question_that_all_runs_were_made_for(asked, title, tmp_path):
    for seed, text in enumerate(asked):
        make_run(tmp_path / str(seed), [f"seed={seed}"], recorded={"question": text})
    write_report(sweep_runs(tmp_path), tmp_path, "the sweep")
    page = (tmp_path / "report.html").read_text()
    assert f"<h1>{title}</h1>" in page
    assert f"<title>{title}</title>" in page
    assert "the sweep" in page


def test_what_was_held_fixed_is_what_no_run_differs_in(tmp_path):
    found = made(tmp_path, recorded={"trainer": {"max_epochs": 6}}, val_images=144, test_images=359)
    facts = held_fixed(found)
    assert facts["network"] == "cnn"
    assert facts["learning rate"] == "0.001"
    assert (facts["epochs"], facts["validation images"], facts["test images"]) == ("6", "144", "359")
    assert not any("train_size" in name or "seed" in name or "training images" in name for name in facts)
    make_run(tmp_path / "other", ["model=ffnn", "optimizer.lr=0.1", "seed=0"], OVERFITTING, val_images=150)
    facts = held_fixed(study(read_runs(sweep_runs(tmp_path))))
    assert not {"network", "learning rate", "epochs", "validation images"} & facts.keys()
    assert question(found) is None


def test_the_shipped_studies_ask_what_their_files_begin_with():
    asked = 0
    for file in config_folder().glob("experiment/*.yaml"):
        first = file.read_text().splitlines()[1]
        if first.endswith("?"):
            asked += 1
            assert f'question: "{first.removeprefix("# ")}"' in file.read_text(), file
    assert asked > 5
