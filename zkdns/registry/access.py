"""How ZooKeeper is reached, as the operator says it.

Rules: values alone; `config` reads them, `zk/connect` goes by them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """How to reach ZooKeeper. `auth`: "scheme:credentials" or "sasl". Secrets are kept out of repr.
    `acl`: of what zkdns makes under /zkdns: "open", "creator" or SCHEME:ID:RIGHTS,…."""

    auth: str = field(default="", repr=False)
    acl: str = "open"
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    session_timeout: float = 10.0
