"""`zkdns completion`: the script that lets a shell complete zkdns."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script for bash, zsh or fish.

    \b
    bash: zkdns completion bash > ~/.local/share/bash-completion/completions/zkdns
    zsh:  zkdns completion zsh > "${fpath[1]}/_zkdns"
    fish: zkdns completion fish > ~/.config/fish/completions/zkdns.fish
    """
    completion = SHELLS[shell](ctx.find_root().command, {}, "zkdns", "_ZKDNS_COMPLETE")
    # Not .source(): for bash it asks the bash of this machine for its version, which need not be the
    # one that reads the script.
    click.echo(completion.source_template % completion.source_vars())
