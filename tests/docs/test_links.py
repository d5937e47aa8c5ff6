"""Documents point at what is there: files by links and by name, tests by their path."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`((?:domain|application|adapters|entrypoints|tests|deploy|examples|docs)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_points_only_at_what_is_there(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in LINK.findall(text)]
    named = [ROOT / name for name in NAMED.findall(text)]
    assert [str(target) for target in [*linked, *named] if not target.exists() and not modules(target)] == []


def modules(target: Path) -> bool:
    """Whether the name leaves `.py` out."""
    return target.with_name(f"{target.name}.py").exists()
