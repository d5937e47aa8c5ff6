"""A web in a dictionary."""

from application.ports.try_on import Fetch, FetchedPhoto, UrlNotFetched, Validators


class InMemoryPhotoFetcher:
    """Knows a few URLs and what is behind them; remembers which were asked for."""

    def __init__(self, web: dict[str, bytes]) -> None:
        self.web = web
        self.fetched: list[str] = []
        self.etags: dict[str, str] = {}

    def for_one_request(self) -> Fetch:
        return self._fetch

    async def _fetch(self, url: str, known: Validators | None = None) -> FetchedPhoto | None:
        self.fetched.append(url)
        if url not in self.web:
            raise UrlNotFetched
        etag = self.etags.get(url)
        if etag is not None and known is not None and known.etag == etag:
            return None
        return FetchedPhoto(self.web[url], Validators(etag=etag))
