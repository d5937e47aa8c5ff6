"""Documents point at what is there: files by links and by name, tests by their path."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
SAYS = [*(ROOT / "adapters").rglob("*.py"), *(ROOT / "entrypoints").rglob("*.py")]
UNDERSCORED = re.compile(r"`([a-z]+_[a-z_]+)`")
OF_OTHERS = {"max_connections"}
"""Settings of PostgreSQL."""
NAMED = re.compile(r"`((?:domain|application|adapters|entrypoints|tests|deploy|examples|docs)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_points_only_at_what_is_there(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in LINK.findall(text)]
    named = [ROOT / name for name in NAMED.findall(text)]
    assert [str(target) for target in [*linked, *named] if not target.exists() and not modules(target)] == []


def test_the_runbook_names_only_what_the_service_says() -> None:
    said = "\n".join(path.read_text() for path in SAYS)
    named = {name for name in UNDERSCORED.findall((ROOT / "docs/operations.md").read_text()) if name not in OF_OTHERS}
    assert {"purge_failed", "tryon_part_ready"} <= named
    assert [name for name in sorted(named) if name.removesuffix("_total") not in said] == []


def modules(target: Path) -> bool:
    """Whether the name leaves `.py` out."""
    return target.with_name(f"{target.name}.py").exists()
