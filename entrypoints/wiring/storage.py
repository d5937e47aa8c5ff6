"""The storage that the settings name. What only a bucket needs is imported late: it takes half a second."""

import secrets
from functools import partial
from typing import TYPE_CHECKING

from adapters.object_storage.folder import FolderObjectStore
from adapters.object_storage.hmac_links import HmacLinks
from application.ports.objects import LinkReader, LinkSigner, ObjectStore, StorageRules
from application.ports.rows import UnitOfWork
from entrypoints.wiring.key_rings import signing_ring
from entrypoints.wiring.settings import Settings

if TYPE_CHECKING:
    from adapters.object_storage.gcs_bucket import GcsBucket
    from adapters.object_storage.gcs_links import GcsLinks

PREVIEWS_PATH = "/tryon/v1/previews"


class Storage:
    """The storage adapters of one process; those of a bucket share its threads and connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = None if settings.keeps_files else _bucket(settings)

    def objects(self, work: UnitOfWork) -> ObjectStore:
        if self._bucket is None:
            return FolderObjectStore(self._settings.storage_folder, partial(_has_kept_nothing, work))
        from adapters.object_storage.gcs import GcsObjectStore  # noqa: PLC0415 - see above

        return GcsObjectStore(self._bucket)

    def link_signer(self) -> LinkSigner:
        return self._links()

    def link_reader(self) -> LinkReader:
        return self._links()

    def own_links(self) -> HmacLinks:
        """Links to our own preview route. Where a bucket serves them there is none, and no key that could be kept."""
        ring = signing_ring(self._settings) if self._settings.serves_previews else (secrets.token_bytes(32),)
        return HmacLinks(self._settings.base_url + PREVIEWS_PATH, ring)

    def _links(self) -> "HmacLinks | GcsLinks":
        if self._bucket is None or self._settings.serves_previews:
            return self.own_links()
        from adapters.object_storage.gcs_links import GcsLinks  # noqa: PLC0415 - see above

        return GcsLinks(self._bucket)

    def rules(self) -> StorageRules | None:
        """None for a folder, which has none: what is deleted there is gone."""
        if self._bucket is None:
            return None
        from adapters.object_storage.gcs import GcsObjectStore  # noqa: PLC0415 - see above
        from adapters.object_storage.gcs_links import GcsLinks  # noqa: PLC0415 - see above
        from adapters.object_storage.gcs_rules import GcsStorageRules  # noqa: PLC0415 - see above

        links = None if self._settings.serves_previews else GcsLinks(self._bucket)
        return GcsStorageRules(self._bucket, GcsObjectStore(self._bucket), links)


async def _has_kept_nothing(work: UnitOfWork) -> bool:
    async with work.read() as repositories:
        return not await repositories.images.has_kept()


def _bucket(settings: Settings) -> "GcsBucket":
    from adapters.object_storage.gcs_bucket import GcsBucket  # noqa: PLC0415 - see above

    return GcsBucket(str(settings.storage_url))
