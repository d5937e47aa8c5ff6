"""One service for all client families."""

from collections.abc import Iterator

import pytest

from tests.live_shop import LiveShop, a_live_shop


@pytest.fixture(scope="module")
def live_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with a_live_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop
