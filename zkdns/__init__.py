"""zkdns: what is registered in ZooKeeper, as DNS.

Two halves and one immutable value between them. The left half runs when the world changes: it parses,
validates, decides health, orders by weight and spells records. The right half runs when someone asks:
it looks up, deals the next order, splices and sends.

    ZooKeeper / file                zones/*.zone                    upstream resolvers
          | events (zxid)                |                                ^ |
          v                              |                                | v
     registry/  -> Catalog               |                            forwarding
          |                              |                                ^
          v                              v                                | FORWARD
      health/   -> Catalog (serving)  answers/zonefiles                   |
          |                              |                                |
          v                              v                                |
     answers/   -> records -> compile --- Delta ---> Table -> serve/respond --> UDP, TCP

The rooms: `registry` (what is registered), `health` (who is well), `answers` (what we say), `pipeline` (the
three as one line of work), `serve` (how it is asked), `forward` (names that are not ours), `explain` (why it
is what it is), `web` and `cli` (what people look at), `dns` (what any DNS program needs), `server` (one
process). `native/` is a Rust twin of `serve/respond` for the plain case.

Reading order: model -> serve/respond -> answers/table -> answers/service -> answers/records ->
registry/service_tree -> pipeline/publisher -> server/lifecycle. See the answer first, then ask where it came
from.

The words: a *service* has *instances*; a *registration* is what an instance says of itself; the *Catalog* is
the immutable view of all services; a *rotation* is the orders that an RRset cycles through; a *Delta* is
what a *Table*, which replies are read from, takes over in one step; to *publish* is to do so; an *origin* is
a set of registries; a *preset* says how another system registers, in *places*, and who holds its *offices*
(leader, primary); an *upstream* is a resolver that we forward to. Query and reply are DNS's, request and
response HTTP's.
"""

__version__ = "0.1.0"
