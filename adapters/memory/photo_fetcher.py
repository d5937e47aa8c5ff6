"""A web in a dictionary."""

from application.ports.try_on import Fetch, UrlNotFetched


class InMemoryPhotoFetcher:
    """Knows a few URLs and what is behind them; remembers which were asked for."""

    def __init__(self, web: dict[str, bytes]) -> None:
        self.web = web
        self.fetched: list[str] = []

    def for_one_request(self) -> Fetch:
        return self._fetch

    async def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if url not in self.web:
            raise UrlNotFetched
        return self.web[url]
