"""Where under /zkdns stands what the replicas of one ensemble share with each other and with operators.

Rules: names alone; one room writes what stands there, and others read it.
"""

from __future__ import annotations

from typing import Final

OWN: Final = "/zkdns"
OVERRIDES: Final = f"{OWN}/overrides"
HEALTH: Final = f"{OWN}/health"
SERVERS: Final = f"{OWN}/servers"
TOPOLOGY: Final = f"{OWN}/topology"
"""One node: the map of networks and the zones that they are in."""
