"""Strategies that are made once: hypothesis looks into each anew that is made for a single draw, which took a
third of all drawing."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hypothesis import strategies as st


@lru_cache(1000, typed=True)
def pick(*among: Any) -> st.SearchStrategy[Any]:
    """One of these. Those that are equal but of another type (0, False) are others."""
    return st.sampled_from(among)
