"""The files of the neural networks."""

import click

from entrypoints.cli.console import fail, settings_or_fail
from entrypoints.wiring.photo_processing import ModelInstallationFailed, install_models


@click.group()
def models() -> None:
    """The neural networks that find people."""


@models.command("install")
def install() -> None:
    """Download, check and build the model files; does nothing when they are there already.

    They come out of a MediaPipe wheel, by way of pip, and are checked byte by byte.
    """
    settings = settings_or_fail()
    try:
        install_models(settings, progress=lambda what: click.echo(f"models: {what}", err=True))
    except ModelInstallationFailed as error:
        fail(str(error))
    click.echo(f"The models are in {settings.model_dir.expanduser()}.")
