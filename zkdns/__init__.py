"""zkdns: what is registered in ZooKeeper, as DNS.

Two halves and one immutable value between them. The left half runs when the world changes: it parses,
validates, decides health, orders by weight and spells records. The right half runs when someone asks:
it looks up, gives the next order, splices and sends.

    ZooKeeper / file                zones/*.zone                    upstream resolvers
          | events (zxid)                |                                ^ |
          v                              |                                | v
     registry/  -> Catalog               |                            forward/
          |                              |                                ^
          v                              v                                | FORWARD
      health/   -> Catalog (serving)  answers/zonefiles                   |
          |                              |                                |
          v                              v                                |
     answers/   -> records -> compile --- Delta ---> Table -> serve/respond --> UDP, TCP

     pipeline/ drives the left half, server/ both

The rooms:
    `dns`       what any DNS program needs: types, names, packets, records. It knows nothing of us.
    `registry`  what is registered. `registry/formats`: what one znode says, a file a format;
                `registry/presets`: what other systems keep, a file a system; `registry/zk`: one ensemble.
    `health`    who is well. `health/checks`: a file a kind of probe.
    `answers`   what we say: of services, routes, near ones, and `answers/zonefiles`. `answers/policies`: in
                which orders, a file a policy.
    `pipeline`  the left half as one object, `step` and `ready`; what it told, and the journal of that.
    `serve`     how it is asked: requests, replies, engines. `serve/listen`: a file a transport.
    `forward`   names that are not ours: upstreams, their cache, whom they are for.
    `explain`   why an answer is what it is; for page, API and command line alike.
    `server`    one process: its life, its state directory, its status as a value.
    `web`       the page, the API, metrics. `web/page`: HTML of values; `web/static`: what it needs.
    `cli`       a file a command, and what they share.
    `native/`, beside the package, is a Rust twin of `serve/respond` for the plain case.

Beside the rooms, values and tools that several of them share: `model` (what flows from room to room),
`overrides` (what operators ordered), `routes` (a name that leads to other names), `topology` (zones and
networks), `client_map` (what class a client is of), `descriptors` (who gets them when they are scarce),
`lack` (errors that are a lack of ours: descriptors, ports, memory), `config` (settings), `roots` (what
stands where under /zkdns), `files` (read and written with care), `piecemeal` (long collections, freed
some at a time), `persistent` (a map that shares with the one before), `named` (which service or instance
a person means), `identity` (which members of two sequences are the same objects), `backlog` (what waits,
and what of it is next), `rounds` (the same, told from others in several ways), `line` (clients in turn),
`turn` (how long one kind of work may hold the loop), `polling` (which sockets it looks at in one turn),
`steps` (work that pauses in between), `transports` (what asyncio's leave to us when they end), `order`
(long lists, sorted in short steps), `problems` (what is wrong, written out when somebody reads it),
`parts` (a folder's parts: one file a part), `printable` (what others wrote, as it may be shown), `lists`
(as people read them), `toml` (read with bounds), `wall` (round each item), `arrivals` (when came what is
not in force yet), `ensemble` (a ZooKeeper for demo and tests), `log`.

Reading order: model -> serve/respond -> answers/table -> answers/service ->
answers/compilation -> answers/records -> registry/service_tree -> pipeline/pipeline -> pipeline/publisher ->
server/lifecycle. See the answer first, then ask where it came from.

The words are DNS's, ZooKeeper's and of service discovery: a *service* has *instances*; a *registration* is
what an instance says of itself; owner, RRset, apex, upstream, znode, session as in the RFCs and the
Programmer's Guide. Query and reply are DNS's, request and response HTTP's. Our own, no more than these:
    Catalog         all services at one moment, immutable; a service that did not change is the same object
    preset          how another system registers: in *places*, and who holds its *offices*
    place           where in a tree of znodes a preset's members stand, and how to read them
    office          what one member of several is: leader, primary, controller
    reducer         what takes the events of one watched root, and tells what stands there
    ballot          what one replica has seen of the checks; the majority of ballots rules
    view            what one registry alone holds of a service: `web@dc2`
    Rotation        the orders that an RRset cycles through, first places in exact proportion
    ServiceAnswers  all that one service brings to the table
    origin          the set of registries that an answer comes from
    staleness       how old what one origin says is, and what is said of that
    overlay         zone files, laid beneath the names of services
    Delta           all that crosses from the left half to the right
    Table           what replies are read from; it changes by a Delta alone
    wall            what keeps an error of ours to the item that met it
"""

__version__ = "0.1.0"
