"""What an Extended DNS Error says where there is too much to say."""

from __future__ import annotations

import pytest

from zkdns.dns import ede

ONE, OTHER = "failed over to dc2 (0 of 12 healthy)", "dc2: fail_open: all given (0 of 120 healthy)"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("web", f"{ONE}; {OTHER}", f"web: {ONE}; {OTHER}"),
        ("web-of-the-great-shop", f"{ONE}; {OTHER}", f"web-of-the-great-shop: {ONE}"),
        ("w" * 63, ONE, f"{'w' * 59}..: {ONE}"),
        ("w" * 63, f"{ONE}; {ONE}", f"{'w' * 21}..: {ONE}; {ONE}"),
        ("web", "x" * 120, f"..: {'x' * 120}"),
    ],
)
def test_the_name_is_cut_first_and_then_what_is_said_last(name: str, text: str, expected: str) -> None:
    assert ede.about(name, text) == expected
    assert len(ede.option(ede.OTHER, expected)) <= 6 + ede.MAX_TEXT_BYTES
