"""A real ZooKeeper whose users log in by SASL (DIGEST-MD5): `zkdns` and `other`."""

from __future__ import annotations

from pathlib import Path

from kazoo.security import make_acl

from support.zookeeper import ZooKeeperServer

SECRET = "top:secret, with=all"
GOOD = f"sasl:zkdns:{SECRET}"
WRONG = "sasl:zkdns:not-the-secret"
OTHER = "sasl:other:else"
MINE = [make_acl("sasl", "zkdns", all=True)]


def sasl_server(directory: Path, **settings: str) -> ZooKeeperServer:
    """Not started yet; the users stand in a file in `directory`."""
    jaas = directory / "jaas.conf"
    jaas.write_text(
        "Server {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f'  user_zkdns="{SECRET}"\n'
        '  user_other="else";\n'
        "};\n"
    )
    provider = {"authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
    return ZooKeeperServer(
        settings={**provider, **settings}, options=[f"-Djava.security.auth.login.config={jaas}"]
    )
