"""Banner: where everything is, once the service really answers."""

import os
import shlex
import shutil
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from typing import Final

from entrypoints.wiring.key_rings import key_file, new_sign_in
from entrypoints.wiring.settings import Settings

PATIENCE_SECONDS: Final = 120
POLL_SECONDS: Final = 0.1
MOST_FILES: Final = 256  # this early a server has opened about ten
PROGRAM: Final = "tryon-images"
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def announce_when_ready(settings: Settings, *, open_page: bool) -> None:
    """Print the banner to standard output, and open the page if wanted, as soon as the port answers.

    A process of its own does that, with init as its parent: while Granian forks, a thread that imports something would
    leave its locks behind in the child.
    """
    server = os.getpid()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            os.closerange(3, MOST_FILES)  # what the server holds: its end must be seen by others
            _announce(settings, server, open_page)
    finally:
        os._exit(0)


def _announce(settings: Settings, server: int, open_page: bool) -> None:
    if not _answers(f"{settings.own_url}/health/live", server):
        return
    page = f"{settings.base_url}/#sign-in={new_sign_in(settings)}" if _signs_in(settings) else settings.base_url
    print(banner(settings, page), flush=True)  # noqa: T201 - for the person at the terminal; the log has its own stream
    if open_page and settings.shows_playground:
        webbrowser.open(page)


def banner(settings: Settings, page: str) -> str:
    """What a newcomer needs next on a machine of one's own; a line elsewhere."""
    if not settings.is_local:
        return f"tryon-images is ready on {settings.own_url} (stop with Ctrl-C)"
    key = key_file(settings)
    lines = [
        ("Page", f"{page}  (signs in once)" if settings.shows_playground else None),
        ("Reference", f"{settings.base_url}/docs"),
        ("API key", str(key) if key.exists() else None),
        ("New key", f"{_command()} keys create --account default --name NAME"),
        ("Try it", _curl(settings, key) if key.exists() and EXAMPLE.exists() else None),
    ]
    told = "\n".join(f"  {name:<10} {text}" for name, text in lines if text)
    return f"\ntryon-images is ready (stop with Ctrl-C)\n\n{told}\n"


def _curl(settings: Settings, key: Path) -> str:
    photo = shlex.quote(f"file=@{EXAMPLE}")
    return f'curl -H "x-api-key: $(cat {shlex.quote(str(key))})" -F {photo} {settings.base_url}/tryon/v1/images/upload'


def _command() -> str:
    """This program, so that it can be copied: by its name only where a shell would find this very one."""
    ours = Path(sys.executable).with_name(PROGRAM)
    if shutil.which(PROGRAM) == str(ours):
        return PROGRAM
    return shlex.quote(str(ours))


def _signs_in(settings: Settings) -> bool:
    return settings.shows_playground and settings.is_local


def _answers(url: str, server: int) -> bool:
    """Whether it does before the server is gone or patience ends."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy of the environment
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and _lives(server):
        try:
            with opener.open(url, timeout=2):
                return True
        except OSError:
            time.sleep(POLL_SECONDS)
    return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
