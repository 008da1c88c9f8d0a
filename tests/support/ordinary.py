"""An ordinary client: a few names in a steady trickle, over UDP and TCP, and what was wrong is kept."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from types import TracebackType

import dns.exception
import dns.rcode

from support.server import Zkdns


@dataclass(frozen=True, slots=True)
class Row:
    """What is asked, and the answer that is right: an rcode and the rdata in any order."""

    name: str
    type: str
    answers: tuple[str, ...] = ()
    rcode: str = "NOERROR"
    tcp: bool = False


class Ordinary(threading.Thread):
    """Asks until the block ends. `tries`: 1, or as a stub resolver does where no answer came."""

    def __init__(
        self,
        server: Zkdns,
        rows: tuple[Row, ...],
        *,
        tries: int = 1,
        timeout: float = 20.0,
        pause: float = 0.02,
    ) -> None:
        super().__init__(daemon=True)
        self.server, self.rows, self.tries = server, rows, tries
        self.timeout, self.pause = timeout, pause
        self.right = 0
        self.asked = 0
        """Over UDP, tries that were lost too."""
        self.wrong: list[str] = []
        self._enough = threading.Event()

    def run(self) -> None:
        for row in itertools.cycle(self.rows):
            if self._enough.wait(self.pause):
                return
            said = self._ask(row)
            if said:
                self.wrong.append(f"{row}: {said}")
            else:
                self.right += 1

    def _ask(self, row: Row) -> str:
        """What was wrong with the answer; empty where nothing was."""
        said = ""
        for _ in range(self.tries):
            self.asked += not row.tcp
            try:
                reply = self.server.ask(row.name, row.type, tcp=row.tcp, timeout=self.timeout)
            except (OSError, EOFError, dns.exception.DNSException) as error:
                said = repr(error)
                continue
            rcode = dns.rcode.to_text(reply.rcode())
            found = sorted(item.to_text() for rrset in reply.answer for item in rrset)
            return "" if (rcode, found) == (row.rcode, sorted(row.answers)) else f"{rcode} {found}"
        return said

    def __enter__(self) -> Ordinary:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self.join()
        if error is None:
            assert not self.wrong, f"{len(self.wrong)} of {self.right + len(self.wrong)}: {self.wrong[:5]}"
            assert self.right >= len(self.rows), "it never had its turn"
