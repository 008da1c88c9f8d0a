//! The way of a packet from the threads to Python: a bounded queue, and a descriptor to watch.
//!
//! Rules: a thread never waits for Python; a full queue costs a packet and nothing more.

use crate::socket::Origin;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub struct Handed {
    pub packet: Box<[u8]>,
    pub origin: Origin,
    /// The number of the socket that it came in by.
    pub socket: usize,
    /// Python would not have to answer it: the query log is to have it.
    pub sampled: bool,
    pub since: Instant,
}

/// A packet that a thread died on, and what it said.
pub struct Fault {
    pub packet: Box<[u8]>,
    pub what: String,
}

const FAULTS: usize = 100;

pub struct Handover {
    queue: Mutex<VecDeque<Handed>>,
    length: AtomicUsize,
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
        Ok(Handover {
            queue: Mutex::default(),
            length: AtomicUsize::new(0),
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

    /// Whether there was room. The packet is copied only where there is.
    pub fn put(&self, packet: &[u8], origin: Origin, socket: usize, sampled: bool) -> bool {
        if self.length.load(Ordering::Relaxed) >= self.bound {
            return false;
        }
        let handed = Handed { packet: packet.into(), origin, socket, sampled, since: Instant::now() };
        let mut queue = self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.push_back(handed);
        let waiting = queue.len();
        self.length.store(waiting, Ordering::Relaxed);
        drop(queue);
        if waiting == 1 {
            self.ring();
        }
        true
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
        let mut queue = self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let most = most.min(queue.len());
        let taken = queue.drain(..most).collect();
        let left = queue.len();
        self.length.store(left, Ordering::Relaxed);
        drop(queue);
        if left > 0 {
            self.ring();
        }
        taken
    }

    pub fn waiting(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub fn take_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        faults.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { peer: "127.0.0.1:9".parse().unwrap(), local: None }
    }

    #[test]
    fn the_bell_rings_when_the_queue_fills_and_when_some_is_left() {
        let handover = Handover::new(3).unwrap();
        let rang = || matches!((&handover.watched).read(&mut [0]), Ok(1));
        assert!(!rang());
        for n in 0..5u8 {
            assert_eq!(handover.put(&[n], origin(), 0, false), n < 3);
        }
        assert!(rang());
        assert_eq!(handover.take(2).iter().map(|h| h.packet[0]).collect::<Vec<_>>(), [0, 1]);
        assert!(rang());
        assert_eq!(handover.take(9).len(), 1);
        assert!(!rang());
        assert!(handover.put(&[9], origin(), 0, false));
        assert!(rang());
    }
}
