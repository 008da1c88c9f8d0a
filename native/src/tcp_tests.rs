//! What becomes of a connection whose place others had before its thread was told.

use super::*;
use crate::cache::Cache;
use crate::streams::Limits;
use std::io::Write;
use std::net::TcpListener;
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

#[test]
#[cfg_attr(miri, ignore)]
fn who_asks_one_question_waits_for_few_of_those_that_ask_without_an_end() {
    const CROWD: usize = 100;
    let limits = Limits { connections: CROWD + 1, bytes: 64 << 20, idle: Duration::from_secs(10) };
    let streams = Streams::new(1, limits).expect("streams");
    let shared = Shared::new(100, Arc::new(Cache::new(0, 0, 0.0))).expect("shared");
    let counters = Counters::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let watch = Watch::new(&streams, 0, Vec::new()).expect("a poller");
    let mut server = Server::new(&shared, &streams, &counters, 0, watch);
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
    let welcome = |server: &mut Server, bytes: &[u8]| {
        let (mut client, stream, address) = connection(&listener);
        server.welcome(stream, address);
        client.write_all(bytes).expect("room");
        client
    };
    let round = |server: &mut Server| {
        let happened = server.poller.wait(0).expect("a look");
        server.round(happened);
    };
    let junk = framed(&[0x80; 12]).repeat(1000); // replies, which nobody answers: it is counted that they came
    let _crowd: Vec<_> = (0..CROWD).map(|_| welcome(&mut server, &junk)).collect();
    while server.ready.len() < CROWD {
        round(&mut server);
    }
    let before = counters.dropped.get();
    let question = [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01x\0\0\x01\0\x01"].concat();
    let _lone = welcome(&mut server, &framed(&question));
    while counters.passed.get() == 0 {
        round(&mut server);
    }
    let meanwhile = (counters.dropped.get() - before) as usize;
    assert!(meanwhile <= 2 * TURNS * crate::connection::TURN, "{meanwhile}");
    while !server.ready.is_empty() {
        round(&mut server);
    }
    assert_eq!(counters.dropped.get() as usize, CROWD * 1000);
}
