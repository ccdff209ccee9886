"""Every setting under conf/ says in its own line what it means and what it may be."""

import re
from collections.abc import Iterator

import pytest

from cnnexp.command.resolvers import config_folder

CONF = config_folder()
FILES = [file for file in sorted(CONF.rglob("*.yaml")) if file.parent.name != "experiment"]
KEY = re.compile(r"( *)([\w./@]+):(.*)")


def settings(text: str) -> Iterator[str]:
    """Yield the lines that give a key a value, but for Hydra's own keys: the defaults list, ``_target_`` …"""
    skipped_below: int | None = None  # the indentation of a key whose block isn't settings
    for line in text.splitlines():
        indentation = len(line) - len(line.lstrip())
        if skipped_below is not None and (not line.strip() or indentation > skipped_below):
            continue
        skipped_below = None
        found = KEY.fullmatch(line)
        if found is None:
            continue
        key, value = found[2], found[3].strip()
        if key == "defaults" or value == "|":
            skipped_below = indentation
        elif value and not value.startswith("{_target_:") and not (key.startswith("_") and key != "_partial_"):
            yield line.strip()


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_each_setting_has_a_comment(file):
    bare = [line for line in settings(file.read_text()) if not re.search(r"\S +# \S", line)]
    assert not bare


def test_what_counts_as_a_setting():
    text = "defaults:\n  - a: b\n_target_: x\nlr: 1\nhelp: |\n  key: text\nparts:\n  size: 2  # px\n# note: no\n"
    assert list(settings(text)) == ["lr: 1", "size: 2  # px"]
