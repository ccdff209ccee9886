"""Every command in the README and under docs/ is run, shortened but real."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
# docs/extending.md is followed by tests of its own, with the files that it tells to write
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.name != "extending.md"]
SHORT = ["trainer.limit_train_batches=2", "trainer.max_epochs=1", "data.eval_batch_size=2000"]


def commands(page: Path) -> list[str]:
    """The lines of a page's bash blocks, continued lines joined and comments taken off."""
    text = "".join(re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.S | re.M)).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


def runs_named_in(text: str) -> list[str]:
    """The folders of runs that a text names, each once."""
    return list(dict.fromkeys(re.findall(r"outputs/\w+-\w+/\d[\d_-]*\d", text)))


# what the small data sets of the tests need beside a command
SMALL = {
    "hydra/sweeper=halving": ["trainer.max_epochs=2", "seed=0"],
    "image_folder": ["data.val_size=0.2"],
    "experiment=overfit_train_size": ["data.train_size=50,100"],
    "experiment=overfit_regularisation": [
        *("data.train_size=100", "data.val_size=0.2", "seed=0"),
        *("model.dropout=0", "optimizer.weight_decay=0.01"),
    ],
    "experiment=overfit_learning_rate": [
        "data.train_size=100",
        "data.val_size=0.2",
        "seed=0",
        "optimizer.lr=0.003,0.3",
    ],
    "experiment=overfit_": ["data.train_size=100", "data.val_size=0.2", "seed=0"],
    "experiment=ffnn_against": ["data.train_size=100", "data.val_size=0.2", "seed=0"],
    "experiment=crippled": ["data.train_size=100", "data.val_size=0.2", "seed=0"],
    "experiment=widened": ["data.train_size=100", "data.val_size=0.2", "seed=0"],
    "-m experiment=notebook_ffnn": ["model.hidden=[4],[8]"],
    "-m experiment=notebook_cnn": ["model.channels=[1,1],[2,2]"],
    "data.train_size=100,400": ["data.train_size=50,100"],
    "data.train_size=50,200,1000": ["data.train_size=50,100", "seed=0"],
    "-m optimizer.lr=": ["optimizer.lr=0.001,0.01", "seed=0"],
    "experiment=search_": ["hydra.sweeper.n_trials=2"],
    "hydra/sweeper=optuna": ["hydra.sweeper.n_trials=2"],
    "experiment=mnist_fast": ["data.val_size=0.2"],
    "experiment=cifar10_fast": ["data.val_size=0.2", "trainer.max_epochs=2", "model.channels=[8,16,16]"],
    # tests/tasks/test_pairs.py trains its 14 million weights
    "model=vgg16 data=cifar10 trainer": ["model.width=0.25"],
    "settle=true": ["settle.max_seeds=4"],
    "task=batch_size_find": ["task.steps=2", "task.largest=16"],
    "resume=": [],
}

ALL = [(page.name, command) for page in PAGES for command in commands(page)]
# what is left is installing and testing, which continuous integration does word for word, or a server
ELSEWHERE = (
    'python -m pip install -e . && python -m cnnexp',
    'python -m pip install -e ".[test]" && python -m pytest -n 2 --dist loadfile',
    "tensorboard --logdir outputs",
    "make help",
    "python -m bench",
    "python -m bench --quick",
    # tests/test_verdicts_bench.py, with fewer curves
    "python -m bench.verdicts --curves 200 --seed 1",
    # tests/sweeps/test_halving.py, over a smaller grid
    "python -m bench.halving",
    # tests/test_differences_bench.py, with fewer sweeps
    "python -m bench.differences",
    # tests/reliability/test_kill.py, with fewer of them
    "python tests/reliability/kill_harness.py --kills 50",
    "python tests/reliability/kill_harness.py --matrix",
    "python tests/reliability/kill_harness.py --matrix=full",
    # on a real Slurm by tests/cluster/test_slurm.py, with smaller settings
    'python -m pip install "cnnexp[slurm]"',
    "python -m cnnexp experiment=overfit_train_size hydra/launcher=slurm_cpu",
    "python -m cnnexp -m model=cnn,ffnn data=cifar10 hydra/launcher=slurm_gpu hydra.launcher.partition=gpu",
    'sbatch --time=60 --cpus-per-task=4 --wrap "srun python -m cnnexp data=cifar10 model=cnn"',
    # tests/distributed/test_several.py: two processes by Lightning, on two hosts by torchrun, as srun starts them,
    # and gone on with
    "python -m cnnexp trainer=ddp trainer.devices=2",
    "torchrun --nnodes=2 --nproc_per_node=1 --node_rank=0 --master_addr=HOST --master_port=29400 "
    "-m cnnexp trainer=ddp trainer.num_nodes=2",
    "srun --nodes=2 --ntasks-per-node=1 --kill-on-bad-exit=1 python -m cnnexp trainer=ddp trainer.num_nodes=2",
    "python -m cnnexp resume=outputs/cnn-digits/2026-01-31_12-00-00 trainer.devices=2 trainer.max_epochs=10",
    # tests/training/test_trackers.py, whose packages an extra brings
    "python -m cnnexp logger=mlflow",
    "python -m cnnexp logger=[tensorboard,wandb]",
)  # fmt: skip
# what stands on two pages is run once
CNNEXP = [
    (page, command)
    for command, page in {command: page for page, command in reversed(ALL)}.items()
    if command.startswith("python -m cnnexp") and command not in ELSEWHERE
]


def test_there_is_no_command_that_nothing_runs():
    left = {command for _, command in ALL} - {command for _, command in CNNEXP} - set(ELSEWHERE)
    assert not left
    assert len(CNNEXP) >= 10


@pytest.mark.parametrize(
    "shown", sorted({c for p in PAGES for c in re.findall(r"`pytest ([^`]+)`", p.read_text())})
)
def test_the_tests_that_a_page_names_are_there(shown):
    files, _, words = " ".join(shown.split()).partition(" -k ")
    found = [REPOSITORY / name for name in files.split()]
    assert all(path.exists() for path in found)
    tests = [path for place in found for path in (place.rglob("test_*.py") if place.is_dir() else [place])]
    text = "\n".join(str(path) + path.read_text() for path in tests)
    for word in words.strip('"').split(" or ") if words else ():
        assert re.search(rf"def test_\w*{word}|/test_\w*{word}|parametrize.*{word}", text), word


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), CNNEXP)
def test_each_command_runs(page, command, cnnexp, folder, every_data_set, two_runs, capsys):
    arguments = shlex.split(command)[3:]
    arguments = ["trainer=cpu" if argument == "trainer=gpu" else argument for argument in arguments]
    if re.search(r"outputs/\w+-\w+/", command):
        shutil.copytree(two_runs, folder / "outputs" / "cnn-digits")
        runs = sorted((folder / "outputs" / "cnn-digits").iterdir())
        for named, run in zip(runs_named_in(command), runs, strict=False):
            arguments = [argument.replace(named, str(run)) for argument in arguments]
        Image.new("L", (40, 30), 90).save(folder / "photo.png")
        arguments = [f"task.images={folder}" if a.startswith("task.images=") else a for a in arguments]
    images = f"data.root={every_data_set / 'images'}"
    arguments = [images if argument.startswith("data.root=") else argument for argument in arguments]
    if "--help" in arguments or "--cfg" in arguments:
        try:
            status = cnnexp(*arguments)
        except SystemExit as end:
            status = end.code or 0
        assert status == 0
        assert "model" in capsys.readouterr().out
    else:
        fits = not any(argument.startswith(("task=", "resume=")) for argument in arguments)
        small = next((extra for part, extra in SMALL.items() if part in command), [])
        assert cnnexp(*arguments, *(SHORT if fits else []), *small) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for page in PAGES if page.name != "exercises.md" for block in python_blocks(page)]
)  # see test_exercises.py
@pytest.mark.filterwarnings("ignore")  # the reader's own Trainer, with Lightning's advice on it
def test_each_python_block_runs(block, folder, every_data_set):
    short = re.sub(r"max_epochs=\d+", "max_epochs=1, limit_train_batches=2, logger=False", block)
    state = torch.get_rng_state()
    exec(compile(short, "block.py", "exec"), {"__name__": "__main__"})
    torch.set_rng_state(state)


def test_each_promise_names_the_command_that_shows_it():
    text = (REPOSITORY / "docs" / "reliability.md").read_text()
    sections = re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]
    bullets = [re.split(r"^- ", section.partition("\n\n*")[0], flags=re.MULTILINE)[1:] for section in sections]
    promises = [promise for listed in bullets for promise in listed]
    # what isn't a list of promises is one
    promises += [s for s, listed in zip(sections, bullets, strict=True) if not listed and len(s.splitlines()) > 2]
    assert len(promises) > 15
    assert [promise[:60] for promise in promises if not re.search(r"`pytest [^`]+`", promise)] == []


def test_images_in_the_pages_are_there():
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_each_row_of_the_threat_model_has_its_test():
    _, _, rest = (REPOSITORY / "docs" / "reliability.md").read_text().partition("| file | how it is read |")
    rows = [row for row in rest.partition("\n\n")[0].splitlines()[2:] if row]
    assert len(rows) > 20
    tests = {
        name
        for file in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert [row for row in rows if set(re.findall(r"`(test_\w+)`", row)) & tests == set()] == []
