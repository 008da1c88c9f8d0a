"""The walls that docs/security.md tells are those of the code, number by number, and each has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from zkdns import arrivals, config, descriptors, files, routes, toml, topology
from zkdns.answers import (
    first_places,
    kept,
    late_names,
    proportions,
    route_resolver,
    spliced,
    tag_names,
    variants,
)
from zkdns.answers import routes as answers_routes
from zkdns.answers.zonefiles import lookup, master_file
from zkdns.cli import drain, holders
from zkdns.config import Settings
from zkdns.forward import believe, intake, load
from zkdns.health import ballots, connection, consensus, lanes, prober
from zkdns.health.checks import command
from zkdns.pipeline import agenda, compiler, journal_files, journal_memory, lookups, replica, route_room
from zkdns.registry import (
    endpoints,
    fields,
    json_values,
    labels,
    override_nodes,
    overrides,
    protobuf,
    settings,
)
from zkdns.registry import file as registry_file
from zkdns.registry.formats import dubbo, registrar
from zkdns.registry.presets import zookeeper
from zkdns.registry.zk import portion
from zkdns.serve import aside, clients, first_questions, following, native
from zkdns.serve.listen import tcp, udp
from zkdns.serve.listen.places import Limits
from zkdns.web import door, events, guest, http, lingering, pages, threads, turns
from zkdns.web import rows as page_rows

DOCS = Path(__file__).parents[1] / "docs" / "security.md"
MIB = 1 << 20
DEFAULTS = Settings()

WALLS: dict[str, tuple[float, ...]] = {
    "ports, tags, addresses of an instance": (fields.MAX_PORTS,),
    "characters of the name that a registrar's service record gives to ports": (
        registrar.MAX_NAME_CHARACTERS,
    ),
    "`meta` keys of an instance": (fields.MAX_META,),
    "digits of a weight, or another number, that is text": (fields.MAX_DIGITS,),
    "`timeout` of a check": (settings.MAX_TIMEOUT,),
    "characters of a check's command, words of it": (
        settings.MAX_COMMAND_CHARACTERS,
        settings.MAX_COMMAND_WORDS,
    ),
    "characters of a check's path, of its port's name": (
        settings.MAX_PATH_CHARACTERS,
        settings.MAX_NAME_CHARACTERS,
    ),
    "values of a payload that is read whole, items of a list or an object that has more": (
        json_values.MAX_VALUES,
        json_values.MAX_ITEMS,
    ),
    "characters of an address's URL or of a preset's node, of a Dubbo provider's node": (
        endpoints.MAX_URL_CHARACTERS,
        dubbo.MAX_NAME_CHARACTERS,
    ),
    "fields of a protobuf node, KiB of ZooKeeper's own configuration": (
        protobuf.MAX_FIELDS,
        zookeeper.MAX_BYTES / 1024,
    ),
    "`hold` and `warm`": (settings.DAY,),
    "targets, tiers of a route": (routes.MAX_TARGETS, routes.MAX_TIERS),
    "`over` of a route": (routes.MAX_OVER_SECONDS,),
    "routes of routes": (answers_routes.MAX_DEPTH, route_resolver.MAX_FOLLOWED),
    "instances that a route leads to": (route_resolver.MAX_FOLLOWED_INSTANCES,),
    "those behind routes that it leads to": (route_resolver.MAX_FOLLOWED_BELOW,),
    "that the routes in services' nodes lead to together": (route_room.MAX_TOGETHER,),
    "instances that are looked at to count a route's healthy": (route_resolver.MAX_COUNTED,),
    "instances of a route that is followed in the loop": (compiler.LARGE // compiler.ROUTED,),
    "ports by name of a route": (route_resolver.MAX_PORTS,),
    "problems told of one route": (route_resolver.MAX_TOLD,),
    "networks, places of the topology": (topology.MAX_NETWORKS, topology.MAX_PLACES),
    "places in the orders by zone of one service": (variants.MAX_WORK,),
    "cycle of an answer": (proportions.MAX_CYCLE,),
    "records that an answer keeps": (spliced.MAX_RECORDS,),
    "tags in one name": (tag_names.MAX_TAGS,),
    "names of tags, and of ports, of one service that are ready; instances behind them": (
        late_names.MAX_NAMES,
        late_names.MAX_PLACES,
    ),
    "instances that such a name, one of several tags or of a zone compiles at once": (
        kept.MAX_INSTANCES_IN_LOOP,
    ),
    "such names of one service that wait, who waits for them; a network leaves others room of both": (
        aside.MAX_WAITING,
        aside.MAX_ASKING,
    ),
    "records kept of such names, of those compiled at once and of the others": (kept.TIMES, kept.MIN_RECORDS),
    "probes under way, of one service": (prober.SOCKETS, prober.EACH),
    "of them, probes of targets that had no answer within 0.5 s": (1, 2),
    "of these, probes of those that answer late, that are new, that never answer": (lanes.FREE,),
    "probes that start in a second": (lanes.RATE,),
    "of them, and of all places, those that are kept for targets that were on time while all were": (
        1,
        lanes.KEPT_STARTS,
        1,
        lanes.KEPT_PLACES,
    ),
    "probes that start in one turn of the loop": (prober.A_TURN,),
    "descriptors that probes hold where there are few": (1, prober.OF_ALL),
    "descriptors there may be when one more is an HTTP client's, a DNS client's over TCP, a question's to "
    "upstreams, a probe's": tuple(
        number
        for part in (descriptors.WEB, descriptors.STREAMS, descriptors.UPSTREAMS, descriptors.PROBES)
        for number in part.as_integer_ratio()
    ),
    "KiB read of an `http` check's answer": (connection.MAX_READ_BYTES / 1024,),
    "where checks may go": (),
    "addresses of a host name": (fields.MAX_ADDRESSES,),
    "host names looked up at once, of one service": (lookups.MAX_LOOKUPS, lookups.MAX_LOOKUPS_EACH),
    "beside them: that have no answer after 0.5 s, that had none before": (
        lookups.MAX_SLOW,
        lookups.MAX_DEAD,
    ),
    "instances compiled in the loop": (compiler.LARGE,),
    "services that are compiled in one turn for who asks for them first; who waits for theirs, a network "
    "leaves others room, and for how long where a thread compiles it": (
        1,
        first_questions.MAX_WAITING,
        first_questions.SECONDS,
    ),
    "datagrams that wait for Python, with either engine, until each client is held to its part, and then": (
        udp.MAX_WAITING,
        2 * native.MAX_QUEUED // native.PART,
    ),
    "queries that the native engine hands to Python before it looks at them": (native.MAX_QUEUED,),
    "TCP connections": (Limits().connections,),
    "bytes that wait on TCP, of one connection": (Limits().bytes / MIB, tcp.MAX_UNSENT_BYTES / 1024),
    "idle TCP connection": (Limits().idle,),
    "forwarded questions under way, of one client": (load.MAX_IN_FLIGHT, load.MAX_IN_FLIGHT_OF_CLIENT),
    "clients that wait for one forwarded question, for all of them; a network leaves others room": (
        load.MAX_WAITERS,
        load.MAX_ALL_WAITERS,
    ),
    "upstreams, and those of them that are trusted": (config.MAX_UPSTREAMS,),
    "aliases behind one another in an upstream's reply": (believe.MAX_ALIASES,),
    "times that aliases lead from us to an upstream in one answer": (following.MAX_LEAVES,),
    "long answers (more than 4 KiB) behind aliases that wait to be joined; a network leaves others room": (
        following.MAX_LONG,
    ),
    "KiB of an upstream's datagram": (intake.LARGE_BYTES >> 10,),
    "answers of upstreams that are kept": (DEFAULTS.cache_entries, DEFAULTS.cache_mb),
    "HTTP connections": (door.MAX_CONNECTIONS,),
    "event streams": (events.MAX_STREAMS,),
    "MiB of events that were told and not taken, of all streams together": (events.MAX_KEPT_BYTES / MIB,),
    "changes that wait to be told to event streams, beyond those of one moment": (events.MAX_UNTOLD,),
    "idle HTTP connection, of whose reply nothing is taken": (guest.IDLE_SECONDS, guest.UNREAD_SECONDS),
    "a new HTTP connection's first request": (guest.REQUEST_SECONDS,),
    "HTTP requests that are begun in one turn of the loop": (turns.REQUESTS_PER_TURN,),
    "HTTP requests that wait for a thread, of one network; as many of those that keep one for long": (
        threads.MAX_WAITING,
        threads.MAX_WAITING_EACH,
    ),
    "connections that are read on after an early end, KiB of one, for how long": (
        lingering.MAX_LINGERING,
        lingering.MAX_BYTES >> 10,
        lingering.SECONDS,
    ),
    "KiB read of an HTTP connection at a time; a request's body is not read": (guest.READ_BYTES >> 10,),
    "text of a long list that is made before its reader took what went before": (
        page_rows.PIECE_BYTES / 1024,
    ),
    "characters of a name in `/metrics`": (labels.MAX_FOLDED_CHARACTERS,),
    "changes that one `explain` tries": (pages.MAX_CHANGES,),
    "changes in one history reply": (http.MAX_HISTORY,),
    "of the journal on disk, of one service, at once and in `journal_days`": (
        *(1, 1 / journal_files.BURST),
        *(1, 1 / journal_files.STEADY),
    ),
    "changes kept in memory; KiB of an instance or a map that one may hold, and counts as several beyond": (
        journal_memory.MAX_KEPT,
        journal_memory.KIB_OF_ONE,
    ),
    "changes of services that are not in force yet, and of which it is known when they came": (
        arrivals.MAX_WAITING,
    ),
    "overrides, characters of a `why`, of a `who`": (
        override_nodes.MAX_OVERRIDES,
        overrides.MAX_WHY_CHARACTERS,
        overrides.MAX_WHO_CHARACTERS,
    ),
    "replicas that `drain --wait` asks at a time, and tells as away": (holders.MAX_THREADS, drain.MAX_TOLD),
    "MiB of their replies that it takes at a time, of all together; services whose routes lead to the "
    "instance": (holders.MAX_TOLD_BYTES / MIB, holders.MAX_NAMES),
    "KiB of an override, of a replica's node": (overrides.MAX_BYTES / 1024, replica.MAX_BYTES / 1024),
    "ballots of replicas that are read; MiB of one unpacked, votes, KiB of a line": (
        ballots.MAX_REPLICAS,
        consensus.MAX_UNPACKED_BYTES / MIB,
        consensus.MAX_VOTES,
        consensus.MAX_PART_BYTES / 1024,
    ),
    "MiB of memory that all ballots take together that take more than a MiB": (ballots.ROOM / MIB,),
    "bad entries of the topology that are told one by one": (topology.MAX_TOLD,),
    "nodes that one request to ZooKeeper reads, MiB of a reply beyond which the next one reads fewer": (
        portion.MAX_READS,
        portion.HEAVY_BYTES / MIB,
    ),
    "characters of a node's path, all names in it": (portion.MAX_PATH_CHARACTERS,),
    "part of the time that reading what stands under `/zkdns` takes": (1, agenda.PACE + 1),
    "pairs of zones that near answers are counted of, of all services": (first_places.MAX_CROSSINGS,),
    "rows of who was told, a thread": (clients.MAX_ROWS,),
    "dots in a key of a TOML file": (toml.MAX_DOTS,),
    "a registry file, a settings file": (registry_file.MAX_BYTES / MIB, files.MIB / MIB),
    "a zone file, all files of one zone": (
        master_file.MAX_FILE_BYTES / MIB,
        master_file.MAX_ZONE_BYTES / MIB,
    ),
    "lines of all zone files, each counted as often as it is included or generated": (master_file.MAX_LINES,),
    "files that include one another, that a zone includes": (
        master_file.MAX_INCLUDE_DEPTH,
        master_file.MAX_INCLUDED_FILES,
    ),
    "aliases in a row, in zone files": (lookup.MAX_CHAIN,),
    "`$GENERATE`, characters that it pads to": (master_file.MAX_GENERATED, master_file.MAX_WIDTH_CHARS),
    "a record of a zone file as it is written, and its data": (
        master_file.MAX_RECORD_CHARACTERS,
        master_file.MAX_RDATA_BYTES,
    ),
}


def rows() -> Iterator[list[str]]:
    _, _, rest = DOCS.read_text().partition("\n## Walls\n")
    table = rest.partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| ") and not line.startswith(("| what |", "| --- |")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_each_wall_has_a_row_and_each_row_its_wall() -> None:
    assert [row[0] for row in rows()] == list(WALLS)
    assert all(seen for _, _, _, seen in rows()), "what a person sees when it is hit"


def test_the_numbers_are_those_of_the_code() -> None:
    told = {
        row[0]: [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\d|\d", row[1])] for row in rows()
    }
    assert told == {what: list(map(float, numbers)) for what, numbers in WALLS.items()}


def test_the_descriptors_that_the_manual_reckons_with_are_those_of_the_walls() -> None:
    manual = (DOCS.parent / "operations.md").read_text()
    told = re.search(
        r"TCP client \(at most ([\d,]+)\), forwarded question \(([\d,]+)\), health probe \((\d+)\) and "
        r"HTTP connection \((\d+)\)",
        manual,
    )
    assert told is not None
    numbers = tuple(int(n.replace(",", "")) for n in told.groups())
    assert numbers == (Limits().connections, load.MAX_IN_FLIGHT, prober.SOCKETS, door.MAX_CONNECTIONS)


def test_what_a_command_check_is_given_of_our_environment_is_told_by_name() -> None:
    told = DOCS.read_text().partition("with an environment of")[2].partition("so no secret")[0]
    given = {"ZKDNS_ADDRESS", "ZKDNS_PORT", "ZKDNS_ID", *command.PASSED_ON}
    assert set(re.findall(r"`([A-Z_]+)`", told)) == given


def test_settings_that_the_table_names_are_there() -> None:
    named = {name for row in rows() for name in re.findall(r"`([a-z_]+)`", row[2])}
    assert named - {"answers"} <= {*DEFAULTS.__dataclass_fields__}
    assert named
