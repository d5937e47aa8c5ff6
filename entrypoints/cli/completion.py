"""Completion of commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

from entrypoints.cli.console import fail

PROGRAM = "tryon-images"
VARIABLE = "_TRYON_IMAGES_COMPLETE"
"""Click's own name for it, made of the program's."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes commands in SHELL, for its start-up file.

    \b
    Examples:
      tryon-images completion bash > ~/.local/share/bash-completion/completions/tryon-images
      tryon-images completion zsh >> ~/.zshrc
      tryon-images completion fish > ~/.config/fish/completions/tryon-images.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        fail(f"Completion for {shell} is not known.")
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
