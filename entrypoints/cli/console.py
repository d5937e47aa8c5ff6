"""Running of commands, and their words: to people on a terminal, to machines with --json, to both by exit codes."""

import asyncio
import json
import os
import pwd
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from application.audit import USER, act_as
from domain.account import RetentionPolicy
from domain.errors import DomainError, Overloaded
from entrypoints.server.logging import configure_logging
from entrypoints.wiring.environment import ConfigurationError, load_settings
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import prepare_folders

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

T = TypeVar("T")
Row = Mapping[str, Any]

EXIT_FAILED: Final = 1  # what was asked for could not be done
EXIT_USAGE: Final = 2  # the command line is not complete
EXIT_UNAVAILABLE: Final = 3  # database or storage is down: trying again may help
EXIT_CONFIGURATION: Final = 4  # a TRYON_ variable is wrong

GOODBYE_SECONDS: Final = 2.0
BYTES_LEFT: Final = "The images are unreachable; their bytes go as soon as storage is back."

NOBODY_ELSE: Final = 0o077  # the umask of whoever touches databases, photos and keys

NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
DAYS: Final = click.Choice([str(days) for days in RetentionPolicy.ALLOWED_DAYS])
as_json: Final = click.option("--json", "json_output", is_flag=True, help="Print JSON for machines.")


Command = Callable[..., Any]


def in_account(whose: str = "Name of the account.") -> Callable[[Command], Command]:
    """The option --account of a command that works in one; `whose` explains it."""
    return click.option("--account", default="default", show_default=True, help=whose)


def destructive(dry_run: str) -> Callable[[Command], Command]:
    """The options --yes and --dry-run; `dry_run` explains what is done in place of the deed."""

    def add(command: Command) -> Command:
        command = click.option("--dry-run", is_flag=True, help=dry_run)(command)
        return click.option("--yes", is_flag=True, help="Do not ask.")(command)

    return add


@dataclass(frozen=True, slots=True)
class Answer:
    """Facts that a command prints, in one row or several; then words on standard error, and its exit code.

    `empty` is what people read in place of a table without rows.
    """

    facts: Row | Sequence[Row]
    empty: str = ""
    words: Sequence[str] = ()
    code: int = 0


def answers(command: Callable[..., Row | Answer | None]) -> Callable[..., None]:
    """Add --json to a command, and print what it returns; None has printed by itself."""

    @as_json
    @wraps(command)
    def answering(json_output: bool, **given: Any) -> None:
        if (returned := command(**given)) is None:
            return
        answer = returned if isinstance(returned, Answer) else Answer(returned)
        show(answer.facts, json_output=json_output, empty=answer.empty)
        for line in answer.words:
            click.echo(line, err=True)
        if answer.code:
            sys.exit(answer.code)

    return answering


def run(work: Callable[["Container"], Awaitable[T]]) -> T:
    """Run `work` with a container made from the environment, and turn failures into one line and an exit code."""
    expect_texts()
    from entrypoints.wiring.container import Container  # noqa: PLC0415 - imports the database layer, which --help does not need

    settings = settings_or_fail()
    os.umask(NOBODY_ELSE)
    or_fail(lambda: prepare_folders(settings))

    async def main() -> T:
        act_as(f"{USER}{_user()}")
        container = Container(settings=settings)
        try:
            return await work(container)
        finally:
            with suppress(TimeoutError):  # a database that fell silent never says goodbye
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await container.engine().dispose()

    try:
        return or_fail(lambda: asyncio.run(main()))
    except Overloaded as error:
        fail(error.advice, EXIT_UNAVAILABLE)
    except DomainError as error:
        fail(str(error))


def expect_texts() -> None:
    """Look at all that the command was given. Raises: click.UsageError: bytes that are no text; nobody takes them."""
    given = click.get_current_context().params.values()
    try:
        "".join(text for text in given if isinstance(text, str)).encode()
    except UnicodeEncodeError:
        raise click.UsageError("An argument is no text: it holds bytes that are not UTF-8.") from None


def _user() -> str:
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name} ({os.getuid()})"
    except KeyError:  # as in a container
        return str(os.getuid())


def settings_or_fail() -> Settings:
    """The settings, or one line for each problem with them. From here on log lines go to standard error."""
    settings = or_fail(lambda: load_settings(os.environ))
    configure_logging(settings.log_level)
    return settings


def or_fail(work: Callable[[], T]) -> T:
    """What `work` returns; a table and an exit code when it finds something wrong with the settings."""
    try:
        return work()
    except ConfigurationError as error:
        fail(f"The configuration is wrong.\n{error}", EXIT_CONFIGURATION)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong and leave."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only after a yes: of the command line, or of a person on a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} There is no terminal to answer on: say --yes.", EXIT_USAGE)
    click.confirm(question, abort=True, err=True)


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, and that has its name once it is whole and on the disk.

    Made before the block runs, so that what cannot be written is known before anything is done. Raises:
    click.UsageError.
    """
    if os.path.exists(path):  # noqa: PTH110 - no error for a name too long. An empty one is the current folder
        raise click.UsageError(f"{path} is there already: name another file.")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def show(facts: Row | Sequence[Row], *, json_output: bool, empty: str = "") -> None:
    """JSON for machines. For people a table, whose values are whole however narrow the terminal is, or the lines of one
    row, without what has no value.
    """
    if json_output:
        click.echo(json.dumps(facts, default=rfc3339, indent=2))
    elif isinstance(facts, Mapping):
        width = max(len(_in_words(name)) for name in facts)
        _print_aligned([(_in_words(name), _cell(value)) for name, value in facts.items() if value is not None], [width])
    elif facts:
        lines = [[_in_words(name) for name in facts[0]], *([_cell(value) for value in row.values()] for row in facts)]
        _print_aligned(lines, [max(map(len, column)) for column in zip(*lines, strict=True)])
    else:
        click.echo(empty)


def _print_aligned(lines: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip_longest(line, widths, fillvalue=0)).rstrip())


class Advance(Protocol):
    """Told how far the work has come, and that something else is done from now on."""

    def __call__(self, completed: int, what: str | None = None) -> None: ...


@contextmanager
def progress(what: str, total: int, *more: ProgressColumn) -> Iterator[Advance]:
    """A bar on standard error; not there at all when that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *more, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(completed: int, what: str | None = None) -> None:
            bar.update(task, completed=completed, description=what)

        yield advance


def rfc3339(at: datetime) -> str:
    """Whole seconds of a time in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_words(name: str) -> str:
    """`keepForDays` as `keep for days`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_in_words(name)} {_cell(part)}" for name, part in value.items())
    return printable("" if value is None else rfc3339(value) if isinstance(value, datetime) else value)


def printable(value: object) -> str:
    """On one line, and without anything that a terminal would obey, whatever a file or an account is called."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
