"""What a command says: the one door for lines of text and for JSON.

Rules: nothing that others wrote moves the cursor or begins a line (`printable`); what is drawn goes by
`show.open_console`, which holds to the same.
"""

from __future__ import annotations

import json

import click

from zkdns.printable import json_printable, printable


def say(*lines: str, err: bool = False) -> None:
    """Each on a line of its own. `err`: beside what the command was asked for, on stderr."""
    click.echo("\n".join(map(printable, lines)), err=err)


def say_json(document: object) -> None:
    """On one line."""
    click.echo(json_printable(json.dumps(document, ensure_ascii=False)))
