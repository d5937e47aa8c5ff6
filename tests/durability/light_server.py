"""The real server on real storage, but for the photo workers: it starts in a moment and knows no people.

`python -m tests.durability.light_server` imports everything once, and then starts a server, in a process group of its
own, for every line on standard input; it answers with the group's id. Kill the group when you like.
"""

import os
import signal
import sys

from litestar import Litestar

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.memory.surroundings import InMemoryPersonDetector, InProcessPhotoProcessor
from adapters.vision.look import PixelMeter
from application.prepare_photo import PreparePhoto
from entrypoints.http.app import create_app
from entrypoints.server import process as server
from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings


def preparer() -> PreparePhoto:
    return PreparePhoto(ImagingPhotoDecoder(), InMemoryPersonDetector(), PixelMeter(), max_edge=2000)


def application() -> Litestar:
    return create_app(Container(settings=load_settings(os.environ), processor=InProcessPhotoProcessor(preparer())))


def serve() -> None:
    os.setsid()
    os.dup2(2, 1)  # the server reports on standard output, which is for the process groups' ids here
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    server.main("tests.durability.light_server:application")


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need no burial
    for _ in sys.stdin:
        if (child := os.fork()) == 0:
            serve()
            os._exit(0)
        print(child, flush=True)
