"""`zkdns check`: settings, zone files and every registration, with what is wrong and what cures it."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any

import click

from zkdns.cli import emptied, lint, options, registries, show
from zkdns.cli.say import say_json
from zkdns.lists import plural
from zkdns.model import ConfigError, Problem
from zkdns.registry.nothing import tell_missing
from zkdns.registry.url import RegistryURL
from zkdns.web import shapes


@click.command(short_help="What is wrong with settings, zone files and registrations.")
@options.zone
@click.option("--problems", "only_problems", is_flag=True, help="Without notes and what was read as what.")
@click.option("--zones", metavar="DIR", help="Zone files to read, as `zkdns serve` does.")
@options.failover
@options.reads_registry
def command(
    only_problems: bool,
    load: options.Load,
    as_json: bool,
) -> int:
    """Reads settings, zone files and every registration; prints a summary, and each problem with its cure.

    A service that lost all its instances is a problem too.

    Exit code 1 where there is a problem. Notes tell of what works and may surprise; they don't count.
    """
    settings = load()
    broken: list[Problem] = []

    async def work(registries: registries.Registries) -> int:
        services = registries.services
        builder = registries.compile(services.values())
        beyond = registries.beyond()
        lost, unused = emptied.tell(services.values(), settings, lambda s: beyond(s.name).route)
        problems = sorted({*registries.problems, *broken, *lost}, key=lambda p: (p.path, p.what))
        linted = lint.lint(
            services, registries.overrides, settings.zone, builder,
            lambda every: registries.waiting.each(every, "checking"),
        )  # fmt: skip
        notes = [*map(tell_missing, registries.missing), *unused, *linted]
        read = {name: lint.formats(service) for name, service in sorted(services.items())}
        if as_json:
            document: dict[str, Any] = shapes.problems(problems)
            if not only_problems:
                document["notes"] = [asdict(note) for note in notes]
                document["formats"] = read
            say_json(document)
        else:
            _show(problems, [] if only_problems else notes, read, len(notes), only_problems)
        return 1 if problems else 0

    while True:
        try:
            return registries.run(settings, work)
        except ConfigError as error:
            # What is no TOML is wrong data like any other; the other registries are checked all the same.
            rest = tuple(url for url in settings.registry if not _is_said_of(url, error))
            if rest == settings.registry:
                raise
            broken.append(Problem(error.where, error.why, "mend the file; until then a server can't start"))
            settings = replace(settings, registry=rest)


def _is_said_of(url: RegistryURL, error: ConfigError) -> bool:
    """A file that is not there, or not ours to read, is a wrong URL: that stays the operator's error."""
    path = url.path
    return url.scheme == "file" and str(path) == error.where and path.is_file() and os.access(path, os.R_OK)


def _show(
    problems: list[Problem], notes: list[Problem], read: dict[str, dict[str, int]], noted: int, brief: bool
) -> None:
    console = show.open_console()
    instances = sum(sum(those.values()) for those in read.values())
    console.print(
        f"{plural(len(read), 'service')}, {plural(instances, 'instance')}, "
        f"{plural(len(problems), 'problem')}, {plural(noted, 'note')}"
    )
    if read and not brief:
        console.print()
        columns = (
            show.Column("SERVICE"),
            show.Column("INSTANCES", right=True),
            show.Column("READ AS", folds=12),
        )
        rows = [
            (name, sum(those.values()), ", ".join(f"{format} {n}" for format, n in those.items()))
            for name, those in read.items()
        ]
        show.print_table(console, columns, rows)
    if problems or notes:
        console.print()
    for word, style, those in (("problem", "red", problems), ("note", "yellow", notes)):
        for one in those:
            console.print(f"{word}: {show.clean(one.path)}", style=style, soft_wrap=True)
            console.print(f"  {show.clean(one.what)}", soft_wrap=not console.is_terminal)
            console.print(f"  cure: {show.clean(one.cure)}", soft_wrap=not console.is_terminal)
