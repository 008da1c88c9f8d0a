"""How long one kind of work may hold the loop before others have their turn.

Rules: by time, for what one answer costs depends on what is asked: twenty cost no more than one. Who comes
meanwhile waits for a turn of each kind at most.
"""

from __future__ import annotations

from typing import Final

TURN_SECONDS: Final = 0.0001
"""What is answered of many that wait. A wake-up of the loop costs some 0.025 ms beside."""

ALONE_SECONDS: Final = 0.0005
"""The same where one client sent all that waits: none but other transports and changes come after it."""

FEW: Final = 8
"""So many are answered without a look at the clock."""
