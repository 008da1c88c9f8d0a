//! What becomes of a connection whose place others had before its thread was told.

use super::*;
use crate::cache::Cache;
use crate::connection::TURN;
use crate::handover::Fault;
use crate::streams::Limits;
use std::io::Write;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A connection as a thread takes it, with the client's side.
fn connection(listener: &TcpListener) -> (TcpStream, TcpStream, SocketAddr) {
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (stream, address) = listener.accept().expect("a connection");
    (client, stream, address)
}

/// Of one place: a connection of thread 0, then one of thread 1 that came and went, then another of thread
/// 0. `told`: whether its thread had the letter by then.
fn judge(told: bool) {
    let limits = Limits { connections: 1, bytes: 1000, idle: Duration::from_secs(10) };
    let streams = Streams::new(2, limits).expect("streams");
    let shared = Shared::new(1, Arc::new(Cache::new(0, 0, 0.0))).expect("shared");
    let counters = Counters::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let watch = Watch::new(&streams, 0, Vec::new()).expect("a poller");
    let mut server = Server::new(&shared, &streams, &counters, 0, watch);

    let (mut first, stream, address) = connection(&listener);
    server.welcome(stream, address);
    let (token, leaver) = streams.places.take(address.ip(), 1, 1);
    let leaver = leaver.expect("the first one has to go");
    assert_eq!(leaver.thread, 0);
    streams.places.release(token, 0);
    if told {
        server.let_go(leaver.token);
    }
    let (_second, stream, address) = connection(&listener);
    server.welcome(stream, address);
    server.let_go(leaver.token);

    assert_eq!(server.open, 1);
    assert_eq!(streams.places.taken(), 1);
    assert_eq!(streams.closed().collect::<Vec<_>>(), [("idle", 0), ("limit", 1), ("backlog", 0)]);
    assert_eq!(first.read(&mut [0]).ok(), Some(0), "it is closed");
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_made_room_counts_once_whether_its_thread_is_told_first_or_its_place_is_taken_again() {
    judge(true);
    judge(false);
}

/// A thread that serves so many connections at most, and the clients' side of it.
struct Hall<'a> {
    server: Server<'a>,
    listener: TcpListener,
}

impl Hall<'_> {
    /// What `act` does with one.
    fn open(connections: usize, act: impl FnOnce(&mut Hall, &Counters)) {
        let limits = Limits { connections, bytes: 64 << 20, idle: Duration::from_secs(10) };
        let streams = Streams::new(1, limits).expect("streams");
        let shared = Shared::new(1 << 20, Arc::new(Cache::new(0, 0, 0.0))).expect("shared");
        let counters = Counters::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let watch = Watch::new(&streams, 0, Vec::new()).expect("a poller");
        let server = Server::new(&shared, &streams, &counters, 0, watch);
        act(&mut Hall { server, listener }, &counters);
    }

    /// A client that has sent these bytes.
    fn welcome(&mut self, bytes: &[u8]) -> TcpStream {
        let (mut client, stream, address) = connection(&self.listener);
        self.server.welcome(stream, address);
        client.write_all(bytes).expect("room");
        client
    }

    fn has_asked(&self, client: &TcpStream) -> bool {
        let address = client.local_addr().expect("an address");
        self.server.peers.iter().flatten().any(|peer| peer.address == address && peer.connection.has_asked())
    }

    fn round(&mut self) {
        let happened = self.server.poller.wait(0).expect("a look");
        self.server.within_walls(happened);
    }

    /// What the threads told of panics.
    fn told(&self) -> usize {
        let faults = self.server.shared.handover.take_faults();
        faults.iter().filter(|fault| matches!(fault, Fault::Elsewhere(_))).count()
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn question() -> Vec<u8> {
    [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01x\0\0\x01\0\x01"].concat()
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_asks_one_question_waits_for_few_of_those_that_ask_without_an_end() {
    const CROWD: usize = 100;
    let reply = framed(&[0x80; 12]); // which nobody answers: it is counted that it came
    // The first is slowed only by who asks now, the second for what asks nothing as well.
    for turn in [[reply.repeat(TURN - 1), framed(&question())].concat(), reply.repeat(TURN)] {
        Hall::open(CROWD + 1, |hall, counters| {
            let _crowd: Vec<_> = (0..CROWD).map(|_| hall.welcome(&turn.repeat(16))).collect();
            while hall.server.ready.len() + hall.server.paused.len() < CROWD {
                hall.round();
            }
            let before = counters.dropped.get();
            let lone = hall.welcome(&framed(&question()));
            while !hall.has_asked(&lone) {
                hall.round();
            }
            let meanwhile = (counters.dropped.get() - before) as usize;
            assert!(meanwhile <= 2 * TURNS * TURN, "{meanwhile}");
            while hall.server.ready.len() + hall.server.paused.len() > 0 {
                hall.round();
            }
            let of_a_turn = turn.windows(14).filter(|window| *window == reply).count();
            assert_eq!(counters.dropped.get() as usize, CROWD * 16 * of_a_turn);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_asks_nothing_is_read_no_faster_than_a_chunk_a_pause() {
    Hall::open(1, |hall, _| {
        let began = hall.server.streams.now();
        let client = hall.welcome(&[vec![0; 8 * CHUNK], framed(&question())].concat());
        let mut slept = false;
        while !hall.has_asked(&client) {
            hall.round();
            slept |= hall.server.patience() > 0;
        }
        assert!(slept && hall.server.streams.now() >= began + 8 * PAUSE);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_panic_over_a_connection_ends_it_alone_and_is_told() {
    Hall::open(2, |hall, counters| {
        let mut broken = hall.welcome(&[]);
        let peer = hall.server.peers.iter_mut().flatten().next().expect("a connection");
        // More was sent than there was: whoever looks at what is unsent panics from now on.
        let spoilt = catch_unwind(AssertUnwindSafe(|| peer.connection.sent(1)));
        assert!(spoilt.is_err());
        broken.write_all(&framed(&question())).expect("room");
        let other = hall.welcome(&framed(&question()));
        while !hall.has_asked(&other) {
            hall.round();
        }
        assert_eq!((hall.server.open, hall.server.streams.places.taken()), (1, 1));
        assert_eq!((hall.told(), counters.panics.get()), (1, 1));
        assert!(matches!(broken.read(&mut [0]), Ok(0) | Err(_)), "it is closed");
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_panic_between_connections_is_told_and_the_thread_goes_on() {
    Hall::open(1, |hall, counters| {
        hall.server.swept = u64::MAX; // no sum with it is a time
        let client = hall.welcome(&framed(&question()));
        while !hall.has_asked(&client) {
            hall.round();
        }
        hall.round();
        assert!(counters.panics.get() >= 2);
        assert_eq!(hall.told(), counters.panics.get() as usize);
    });
}
