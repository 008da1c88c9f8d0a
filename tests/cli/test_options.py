"""Values of flags that are read by types of our own."""

from __future__ import annotations

import click
import pytest

from zkdns.cli.overrides import TARGET
from zkdns.cli.register import PAIR


@pytest.mark.parametrize(
    ("kind", "text", "halves"),
    [
        (TARGET, "web/a", ("web", "a")),
        (TARGET, "web/a/b", ("web", "a/b")),
        (TARGET, ("web", "a"), ("web", "a")),
        (PAIR, "http=80", ("http", "80")),
        (PAIR, "note=a=b", ("note", "a=b")),
        (PAIR, "empty=", ("empty", "")),
    ],
)
def test_a_text_is_halved_at_its_first_mark(
    kind: click.ParamType, text: object, halves: tuple[str, str]
) -> None:
    assert kind.convert(text, None, None) == halves


@pytest.mark.parametrize(
    ("kind", "text", "form"),
    [
        (TARGET, "web", "no SERVICE/ID, as in web/a; `zkdns instances SERVICE` lists the ids"),
        (TARGET, "web/", "no SERVICE/ID"),
        (TARGET, "/a", "no SERVICE/ID"),
        (PAIR, "http", "no KEY=VALUE"),
        (PAIR, "=80", "no KEY=VALUE"),
    ],
)
def test_what_lacks_a_half_is_told_with_the_form(kind: click.ParamType, text: str, form: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        kind.convert(text, None, None)
    assert f"{text!r} is {form}" in str(error.value)
