"""With the system's libturbojpeg and without it: it is optional, and photos have to come out alike."""

import pytest

from adapters.imaging import libturbojpeg

needs_library = pytest.mark.skipif(not libturbojpeg.is_there(), reason="the system has no libturbojpeg")


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libturbojpeg, "_library", lambda: None)
