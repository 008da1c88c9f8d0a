//! The way of a packet from the threads to Python: a bounded queue, and a descriptor to watch.
//!
//! Rules: a thread never waits for Python, nor for a lock that Python has: who holds one may lose its core
//! for milliseconds. Datagrams that find the queue full are dropped; a stream's queries wait with their client, long before that.

use crate::places::Token;
use crate::socket::Origin;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
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
}

/// A packet that a thread died on, and what it said; or, without one, what is lacking here for new connections.
pub struct Fault {
    pub packet: Box<[u8]>,
    pub what: String,
}

const FAULTS: usize = 100;

/// Queries over TCP have room of their own, so that datagrams can't take it: a part of the others', since
/// they can wait where they are.
const STREAMS: usize = 8;

pub struct Handover {
    sender: Sender<Handed>,
    /// For Python alone.
    receiver: Mutex<Receiver<Handed>>,
    /// Of what was handed over, how much is not taken. Below 0 for a moment, where some was taken before it
    /// was counted.
    length: AtomicIsize,
    /// Those of the queue that came over TCP.
    streams: AtomicUsize,
    bound: usize,
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
            receiver: Mutex::new(receiver),
            length: AtomicIsize::new(0),
            streams: AtomicUsize::new(0),
            bound,
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
        self.waiting() + more < self.bound + self.streams.load(Ordering::Relaxed)
    }

    /// The same for a query over TCP.
    pub fn has_room_for_streams(&self, more: usize) -> bool {
        self.streams.load(Ordering::Relaxed) + more < self.bound / STREAMS
    }

    /// Hands over what a thread has put together. It rings once for all that comes while some waits.
    pub fn put(&self, round: &mut Vec<Handed>) {
        if round.is_empty() {
            return;
        }
        let more = round.len() as isize;
        self.streams.fetch_add(round.iter().filter(|handed| handed.is_stream()).count(), Ordering::Relaxed);
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

    /// At most `most` packets; where more wait, the descriptor stays readable.
    pub fn take(&self, most: usize) -> Vec<Handed> {
        // Emptied before the queue is read: a ring in between is heard again, never missed.
        while matches!((&self.watched).read(&mut [0; 64]), Ok(64)) {}
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Handed> = receiver.try_iter().take(most).collect();
        drop(receiver);
        self.streams.fetch_sub(taken.iter().filter(|handed| handed.is_stream()).count(), Ordering::Relaxed);
        let less = taken.len() as isize;
        if self.length.fetch_sub(less, Ordering::AcqRel) > less {
            self.ring();
        }
        taken
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

    fn handed(n: u8) -> Handed {
        let origin = Origin { peer: "127.0.0.1:9".parse().unwrap(), local: None };
        let way = Way::Datagram { socket: 0, origin };
        Handed { packet: [n].into(), way, sampled: false, since: Instant::now() }
    }

    #[test]
    fn the_bell_rings_when_the_queue_fills_and_when_some_is_left() {
        let handover = Handover::new(16).unwrap();
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

    fn streamed(n: u8) -> Handed {
        let (token, peer) = (Token { place: 0, turn: 0 }, "127.0.0.1:9".parse().unwrap());
        Handed { way: Way::Stream { thread: 0, token, peer }, ..handed(n) }
    }

    #[test]
    fn datagrams_and_streams_can_not_take_each_others_room() {
        let handover = Handover::new(16).unwrap();
        assert!(handover.has_room(15) && !handover.has_room(16));
        assert!(handover.has_room_for_streams(1) && !handover.has_room_for_streams(2));
        handover.put(&mut (0..16).map(handed).collect());
        assert!(!handover.has_room(0) && handover.has_room_for_streams(1));
        handover.put(&mut (0..2).map(streamed).collect());
        assert!(!handover.has_room(0) && !handover.has_room_for_streams(0));
        handover.take(4);
        assert!(handover.has_room(3) && !handover.has_room(4));
        handover.take(14);
        assert!(handover.has_room(15) && !handover.has_room(16));
        assert!(handover.has_room_for_streams(1) && !handover.has_room_for_streams(2));
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
                        handover.put(&mut (0..n % 11).map(|n| handed(n as u8)).collect());
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
