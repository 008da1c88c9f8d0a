//! Rounds of one thread, made by hand: what is given here, what is Python's, and what is counted of it.

use super::*;
use crate::prefix::Prefixes;
use crate::socket::{Interest, Poller};
use crate::stored::{Given, Stored};
use std::net::{Ipv4Addr, UdpSocket};

const QUESTION: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01";

/// A thread's part, whose rounds the test makes itself. What an upstream said of x is kept, and is fetched
/// anew as soon as it was asked for often.
struct Rig {
    shared: Shared,
    socket: Socket,
    counters: Counters,
    client: UdpSocket,
}

impl Rig {
    fn new(bound: usize) -> Rig {
        let cache = Arc::new(Cache::new(1 << 20, 10, 0.0));
        let given = Given {
            key: b"\x01x\0\0\x01\0\x01\0",
            body: &[],
            records: &[],
            counts: [0; 3],
            flags: [0x80, 0x80],
            others: &[],
            errors: &[],
            stored_at: 0.0,
            expires: f64::MAX,
            renew_at: 0.0,
        };
        cache.put(Stored::new(&given).expect("one that fits"), 0, 0.0);
        let shared = Shared::new(bound, cache).expect("shared");
        let recursion = Prefixes::new(&[(Ipv4Addr::LOCALHOST.into(), 8, ())]);
        let mut table = Table::default();
        table.recursion = recursion;
        shared.table.store(Arc::new(table));
        let socket = Socket::bind(([127, 0, 0, 1], 0).into(), 1 << 20).expect("a socket");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a client");
        client.connect(socket.udp.local_addr().expect("an address")).expect("connected");
        Rig { shared, socket, counters: Counters::default(), client }
    }

    /// The question is asked so often in one round.
    fn ask(&self, times: usize) {
        (0..times).for_each(|_| assert!(self.client.send(QUESTION).is_ok()));
        let mut batch = Batch::new(false, UDP_LIMIT);
        let got = batch.receive(&self.socket, libc::MSG_WAITFORONE).expect("packets");
        assert_eq!(got, times);
        Round::new(&self.shared, &self.socket, &self.counters, 0).within_walls(&mut batch, got);
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_upstreams_said_is_given_and_counted_and_python_is_woken_once_it_is_due() {
    let rig = Rig::new(16);
    let mut poller = Poller::new().expect("a poller");
    poller.add(rig.shared.handover.descriptor(), 1, Interest { read: true, write: false }).expect("added");
    rig.ask(3);
    assert_eq!((poller.wait(0).expect("looked"), rig.counters.cached.get()), (0, 3));
    rig.ask(1);
    assert_eq!((poller.wait(0).expect("looked"), rig.counters.cached.get()), (1, 4));
    assert_eq!(rig.shared.cache.take_due().len(), 1);
    (0..4).for_each(|_| assert_eq!(rig.client.recv(&mut [0; 99]).expect("a reply"), QUESTION.len()));
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_query_that_the_log_has_no_room_for_is_answered_here() {
    let rig = Rig::new(1);
    rig.shared.sample.store(1, Ordering::Relaxed);
    rig.ask(3);
    assert_eq!(rig.shared.handover.take(16).len(), 1);
    assert_eq!((rig.counters.cached.get(), rig.counters.overflowed.get()), (2, 0));
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_is_for_python_and_finds_no_room_is_counted_as_that() {
    let rig = Rig::new(1);
    rig.shared.table.store(Arc::default());
    rig.ask(3);
    assert_eq!(rig.shared.handover.take(16).len(), 1);
    assert_eq!((rig.counters.overflowed.get(), rig.counters.dropped.get()), (2, 0));
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_panic_outside_an_answer_costs_its_round_and_is_told() {
    let shared = Shared::new(16, Arc::new(Cache::new(0, 0, 0.0))).expect("shared");
    let socket = Socket::bind(([127, 0, 0, 1], 0).into(), 1 << 20).expect("a socket");
    let counters = Counters::default();
    let mut round = Round::new(&shared, &socket, &counters, 0);
    let mut batch = Batch::new(false, UDP_LIMIT);
    let client = UdpSocket::bind("127.0.0.1:0").expect("a client");
    for rounds in [u64::MAX, 0] {
        round.rounds = rounds; // the first can't be counted any further
        client.send_to(QUESTION, socket.udp.local_addr().expect("an address")).expect("sent");
        let got = batch.receive(&socket, libc::MSG_WAITFORONE).expect("a packet");
        round.within_walls(&mut batch, got);
    }
    assert_eq!((counters.panics.get(), shared.handover.take(16).len()), (1, 1));
    let told = shared.handover.take_faults();
    assert!(matches!(&told[..], [Fault::Elsewhere(what)] if what.contains("overflow")));
}
