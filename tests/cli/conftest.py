"""Fixtures of the commands' tests."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return asyncio.run(open_shop(tmp_path))
