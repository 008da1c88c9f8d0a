//! What the threads that answer over TCP share with one another and with those who start and end them:
//! places, letters to each thread, and how far leaving has come.
//!
//! Rules: nobody waits for a thread but who ends it, and that one no longer than it is told.

use crate::places::{Leaver, Places, Token, Why};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long those that end the threads look away.
const GLANCE: Duration = Duration::from_millis(2);
/// What a step of leaving may take before the next is taken all the same.
const PATIENCE: Duration = Duration::from_millis(1500);

pub const WHYS: [(Why, &str); 3] = [(Why::Idle, "idle"), (Why::Limit, "limit"), (Why::Backlog, "backlog")];

/// How far the end has come. A thread does each step once, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// No new connections; those that just began have a moment to ask.
    Leaving,
    /// What has come is answered or handed over; nothing more is taken.
    Finishing,
    /// What is answered is sent, and the thread ends.
    Closing,
}

impl Phase {
    fn of(number: u8) -> Phase {
        [Phase::Serving, Phase::Leaving, Phase::Finishing][..]
            .get(number as usize)
            .copied()
            .unwrap_or(Phase::Closing)
    }
}

pub enum Letter {
    /// A reply for one of the thread's connections.
    Reply(Token, Box<[u8]>),
    /// A connection of its own that must go.
    End(Token),
}

struct Letterbox {
    letters: Mutex<Vec<Letter>>,
    bell: UnixStream,
    watched: UnixStream,
}

/// What all connections together may take: how many, the bytes that wait for them; and how long one may
/// ask nothing (RFC 7766, section 6.2.3).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub bytes: usize,
    pub idle: Duration,
}

pub struct Streams {
    pub places: Places,
    pub idle: Duration,
    boxes: Box<[Letterbox]>,
    phase: AtomicU8,
    /// Threads that have done what the phase says.
    done: AtomicUsize,
    closed: [AtomicU64; WHYS.len()],
    born: Instant,
}

impl Streams {
    pub fn new(threads: usize, limits: Limits) -> io::Result<Streams> {
        let letterbox = |_| {
            let (bell, watched) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            watched.set_nonblocking(true)?;
            Ok(Letterbox { letters: Mutex::default(), bell, watched })
        };
        Ok(Streams {
            places: Places::new(limits.connections, limits.bytes),
            idle: limits.idle,
            boxes: (0..threads).map(letterbox).collect::<io::Result<_>>()?,
            phase: AtomicU8::new(Phase::Serving as u8),
            done: AtomicUsize::new(0),
            closed: Default::default(),
            born: Instant::now(),
        })
    }

    /// Microseconds on the clock that all its threads go by: who was idle for longest is known by it.
    #[inline]
    pub fn now(&self) -> u64 {
        self.born.elapsed().as_micros() as u64
    }

    /// Leaves letters at a thread's. What comes for a thread that has ended is lost.
    pub fn post(&self, thread: usize, letters: impl IntoIterator<Item = Letter>) {
        let Some(letterbox) = self.boxes.get(thread) else { return };
        let mut held = letterbox.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.len();
        held.extend(letters);
        let rings = before == 0 && !held.is_empty();
        drop(held);
        if rings {
            self.ring(thread);
        }
    }

    /// Has a connection ended by the thread that has it.
    pub fn end(&self, leaver: Leaver) {
        self.post(leaver.thread, [Letter::End(leaver.token)]);
    }

    fn ring(&self, thread: usize) {
        let _ = (&self.boxes[thread].bell).write(&[0]); // full: it rings already
    }

    /// Readable when there are letters, or another phase.
    pub fn bell(&self, thread: usize) -> RawFd {
        self.boxes[thread].watched.as_raw_fd()
    }

    pub fn take_letters(&self, thread: usize) -> Vec<Letter> {
        let letterbox = &self.boxes[thread];
        // Emptied before the letters are taken: a ring in between is heard again, never missed.
        while matches!((&letterbox.watched).read(&mut [0; 64]), Ok(64)) {}
        std::mem::take(&mut *letterbox.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn count_closed(&self, why: Why) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that we ended, by reason.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        WHYS.iter().map(|(why, word)| (*word, self.closed[*why as usize].load(Ordering::Relaxed)))
    }

    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// A thread has done all that this phase asks of it.
    pub fn tell_done(&self) {
        self.done.fetch_add(1, Ordering::Release);
    }

    /// Goes on to a later phase and waits until all threads have done it.
    pub fn enter(&self, phase: Phase) {
        if self.phase() >= phase {
            return;
        }
        self.done.store(0, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Release);
        for thread in 0..self.boxes.len() {
            self.ring(thread);
        }
        let began = Instant::now();
        while self.done.load(Ordering::Acquire) < self.boxes.len() && began.elapsed() < PATIENCE {
            thread::sleep(GLANCE);
        }
    }
}
