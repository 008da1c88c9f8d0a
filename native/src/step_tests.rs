//! What a thread takes, lets wait and ends, step by step: its clock is told by hand.

use super::*;
use crate::cache::Cache;
use crate::connection::TURN;
use crate::streams::Limits;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Replies, which nobody answers, and a query: three turns of those.
pub(super) fn three_turns() -> Vec<u8> {
    let reply = [&[0, 12][..], &[0x80; 12]].concat();
    [reply.repeat(TURN - 1), question()].concat().repeat(3)
}

/// A query that Python would have to answer.
pub(super) fn question() -> Vec<u8> {
    [&[0, 19][..], &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"\x01x\0\0\x01\0\x01"].concat()
}

const IDLE: u64 = 10_000 * MILLISECOND;
const BYTES: usize = 100_000;

/// The first of so many threads, and where it listens.
pub(super) fn with_server(threads: usize, run: impl FnOnce(&mut Server, SocketAddr)) {
    let limits = Limits { connections: 40, bytes: BYTES, idle: Duration::from_micros(IDLE) };
    let streams = Streams::new(threads, limits).expect("streams");
    let shared = Shared::new(100, Arc::new(Cache::new(0, 0, 0.0))).expect("shared");
    let counters = Counters::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("a listener");
    let at = listener.local_addr().expect("an address");
    let watch = Watch::new(&streams, 0, vec![listener]).expect("a poller");
    run(&mut Server::new(&shared, &streams, &counters, 0, watch), at);
}

pub(super) fn connect(at: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(at).expect("a connection");
    client.write_all(sent).expect("room");
    client
}

/// What has happened, and what follows from it.
fn round(server: &mut Server) {
    let happened = server.poller.wait(server.patience().clamp(0, 1000)).expect("a look");
    server.round(happened);
}

fn token(server: &Server) -> Token {
    server.peers.iter().flatten().next().expect("a connection").token
}

/// One turn of it, at a moment.
fn turn(server: &mut Server, token: Token, now: u64) {
    server.now = now;
    let table = server.shared.table.load();
    let mut round = server.asker.begin(&table);
    server.turn(&mut round, token, Happened { readable: true, ..Happened::default() });
    server.asker.end(round);
}

/// Until its client, who reads nothing, has no room for more.
pub(super) fn fill(server: &mut Server) {
    let peer = server.peers.iter_mut().flatten().next().expect("a connection");
    while peer.connection.unsent().is_empty() {
        peer.connection.reply(&vec![0; usize::from(u16::MAX)]);
        peer.send().expect("a client");
    }
}

/// A connection that no thread has, with the client's side.
fn connection() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (stream, address) = listener.accept().expect("a connection");
    (client, stream, address)
}

#[test]
#[cfg_attr(miri, ignore)]
fn of_many_that_connect_at_once_few_are_taken_in_one_round() {
    with_server(1, |server, at| {
        let _clients: Vec<_> = (0..ACCEPTED + 4).map(|_| connect(at, &[])).collect();
        round(server);
        assert_eq!(server.open, ACCEPTED);
        round(server);
        assert_eq!(server.open, ACCEPTED + 4);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn where_one_can_not_be_taken_nobody_is_for_a_moment_and_it_is_told_once() {
    with_server(1, |server, at| {
        server.lack(&io::Error::from_raw_os_error(libc::EMFILE));
        let _client = connect(at, &[]);
        assert_eq!(server.poller.wait(0).ok(), Some(0), "it would be looked at again and again");
        server.lack(&io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(server.shared.handover.take_faults().len(), 1);
        while server.open == 0 {
            round(server);
        }
        assert_eq!(server.lacking, None);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_the_query_log_is_to_have_waits_within_the_room_for_all() {
    with_server(1, |server, at| {
        server.shared.sample.store(1, Ordering::Relaxed);
        let client = connect(at, &question().repeat(TURN));
        for _ in 0..4 {
            round(server);
        }
        let waiting = server.shared.handover.waiting();
        assert!((2..13).contains(&waiting), "{waiting} of 100 / 8 at most");
        drop(client);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_that_can_not_be_watched_leaves_its_place() {
    with_server(1, |server, _| {
        let (_client, stream, address) = connection();
        server.poller.add(stream.as_raw_fd(), 0, READ).expect("a poller"); // a second time it fails
        server.welcome(stream, address);
        assert_eq!((server.open, server.streams.places.taken()), (0, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_reply_for_one_that_has_gone_is_not_given_to_who_has_its_place() {
    with_server(1, |server, at| {
        let client = connect(at, &question());
        while server.shared.handover.waiting() == 0 {
            round(server);
        }
        let gone = token(server);
        server.streams.post(0, [Letter::Reply(gone, [1, 2, 3].into())]);
        drop(client);
        while server.open > 0 {
            round(server);
        }
        let client = connect(at, &[]);
        while server.open == 0 {
            round(server);
        }
        assert_eq!(token(server).place, gone.place);
        server.streams.post(0, [Letter::Reply(gone, [1, 2, 3].into()), Letter::End(gone)]);
        round(server);
        assert!(server.peers.iter().flatten().all(|peer| peer.connection.held() == 0));
        client.set_nonblocking(true).expect("a client");
        assert_eq!(client.peek(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_asked_lately_or_waits_for_a_reply_is_not_idle() {
    with_server(1, |server, at| {
        let mut clients = [1, 2].map(|open| {
            let client = connect(at, &[]);
            while server.open < open {
                round(server);
            }
            client
        });
        let asker = token(server);
        for client in &mut clients {
            client.write_all(&question()).expect("room");
        }
        server.poller.wait(1000).expect("a look");
        turn(server, asker, IDLE - 1); // the other one's is not looked at
        let (_, leaver) = server.streams.places.take_where(true, [127, 0, 0, 1].into(), 1, IDLE);
        assert_ne!(leaver.map(|leaver| leaver.token), Some(asker), "it is not the idlest");
        let open = |server: &mut Server, now| {
            server.now = now;
            server.sweep();
            server.open
        };
        let begun = server.peers.iter().flatten().map(|peer| peer.active).min().expect("a connection");
        assert_eq!((open(server, begun + IDLE - 1), open(server, begun + IDLE)), (2, 1));
        assert_eq!(token(server), asker);
        assert_eq!(open(server, IDLE - 1 + IDLE + OWED - 1), 1, "Python owes it a reply");
        assert_eq!(open(server, IDLE - 1 + IDLE + OWED), 0);
        assert_eq!(server.swept, server.now);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_that_goes_on_stands_in_line_once_and_lends_its_room_to_all() {
    with_server(1, |server, at| {
        let _client = connect(at, &three_turns());
        while server.ready.is_empty() {
            round(server);
        }
        assert!(server.room.capacity() >= CHUNK);
        let one = token(server);
        turn(server, one, 0); // as a letter for it would
        assert_eq!(server.ready.len(), 1);
        assert!(server.room.capacity() >= CHUNK);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn where_more_waits_than_may_who_has_most_of_it_goes() {
    with_server(1, |server, at| {
        let part = [&[0xFF, 0xFF][..], &[0; BYTES * 6 / 10]].concat();
        let _clients = [0, 1].map(|_| connect(at, &part));
        while server.streams.closed().last() != Some(("backlog", 1)) {
            round(server);
        }
        assert_eq!(server.open, 1);
        assert!(server.streams.places.bytes() <= part.len());
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_waits_for_one_that_is_ended_is_forgotten_and_it_is_told() {
    with_server(1, |server, at| {
        let mut client = connect(at, &[]);
        round(server);
        fill(server);
        server.now = IDLE + 1000 * SWEEP;
        server.sweep();
        assert_eq!(server.open, 0);
        let said = client.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(said, Err(ErrorKind::ConnectionReset), "else the kernel would keep it for minutes");
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn it_waits_until_something_is_due_that_no_descriptor_tells_of() {
    with_server(1, |server, _| {
        assert_eq!(server.patience(), -1);
        server.open = 1;
        assert_eq!(server.patience(), 1001, "idle ones are looked for");
        server.lacking = Some(0);
        assert_eq!(server.patience(), 100);
        server.phase = Phase::Leaving;
        assert_eq!(server.patience(), 5);
        server.ready.push_back(Token { place: 0, turn: 0 });
        assert_eq!(server.patience(), 0);
    });
}
