"""What a start imports and defines: all of it takes a part of the time until the first answer, and stays."""

from __future__ import annotations

import json
import subprocess
import sys

SOURCE = """
import json, sys
import zkdns.cli.serve
print(json.dumps([
    sorted(sys.modules),
    sorted(f"{name}.{kind.__name__}" for name, module in sys.modules.items() if name.startswith("zkdns.")
           for kind in vars(module).values()
           if "__dataclass_fields__" in getattr(kind, "__dict__", ()) and kind.__module__ == name),
]))
"""

LATER = {
    "ctypes", "difflib", "dns", "dnslib", "prometheus_client", "rich", "secrets", "tomllib",
    "zkdns.explain.explain", "zkdns.serve.listen.udp", "zkdns.web.metrics", "zkdns.web.page",
}  # fmt: skip
"""What those import who need it first."""

MOST_DATACLASSES = 70
"""A Struct is defined in a fortieth of the time: see the decisions in CONTRIBUTING.md."""


def test_a_start_imports_nothing_that_it_has_no_use_for_and_defines_few_dataclasses() -> None:
    loaded, dataclasses = json.loads(subprocess.check_output([sys.executable, "-c", SOURCE], text=True))
    assert not LATER & set(loaded)
    assert len(dataclasses) <= MOST_DATACLASSES, dataclasses
