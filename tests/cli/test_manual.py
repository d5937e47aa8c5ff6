"""docs/cli.md names every command, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from entrypoints.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


def named() -> set[tuple[str, ...]]:
    """`accounts create`, `list`: the second stands for `accounts list`."""
    table = PAGE.partition("## Commands")[2].partition("\n## ")[0]
    found: set[tuple[str, ...]] = set()
    for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE):
        group = ""
        for words in re.findall(r"`([a-z -]+)`", row):
            first, _, second = words.partition(" ")
            if second:
                group = first
            elif group and (group, first) in set(commands(main)):
                first, second = group, first
            found.add((first, second) if second else (first,))
    return found


def test_the_page_names_every_command_and_no_other() -> None:
    assert named() == set(commands(main))


@pytest.mark.parametrize("command", sorted(commands(main)))
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")


def test_every_option_on_the_page_exists() -> None:
    known = {option for command in commands(main) for option in options(command)}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) - known == {"--help"}


def options(path: tuple[str, ...]) -> Iterator[str]:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for parameter in command.params:
        yield from parameter.opts
