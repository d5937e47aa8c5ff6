"""What runs inside a worker of the embedded preview. Importing this takes seconds: only the fork server does."""

from pathlib import Path

import mediapipe  # noqa: F401 - imported once, in the fork server, instead of two seconds in every worker

from adapters.preview_engine.engine import PreviewEngine
from adapters.try_on.preview_messages import unpack
from application.ports.photos import PreparedPhoto
from domain.photo import SourceFormat


class RenderPreview:
    """Speaks the photo workers' language: one message in, one finished picture out."""

    def __init__(self, model_dir: Path) -> None:
        self._engine = PreviewEngine(model_dir)

    def execute(self, photo: bytes | memoryview, *, crop: bool) -> PreparedPhoto:  # noqa: ARG002 - a preview has no crop
        """Raises: a refusal out of `domain.errors`."""
        rendered = self._engine.render(*unpack(photo))
        return PreparedPhoto(
            jpeg=rendered.jpeg,
            size=rendered.size,
            source_format=SourceFormat.JPEG,
            source_size=rendered.size,
            crop=None,
            person=None,
            warnings=(),
        )


def build_preview(model_dir: Path) -> RenderPreview:
    """Load the model, once for each worker."""
    return RenderPreview(model_dir)
