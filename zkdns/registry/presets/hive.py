"""HiveServer2's service discovery: `/hiveserver2/serverUri=<host>:<port>;version=<v>;sequence=<n>`.

Source: hive 3.1, service/src/java's HiveServer2.addServerInstanceToZooKeeper (name and data) and
jdbc's ZooKeeperHiveClientHelper (what a client reads: the name up to the first `;`, the data's
`hive.server2.…` pairs). Rules: the name says where; the data's pairs are told in `meta`.
"""

from __future__ import annotations

from zkdns.registry.places import Preset, place
from zkdns.registry.server_uri import reader

PRESET = Preset("hive", (place("/hiveserver2/{id}", "hiveserver2", reader("hive")),))
