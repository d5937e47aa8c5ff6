"""One stream of log lines for everything in the process: JSON for machines, colors for a terminal.

Our own events hold ids, sizes and durations. What libraries say may quote anything (an exception's text, an SQL
parameter, a URL), so of theirs only who spoke, where, and the type of an exception are kept; the HTTP server's own
messages and those of migrations, which never see a request, are the exception.
"""

import json
import logging
import logging.config
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from application.request_trace import current_request_id
from entrypoints.wiring.settings import LogLevel

SPEAK_OF_THEMSELVES: Final = ("_granian", "alembic")
MAX_PLACES: Final = 8  # innermost frames of a traceback


def configure_logging(level: LogLevel) -> None:
    """For this process; the server's child processes are configured by `server_logging`."""
    logging.config.dictConfig(server_logging(level))
    logging.captureWarnings(True)
    configure_structlog(level)


def configure_structlog(level: LogLevel, stream: TextIO | None = None) -> None:
    """Our own events go straight to where those of libraries go: one is written for every request."""
    structlog.configure(
        processors=[_name_request, *_stamps(), _renderer()],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Forgiving(stream or sys.stderr))),
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        cache_logger_on_first_use=False,
    )


def told(error: BaseException) -> dict[str, object]:
    """What our own events say of an error: its type and where it happened. Its text may quote what a client sent."""
    places = [f"{frame.f_code.co_qualname}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return {"error_type": type(error).__name__, "where": places[-MAX_PLACES:]}


class _Forgiving:
    """Loses a line that cannot be written: a full disk must not stop the work that wanted to tell of itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def server_logging(level: LogLevel) -> dict[str, Any]:
    """As `logging.config.dictConfig` takes it; plain data, since it goes to other processes."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "entrypoints.server.logging.line_formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {name: {"level": max(_number(level), logging.WARNING)} for name in SPEAK_OF_THEMSELVES},
        "root": {"handlers": ["stderr"], "level": level.upper()},
    }


def line_formatter() -> logging.Formatter:
    """Standard error: standard output belongs to a command's answer."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_only_what_is_harmless, *_stamps()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer()],
    )


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"))
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: EventDict, default: Callable[[Any], Any]) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=default).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which only the slower encoder can write
        return json.dumps(event, default=default)


def _stamps() -> list[Processor]:
    return [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _name_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What is logged while a request is answered says which one."""
    if (request_id := current_request_id()) is not None:
        event["request_id"] = request_id
    return event


def _only_what_is_harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Of a library's record."""
    entry: logging.LogRecord = event["_record"]
    kept: EventDict = {name: event[name] for name in ("_record", "_from_structlog")}
    kept["logger"] = entry.name
    if entry.name.partition(".")[0] in SPEAK_OF_THEMSELVES:
        kept["event"] = event["event"]
    else:
        kept["event"] = "library_message"
        kept["where"] = f"{entry.module}:{entry.lineno} {entry.funcName}"
    if entry.exc_info and entry.exc_info[1] is not None:
        error = entry.exc_info[1]
        kept["error_type"] = type(error).__qualname__
        frames = traceback.extract_tb(error.__traceback__)[-MAX_PLACES:]
        kept["error_where"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    entry.exc_info = entry.exc_text = entry.stack_info = None
    return kept


def _number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
