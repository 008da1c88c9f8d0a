"""Throw-away certificates for a TLS test: one authority, a server and a client signed by it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "changeit"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files for Python's side, PKCS#12 stores for Java's. All stores have the one password."""

    ca: Path
    server_store: Path
    trust_store: Path
    client_cert: Path
    client_key: Path
    password: str

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        directory.mkdir(parents=True, exist_ok=True)
        ca, ca_key = directory / "ca.pem", directory / "ca.key"
        _run(
            "openssl", "req", "-x509", *_EC, "-keyout", ca_key, "-out", ca,
            "-days", "30", "-subj", "/CN=zkdns test CA",
        )  # fmt: skip
        pairs = {}
        for who in ("server", "client"):
            key, request, cert = (directory / f"{who}.{kind}" for kind in ("key", "csr", "pem"))
            extensions = directory / f"{who}.ext"
            extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            _run("openssl", "req", "-new", *_EC, "-keyout", key, "-out", request, "-subj", f"/CN={who}")
            _run(
                "openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                "-days", "30", "-extfile", extensions, "-out", cert,
            )  # fmt: skip
            pairs[who] = (cert, key)
        store = directory / "server.p12"
        _run(
            "openssl", "pkcs12", "-export", "-in", pairs["server"][0], "-inkey", pairs["server"][1],
            "-certfile", ca, "-name", "server", "-out", store, "-passout", f"pass:{PASSWORD}",
        )  # fmt: skip
        trust = directory / "trust.p12"
        # keytool, not openssl: Java takes only entries that it marked as trusted itself.
        _run(
            "keytool", "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-importcert", "-noprompt",
            "-alias", "ca", "-file", ca, "-keystore", trust,
            "-storetype", "PKCS12", "-storepass", PASSWORD,
        )  # fmt: skip
        return cls(ca, store, trust, *pairs["client"], PASSWORD)


_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} {command[1]}: {done.stdout}{done.stderr}")
