"""The house: imports run one way, and each room knows only the rooms it may know."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "cnnexp"
FILES = {
    ".".join(("cnnexp", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
KNOWS_NOTHING_OF = {
    "models": {"data", "training", "evaluation", "inspection", "reports", "job", "sweeps", "tasks", "command"},
    "data": {"models", "training", "evaluation", "inspection", "reports", "job", "sweeps", "tasks", "command"},
    "training": {"reports", "job", "sweeps", "tasks", "command"},
    "evaluation": {"reports", "job", "sweeps", "tasks", "command"},
    "inspection": {"reports", "job", "sweeps", "tasks", "command"},
    "reports": {"job", "sweeps", "tasks", "command"},
    "command": {"job", "sweeps", "tasks", "models", "data", "training", "reports"},
    "job": {"sweeps", "tasks"},
    "sweeps": {"tasks"},
    "tasks": {"sweeps"},
}
SEE_A_CONFIG = {"command", "job", "sweeps", "tasks"}


def imports(module: str) -> set[str]:
    """The names that a file imports anywhere in it, but for those that only a type checker reads."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


GRAPH = {module: imports(module) & FILES.keys() - {module, "cnnexp"} for module in FILES}


def test_no_file_imports_in_a_circle():
    left = {module: set(known) for module, known in GRAPH.items()}
    while free := [module for module, known in left.items() if not known]:
        for module in free:
            del left[module]
        for known in left.values():
            known.difference_update(free)
    assert not left, f"these import each other: {sorted(left)}"


@pytest.mark.parametrize("room", KNOWS_NOTHING_OF)
def test_a_room_knows_only_the_rooms_after_it(room):
    wrong = [
        f"{module} imports {known}"
        for module, names in GRAPH.items()
        if module.startswith(f"cnnexp.{room}.")
        for known in names
        if known.split(".")[1] in KNOWS_NOTHING_OF[room]
    ]
    assert not wrong


def test_only_the_rooms_of_the_command_see_a_config():
    sees = defaultdict(set)
    for module in FILES:
        room = module.split(".")[1] if "." in module else ""
        if room and len(module.split(".")) > 2 and room not in SEE_A_CONFIG:
            sees[module] = {name for name in imports(module) if name.partition(".")[0] in ("hydra", "omegaconf")}
    assert {module: names for module, names in sees.items() if names} == {}


def test_each_task_is_named_by_its_file_in_conf():
    named = {path.stem for path in (SOURCE.parents[1] / "conf" / "task").glob("*.yaml")}
    assert named == {path.stem for path in (SOURCE / "tasks").glob("*.py")} - {"__init__"}


def test_files_can_be_read_in_one_sitting():
    assert {
        module: lines for module in FILES if (lines := len(FILES[module].read_text().splitlines())) > 400
    } == {}


def test_the_pages_name_files_that_are_there():
    root = SOURCE.parents[1]
    for page in ("docs/architecture.md", "docs/extending.md"):
        named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", (root / page).read_text()))
        there = {str(path.relative_to(base)) for base in (SOURCE, root) for path in base.rglob("*.py")}
        assert {name for name in named if "/" in name} <= there, page
