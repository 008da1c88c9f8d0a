"""Work in a thread gives a value whatever comes of it: an error there is told and never lost."""

from __future__ import annotations

from typing import Any

import pytest

from zkdns.pipeline.aside import aside
from zkdns.pipeline.inputs import Compiled, Followed


@pytest.mark.parametrize("error", [None, ValueError("planted")])
def test_what_comes_of_it_is_what_was_made_or_the_error(error: Exception | None) -> None:
    made: Any = object()

    def make(*_: object) -> Any:
        if error is not None:
            raise error
        return made

    result = None if error is not None else made
    assert aside(Compiled, "web", make)() == Compiled("web", result, error)
    assert aside(Followed, "web", make)() == Followed("web", result, error)
