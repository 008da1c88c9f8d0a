"""How much of the disk the journal takes, and when a segment is to end for it.

Rules: pure. Segments go as a whole, so one that grows without an end would push out all others, and pass the
limit by itself.
"""

from __future__ import annotations

from msgspec import Struct

from zkdns.files import MIB

MIN_SEGMENT_BYTES = MIB
GROWS = 1 / 4
"""What a segment may grow to within a minute, as a part of the journal."""
CROWDED = 1 / 2
"""How full the journal is when services' shares begin to count."""


class Room(Struct):
    """`limit`: bytes at most. `kept`: of the segments, save what was `written` since the last one's
    `snapshot`. `aside`: of what stands beside them."""

    limit: int
    kept: int = 0
    snapshot: int = 0
    written: int = 0
    aside: int = 0

    @property
    def is_crowded(self) -> bool:
        return self.kept + self.written > CROWDED * self.limit

    @property
    def is_over(self) -> bool:
        """Whether something has to go."""
        return self.kept + self.written + self.aside > self.limit

    @property
    def free(self) -> int:
        """What is kept free as a segment begins, for it to grow into."""
        return min(max(MIN_SEGMENT_BYTES, self.snapshot), int(GROWS * self.limit))

    @property
    def is_full(self) -> bool:
        """Whether the segment has more changes in it than its snapshot cost."""
        return self.written > max(MIN_SEGMENT_BYTES, 2 * self.snapshot)

    def is_short(self, waiting: int) -> bool:
        """Whether the segment is to end early once this is written: it takes too large a part, or all has no
        more room; and a snapshot is no more than what was written since the last."""
        more = self.written + waiting
        is_needed = more > GROWS * self.limit or self.kept + self.aside + more > self.limit - self.free
        return is_needed and more > max(self.free, self.snapshot)
