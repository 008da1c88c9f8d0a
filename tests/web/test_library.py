"""aiohttp is imported for its server alone: what its other sides would read is left where it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROBE = """
import os, ssl
import {module}
from aiohttp import connector
contexts = [one for one in vars(connector).values() if isinstance(one, ssl.SSLContext)]
print(*(one.cert_store_stats()["x509"] for one in contexts))
print(ssl.create_default_context().cert_store_stats()["x509"])
print(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
"""


def probe(module: str, ca: Path) -> list[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    env |= {"SSL_CERT_FILE": str(ca), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", PROBE.format(module=module)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()


def test_no_certificate_of_the_machine_is_read_for_pages_without_tls(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=test", "-keyout", tmp_path / "ca.key", "-out", ca],
        check=True, capture_output=True,
    )  # fmt: skip
    by_its_own_import, by_ours = probe("aiohttp.web", ca), probe("zkdns.web.http", ca)
    assert by_its_own_import == ["1 1", "1", f"{ca} None"]
    assert by_ours == ["0 0", "1", f"{ca} None"], "and who makes a context later finds them as ever"


TYPES = """
import mimetypes
mimetypes.knownfiles = [{file!r}]
import {module}
print(mimetypes.guess_type("a.odd")[0], mimetypes.knownfiles)
"""


def test_no_media_types_of_the_machine_are_read_where_no_files_are_served(tmp_path: Path) -> None:
    file = tmp_path / "mime.types"
    file.write_text("text/odd odd\n")
    for module, known in (("aiohttp.web", "text/odd"), ("zkdns.web.library", None)):
        command = [sys.executable, "-c", TYPES.format(file=str(file), module=module)]
        env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
        told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        assert told == f"{known} {[str(file)]}\n"
