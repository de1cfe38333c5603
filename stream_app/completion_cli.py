"""The command that lets a shell complete the others: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HOW = """Print what makes a shell complete driftflow's commands and options, for its start-up file.

\b
bash:  driftflow completion bash >> ~/.bashrc
zsh:   driftflow completion zsh >> ~/.zshrc
fish:  driftflow completion fish > ~/.config/fish/completions/driftflow.fish
"""


@click.command(short_help="Let your shell complete commands.", help=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """See the help."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "driftflow", "_DRIFTFLOW_COMPLETE").source())


COMMANDS: tuple[click.Command, ...] = (completion,)
