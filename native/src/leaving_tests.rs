//! How a thread comes to its end, step by step: its clock is told by hand.

use super::super::steps::{connect, fill, question, three_turns, with_server};
use super::*;
use crate::connection::Need;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// Follows the phase, so long after it was first seen.
fn follow(server: &mut Server, after: u64) {
    server.now = server.since + after;
    let table = server.shared.table.load();
    let mut round = server.asker.begin(&table);
    server.follow(&mut round);
    server.asker.end(round);
}

/// Somebody enters a phase, and waits until all threads have done what it asks of them in `steps`.
fn enter(server: &mut Server, phase: Phase, steps: impl FnOnce(&mut Server)) {
    let streams = server.streams;
    thread::scope(|scope| {
        let entering = scope.spawn(|| streams.enter(phase));
        while streams.phase() < phase {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(10));
        assert!(!entering.is_finished(), "nobody has done it");
        steps(server);
        assert!(server.told);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_had_begun_to_connect_is_taken_and_may_ask_and_nobody_else_begins() {
    with_server(1, |server, at| {
        let mut client = connect(at, &[]);
        enter(server, Phase::Leaving, |server| {
            follow(server, 0);
            follow(server, SETTLE - 1);
            assert_eq!(server.listeners.len(), 1, "a handshake may be under way");
            assert!(TcpStream::connect_timeout(&at, Duration::from_millis(50)).is_err());
            follow(server, SETTLE);
            assert_eq!((server.listeners.len(), server.open, server.told), (0, 1, false));
            client.write_all(&question()).expect("room");
            while !server.have_all_asked() {
                let happened = server.poller.wait(1000).expect("a look");
                server.round(happened);
            }
            follow(server, SETTLE);
        });
        enter(server, Phase::Finishing, |server| follow(server, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_asks_nothing_is_waited_for_no_longer_than_a_moment() {
    with_server(1, |server, at| {
        let _client = connect(at, &[]);
        enter(server, Phase::Leaving, |server| {
            follow(server, 0);
            follow(server, GRACE - 1);
            assert_eq!((server.open, server.told), (1, false));
            follow(server, GRACE);
        });
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_has_come_is_taken_to_its_end_and_then_nothing_more() {
    with_server(1, |server, at| {
        let _clients = [0, 1].map(|_| connect(at, &[three_turns(), question()].concat()));
        enter(server, Phase::Finishing, |server| {
            follow(server, 0);
            assert_eq!((server.open, server.ready.len(), server.told), (2, 2, false));
            while !server.ready.is_empty() {
                server.round(0);
            }
            follow(server, 0);
        });
        assert_eq!(server.shared.handover.waiting(), 2 * 4);
        server.peers.iter_mut().flatten().for_each(|peer| (0..4).for_each(|_| peer.connection.reply(&[])));
        assert!(server.peers.iter().flatten().all(|peer| peer.connection.need() == Need::Room));
        server.peers.iter_mut().flatten().for_each(|peer| peer.connection.sent(2 * 4));
        assert!(server.peers.iter().flatten().all(|peer| peer.connection.need() == Need::Close));
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_has_all_replies_is_told_so_and_what_it_still_sends_is_read_and_not_heeded() {
    with_server(1, |server, at| {
        let mut client = connect(at, &[]);
        enter(server, Phase::Finishing, |server| follow(server, 0));
        assert_eq!(client.read(&mut [0]).ok(), Some(0));
        assert_eq!(server.poller.wait(0).ok(), Some(1), "the bell");
        server.round(1);
        client.write_all(&question()).expect("room");
        assert_eq!(server.poller.wait(1000).ok(), Some(1));
        server.round(1);
        assert_eq!((server.open, server.shared.handover.waiting()), (1, 0));
        let peer = server.peers.iter().flatten().next().expect("a connection");
        let left = peer.stream.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(
            left,
            Err(ErrorKind::WouldBlock),
            "else it would be told by a RST, before its last replies"
        );
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_sent_more_than_there_is_time_for_is_left() {
    with_server(1, |server, at| {
        let _client = connect(at, &three_turns());
        enter(server, Phase::Finishing, |server| {
            follow(server, 0);
            follow(server, GRACE - 1);
            assert!(!server.told);
            follow(server, GRACE);
            assert!(!server.ready.is_empty());
        });
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn who_does_not_read_its_last_replies_is_waited_for_no_longer_than_a_moment_and_forgotten() {
    with_server(1, |server, at| {
        let mut client = connect(at, &question());
        enter(server, Phase::Finishing, |server| follow(server, 0));
        fill(server);
        enter(server, Phase::Closing, |server| follow(server, 0));
        server.now = server.since + GRACE - 1;
        assert!(!server.is_over());
        server.now = server.since + GRACE;
        assert!(server.is_over());
        assert_eq!(server.open, 0);
        let said = client.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(said, Err(ErrorKind::ConnectionReset), "else the kernel would keep it for minutes");
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_one_thread_has_done_counts_once_and_one_that_says_nothing_keeps_nobody_for_ever() {
    with_server(2, |server, _| {
        let streams = server.streams;
        thread::scope(|scope| {
            let entering = scope.spawn(|| streams.enter(Phase::Finishing));
            while streams.phase() < Phase::Finishing {
                thread::yield_now();
            }
            (0..3).for_each(|_| follow(server, 0));
            thread::sleep(Duration::from_millis(20));
            assert!(!entering.is_finished(), "the other thread has not done it");
        });
        assert!(server.is_over(), "nobody is there to be waited for");
    });
}
