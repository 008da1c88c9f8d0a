"""Apache Kyuubi's servers: `/kyuubi/serverUri=<host>:<port>;version=<v>;…;sequence=<n>`.

Source: kyuubi 1.9, kyuubi-ha's ZookeeperDiscoveryClient.createPersistentNode and DiscoveryClient (the name
is HiveServer2's with more fields, such as `refId`), HighAvailabilityConf (`/kyuubi`). Rules: as `hive`.
"""

from __future__ import annotations

from zkdns.registry.places import Preset, place
from zkdns.registry.server_uri import reader

PRESET = Preset("kyuubi", (place("/kyuubi/{id}", "kyuubi", reader("kyuubi")),))
