"""Who may do what with the nodes that zkdns makes under /zkdns: the setting `zookeeper.acl` -> ACLs.

Rules: reads text and asks nobody. The default is open, with a login too: replicas and operators share these
nodes, and one that logs in otherwise, or is not changed over yet, would be locked out by whoever came first.
"""

from __future__ import annotations

from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl

from zkdns.model import ConfigError
from zkdns.registry.access import ZooKeeperSettings

RIGHTS = {"c": "create", "d": "delete", "r": "read", "w": "write", "a": "admin"}


def own_acl(settings: ZooKeeperSettings) -> list[ACL]:
    """The ACL of the nodes that we make under /zkdns."""
    text = settings.acl
    if text == "open":
        return list(OPEN_ACL_UNSAFE)
    if text != "creator":
        return [_parse(entry.strip()) for entry in text.split(",")]
    if not (settings.auth or settings.tls_cert):
        raise ConfigError("zookeeper.acl", '"creator" needs zookeeper.auth or zookeeper.tls_cert')
    return [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]


def _parse(entry: str) -> ACL:
    """SCHEME:ID:RIGHTS, as ZooKeeper's own shell takes it; an id may hold colons."""
    scheme, _, rest = entry.partition(":")
    id, colon, letters = rest.rpartition(":")
    if not (scheme and colon and letters) or set(letters) - RIGHTS.keys():
        why = f'{entry!r} is not "open", "creator" or SCHEME:ID:RIGHTS with rights of c, d, r, w, a'
        raise ConfigError("zookeeper.acl", why)
    return make_acl(scheme, id, **{RIGHTS[letter]: True for letter in letters})
