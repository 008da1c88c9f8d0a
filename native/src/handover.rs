//! The way of a packet from the threads to Python: a bounded queue, and a descriptor to watch.
//!
//! Rules: a thread never waits for Python, nor for a lock that Python has: who holds one may lose its core
//! for milliseconds. What has come waits for its client's turn. Datagrams that find the queue full, or their
//! client's part of it, are dropped; a stream's queries wait with their client, long before that.

use crate::line::Line;
use crate::places::{Network, Token};
use crate::socket::Origin;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The way that a query came by, and its reply goes back.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// By the socket of this number.
    Datagram { socket: usize, origin: Origin },
    /// By a connection of the thread of this number.
    Stream { thread: usize, token: Token, peer: SocketAddr },
}

impl Way {
    pub fn peer(&self) -> SocketAddr {
        match self {
            Way::Datagram { origin, .. } => origin.peer,
            Way::Stream { peer, .. } => *peer,
        }
    }
}

pub struct Handed {
    pub packet: Box<[u8]>,
    pub way: Way,
    /// Python would not have to answer it: the query log is to have it.
    pub sampled: bool,
    pub since: Instant,
}

impl Handed {
    fn is_stream(&self) -> bool {
        matches!(self.way, Way::Stream { .. })
    }

    /// Whether its client's part of the room is of no account: a connection waits for each of its replies, and
    /// a query log costs nobody an answer.
    fn is_due(&self) -> bool {
        self.is_stream() || self.sampled
    }
}

/// What Python alone has its hands on. `due`: those of the line that go in whatever room there is.
struct Inbox {
    receiver: Receiver<Handed>,
    line: Line<Network, Handed>,
    due: usize,
}

impl Inbox {
    /// Has what was handed over wait for its turn. How many there was no room for.
    fn line_up(&mut self) -> usize {
        let mut dropped = 0;
        for handed in self.receiver.try_iter() {
            let client = Network::of_one(handed.way.peer().ip());
            if handed.is_due() {
                self.due += 1;
            } else if !self.line.has_room(&client, self.due) {
                dropped += 1;
                continue;
            }
            self.line.put(client, handed);
        }
        dropped
    }

    fn take(&mut self) -> Option<Handed> {
        let taken = self.line.take()?;
        self.due -= usize::from(taken.is_due());
        Some(taken)
    }
}

/// What a thread has to tell of itself, each with what was said.
pub enum Fault {
    /// A panic over the answer to a packet.
    Packet(Box<[u8]>, String),
    /// A panic over something else.
    Elsewhere(String),
    /// What is lacking here for new connections.
    Lack(String),
}

const FAULTS: usize = 100;

/// Queries over TCP have room of their own, so that datagrams can't take it: a part of the others', since
/// they can wait where they are.
const STREAMS: usize = 8;

/// When so large a part of the room for datagrams is taken, each client is held to its own. The rest of it is for
/// what comes before Python looks again.
const LINE: usize = 8;

/// A network of clients has at most so many times what is free of the room for streams (`zkdns/forward/load.py`
/// has the same rule).
const FREE: usize = 3;

/// Bytes of packets after which no more are taken at once: one of thousands of records takes Python milliseconds,
/// and it looks at the clock between two takes.
const TAKEN: usize = 4 << 10;

/// Networks are told apart by so many values of a hash that nobody knows: two that meet share their part.
const NETWORKS: usize = 256;

/// The queries over TCP that wait: how many, and whose.
struct Waiting {
    bound: usize,
    total: AtomicUsize,
    by_network: [AtomicUsize; NETWORKS],
    hash: RandomState,
}

impl Waiting {
    fn new(bound: usize) -> Waiting {
        let by_network = std::array::from_fn(|_| AtomicUsize::new(0));
        Waiting { bound, total: AtomicUsize::new(0), by_network, hash: RandomState::new() }
    }

    fn of(&self, client: IpAddr) -> &AtomicUsize {
        &self.by_network[self.hash.hash_one(Network::of(client)) as usize % NETWORKS]
    }

    fn has_room(&self, more: usize, client: IpAddr) -> bool {
        let free = self.bound.saturating_sub(self.total.load(Ordering::Relaxed) + more);
        self.of(client).load(Ordering::Relaxed) < FREE * free
    }

    fn add(&self, of: &[Handed]) {
        for handed in of.iter().filter(|handed| handed.is_stream()) {
            self.total.fetch_add(1, Ordering::Relaxed);
            self.of(handed.way.peer().ip()).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, of: &[Handed]) {
        for handed in of.iter().filter(|handed| handed.is_stream()) {
            self.total.fetch_sub(1, Ordering::Relaxed);
            self.of(handed.way.peer().ip()).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub struct Handover {
    sender: Sender<Handed>,
    /// For Python alone.
    inbox: Mutex<Inbox>,
    /// Of what was handed over, how much is not taken. Below 0 for a moment, where some was taken before it
    /// was counted.
    length: AtomicIsize,
    /// Those of the queue that came over TCP.
    streams: Waiting,
    bound: usize,
    /// Datagrams that there was no room for in their client's part.
    beyond: AtomicUsize,
    faults: Mutex<VecDeque<Fault>>,
    bell: UnixStream,
    watched: UnixStream,
}

impl Handover {
    pub fn new(bound: usize) -> io::Result<Handover> {
        let (bell, watched) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        watched.set_nonblocking(true)?;
        let (sender, receiver) = channel();
        Ok(Handover {
            sender,
            inbox: Mutex::new(Inbox { receiver, line: Line::new((bound / LINE).max(1)), due: 0 }),
            length: AtomicIsize::new(0),
            streams: Waiting::new(bound / STREAMS),
            bound,
            beyond: AtomicUsize::new(0),
            faults: Mutex::default(),
            bell,
            watched,
        })
    }

    /// Readable while packets wait.
    pub fn descriptor(&self) -> RawFd {
        self.watched.as_raw_fd()
    }

    /// Whether a datagram has room, beside `more` that are about to come. Threads that look at the same
    /// time may overrun the bound by a round each.
    pub fn has_room(&self, more: usize) -> bool {
        self.waiting() + more < self.bound + self.streams.total.load(Ordering::Relaxed)
    }

    /// The same for a query over TCP: a network that has many waiting leaves the others room.
    pub fn has_room_for_streams(&self, more: usize, client: IpAddr) -> bool {
        self.streams.has_room(more, client)
    }

    /// Hands over what a thread has put together. It rings once for all that comes while some waits.
    pub fn put(&self, round: &mut Vec<Handed>) {
        if round.is_empty() {
            return;
        }
        let more = round.len() as isize;
        self.streams.add(round);
        for handed in round.drain(..) {
            let _ = self.sender.send(handed); // the receiver lives as long as `self`
        }
        let before = self.length.fetch_add(more, Ordering::AcqRel);
        if before <= 0 && before + more > 0 {
            self.ring();
        }
    }

    pub fn report(&self, fault: Fault) {
        let mut faults = self.faults.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if faults.len() < FAULTS {
            faults.push_back(fault);
        }
        drop(faults);
        self.ring();
    }

    pub fn ring(&self) {
        let _ = (&self.bell).write(&[0]); // full: it rings already
    }

    /// At most `most` packets, and fewer of long ones, their clients in turn; where more wait, the descriptor
    /// stays readable.
    pub fn take(&self, most: usize) -> Vec<Handed> {
        // Emptied before the queue is read: a ring in between is heard again, never missed.
        while matches!((&self.watched).read(&mut [0; 64]), Ok(64)) {}
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = inbox.line_up();
        let mut room = TAKEN;
        let taken: Vec<Handed> = iter::from_fn(|| {
            let one = if room > 0 { inbox.take() } else { None }?;
            room = room.saturating_sub(one.packet.len());
            Some(one)
        })
        .take(most)
        .collect();
        drop(inbox);
        self.streams.remove(&taken);
        self.beyond.fetch_add(dropped, Ordering::Relaxed);
        let less = (taken.len() + dropped) as isize;
        if self.length.fetch_sub(less, Ordering::AcqRel) > less {
            self.ring();
        }
        taken
    }

    /// How many datagrams were more than their client's part.
    pub fn beyond(&self) -> usize {
        self.beyond.load(Ordering::Relaxed)
    }

    pub fn waiting(&self) -> usize {
        self.length.load(Ordering::Relaxed).max(0) as usize
    }

    pub fn take_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        faults.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Interest, Poller};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 9, 1));

    fn handed(n: u8) -> Handed {
        let origin = Origin { peer: "127.0.0.1:9".parse().unwrap(), local: None };
        let way = Way::Datagram { socket: 0, origin };
        Handed { packet: [n].into(), way, sampled: false, since: Instant::now() }
    }

    #[test]
    fn the_bell_rings_when_the_queue_fills_and_when_some_is_left() {
        let handover = Handover::new(80).unwrap();
        let rang = || matches!((&handover.watched).read(&mut [0]), Ok(1));
        handover.put(&mut Vec::new());
        assert!(!rang());
        handover.put(&mut (0..3).map(handed).collect());
        assert!(rang());
        assert_eq!(handover.take(2).iter().map(|h| h.packet[0]).collect::<Vec<_>>(), [0, 1]);
        assert!(rang());
        assert_eq!(handover.take(9).len(), 1);
        assert!(!rang());
        handover.put(&mut vec![handed(9)]);
        assert!(rang());
    }

    #[test]
    fn what_was_taken_before_it_was_counted_leaves_the_rest_rung_for() {
        let handover = Handover::new(80).unwrap();
        let rang = || matches!((&handover.watched).read(&mut [0]), Ok(1));
        handover.sender.send(handed(0)).unwrap(); // another thread's, that has not come to count it
        assert_eq!((handover.take(9).len(), handover.waiting(), rang()), (1, 0, false));
        handover.put(&mut (1..3).map(handed).collect());
        assert!(rang());
    }

    #[test]
    fn faults_are_bounded_and_rung_for_and_no_ring_is_left_when_all_is_taken() {
        let handover = Handover::new(80).unwrap();
        let rang = || matches!((&handover.watched).read(&mut [0]), Ok(1));
        for _ in 0..2 * FAULTS {
            handover.report(Fault::Lack(String::new()));
        }
        assert!(rang());
        assert_eq!((handover.take_faults().len(), handover.take_faults().len()), (FAULTS, 0));
        assert!(handover.take(1).is_empty() && !rang());
    }

    #[test]
    fn of_long_packets_fewer_are_taken_at_once() {
        let handover = Handover::new(80).unwrap();
        let long = |n| Handed { packet: vec![n; TAKEN / 2].into(), ..handed(n) };
        handover.put(&mut (0..5).map(long).collect());
        let taken = || handover.take(9).iter().map(|h| h.packet[0]).collect::<Vec<_>>();
        assert_eq!(taken(), [0, 1]);
        assert!(matches!((&handover.watched).read(&mut [0]), Ok(1)));
        assert_eq!((taken(), taken(), taken()), (vec![2, 3], vec![4], vec![]));
    }

    fn streamed(n: u8) -> Handed {
        let (token, peer) = (Token { place: 0, turn: 0 }, "127.0.0.1:9".parse().unwrap());
        Handed { way: Way::Stream { thread: 0, token, peer }, ..handed(n) }
    }

    #[test]
    fn datagrams_and_streams_can_not_take_each_others_room() {
        let handover = Handover::new(16).unwrap();
        assert!(handover.has_room(15) && !handover.has_room(16));
        assert!(handover.has_room_for_streams(1, HERE) && !handover.has_room_for_streams(2, HERE));
        handover.put(&mut (0..16).map(handed).collect());
        assert!(!handover.has_room(0) && handover.has_room_for_streams(1, HERE));
        handover.put(&mut (0..2).map(streamed).collect());
        assert!(!handover.has_room(0) && !handover.has_room_for_streams(0, HERE));
        assert_eq!((handover.take(3).len(), handover.beyond()), (3, 14), "one client's part is two");
        assert!(handover.has_room(15) && !handover.has_room(16));
        assert_eq!(handover.take(9).len(), 1);
        assert!(handover.has_room_for_streams(1, HERE) && !handover.has_room_for_streams(2, HERE));
    }

    fn from(client: u8, n: u8) -> Handed {
        let origin = Origin { peer: ([127, 0, 0, client], 9).into(), local: None };
        Handed { way: Way::Datagram { socket: 0, origin }, ..handed(n) }
    }

    #[test]
    fn a_client_that_floods_keeps_nobody_waiting_and_nobody_out() {
        let handover = Handover::new(80).unwrap(); // ten wait before clients are held to their part
        handover.put(&mut (0..40).map(|n| from(1, n)).collect());
        handover.put(&mut vec![from(2, 50), from(3, 60)]);
        let taken = handover.take(4);
        assert_eq!(taken.iter().map(|h| h.packet[0]).collect::<Vec<_>>(), [0, 50, 60, 1]);
        assert_eq!((handover.beyond(), handover.waiting()), (30, 8));
        handover.put(&mut vec![from(4, 70)]);
        assert_eq!(handover.take(1)[0].packet[0], 70);
    }

    #[test]
    fn a_network_with_many_connections_leaves_others_room_for_what_they_ask_over_theirs() {
        let handover = Handover::new(STREAMS * 16).unwrap();
        handover.put(&mut (0..11).map(streamed).collect());
        assert!(handover.has_room_for_streams(0, HERE));
        handover.put(&mut vec![streamed(11)]);
        assert!(!handover.has_room_for_streams(0, HERE) && handover.has_room_for_streams(3, THERE));
        assert!(!handover.has_room_for_streams(4, THERE));
        handover.take(1);
        assert!(handover.has_room_for_streams(0, HERE));
    }

    #[test]
    fn what_is_due_to_a_connection_or_to_the_log_is_never_beyond_a_part_and_takes_nobody_elses() {
        let handover = Handover::new(80).unwrap();
        handover.put(&mut (0..30).map(|n| Handed { sampled: true, ..from(1, n) }).collect());
        handover.put(&mut (0..10).map(streamed).collect());
        handover.put(&mut (0..10).map(|n| from(2, n)).collect());
        assert_eq!((handover.take(50).len(), handover.beyond(), handover.waiting()), (50, 0, 0));
        handover.put(&mut (0..12).map(|n| from(2, n)).collect());
        assert_eq!(
            (handover.take(50).len(), handover.beyond()),
            (10, 2),
            "and nothing of it is left to count"
        );
    }

    #[test]
    fn whatever_threads_hand_over_while_some_is_taken_is_rung_for() {
        const THREADS: usize = 3;
        const EACH: usize = 5000;
        let handover = Handover::new(THREADS * EACH).unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(handover.descriptor(), 0, Interest { read: true, write: false }).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for n in 0..EACH / 5 {
                        let sampled = |n| Handed { sampled: true, ..handed(n as u8) };
                        handover.put(&mut (0..n % 11).map(sampled).collect());
                    }
                });
            }
            let all = THREADS * (0..EACH / 5).map(|n| n % 11).sum::<usize>();
            let mut taken = 0;
            while taken < all {
                assert!(poller.wait(10_000).unwrap() > 0, "{taken} of {all}, and nobody rings");
                taken += handover.take(7).len();
            }
        });
        assert_eq!((handover.take(7).len(), handover.waiting()), (0, 0));
    }
}
