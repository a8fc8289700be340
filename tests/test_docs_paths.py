"""Files that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "models").glob("**/*.md")])
FOLDERS = (ROOT, ROOT / "smartlb", ROOT / "simulator")

NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|pyx|pxd|pyi|md|yaml|service))(?:::\w+)?`")
LINKED = re.compile(r"\]\((?!https?:)([^)#\s]+)")

MADE_UP = {"smartlb/policies/lightest.pyx"}
"""Which a reader is shown how to write."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = set(NAMED.findall(text)) - MADE_UP
    missing = [name for name in named if not any((folder / name).exists() for folder in FOLDERS)]
    missing += [name for name in LINKED.findall(text) if not (page.parent / name).exists()]
    assert not missing
