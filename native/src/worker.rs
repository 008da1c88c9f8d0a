//! The threads: receive a round, answer it, send it; and what they share with those who publish.
//!
//! Rules: one thread a socket; nothing is locked and no Python runs while answering. A round is
//! answered from one table, held for that round only, so an idle thread holds back no memory. A
//! panic costs its own packet, or elsewhere its own round.

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

use crate::batch::{BATCH, Batch};
use crate::cache::{Cache, Reading};
use crate::counters::Counters;
use crate::entry::Entry;
use crate::handover::{Fault, Handed, Handover, Way};
use crate::index::hash;
use crate::query::Asked;
use crate::respond::{Client, Desk, NOBODY, Outcome, answer};
use crate::sampler::Sampler;
use crate::slices::take_short_slices;
use crate::socket::{Socket, wall_clock};
use crate::table::Table;
use crate::told::Note;
use crate::wall::{self, describe};
use crate::wire::UDP_LIMIT;
use arc_swap::ArcSwap;
use std::any::Any;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Names of answering threads begin so: a panic in one is reported, not printed.
pub const THREAD: &str = "zkdns-";

/// A clock read costs as much as finding an answer; every so many rounds one is timed.
pub const TIMED: u64 = 16;

/// How long a packet that was on its way to a retired socket may take to get there.
const SETTLE: Duration = Duration::from_millis(2);

pub struct Shared {
    pub table: ArcSwap<Table>,
    pub handover: Handover,
    /// What upstreams answered, for those who may have names forwarded.
    pub cache: Arc<Cache>,
    /// One packet in so many is handed over for the query log; 0: none.
    pub sample: AtomicU32,
    stopping: AtomicBool,
}

impl Shared {
    pub fn new(bound: usize, cache: Arc<Cache>) -> io::Result<Shared> {
        Ok(Shared {
            table: ArcSwap::from_pointee(Table::default()),
            handover: Handover::new(bound)?,
            cache,
            sample: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
        })
    }
}

/// One socket, the thread that reads it, and what that thread has counted.
pub struct Worker {
    pub socket: Arc<Socket>,
    pub counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

/// An address that could not be bound, and why.
pub type Refusal = (SocketAddr, io::Error);

/// `workers` sockets on each address. Port 0 is chosen once for each address.
pub fn bind(addresses: &[SocketAddr], workers: usize, buffer: i32) -> Result<Vec<Socket>, Refusal> {
    let mut sockets = Vec::new();
    for address in addresses {
        let mut at = *address;
        for _ in 0..workers {
            let socket = Socket::bind(at, buffer).map_err(|error| (at, error))?;
            at = socket.udp.local_addr().map_err(|error| (at, error))?;
            sockets.push(socket);
        }
    }
    Ok(sockets)
}

pub fn start(shared: &Arc<Shared>, sockets: Vec<Socket>) -> io::Result<Vec<Worker>> {
    shared.stopping.store(false, Ordering::Relaxed);
    let mut workers = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        let (socket, counters) = (Arc::new(socket), Arc::new(Counters::default()));
        let thread = {
            let (shared, socket, counters) = (shared.clone(), socket.clone(), counters.clone());
            let run = move || serve(&shared, &socket, &counters, number);
            thread::Builder::new().name(format!("{THREAD}{number}")).spawn(run)
        };
        match thread {
            Ok(thread) => workers.push(Worker { socket, counters, thread: Some(thread) }),
            Err(error) => {
                stop(shared, &mut workers); // else they would keep their part of the port, and nobody knew of them
                return Err(error);
            }
        }
    }
    Ok(workers)
}

/// Takes no new queries, answers those that have come, and ends the threads. The sockets stay, for
/// the replies that Python still has to give.
pub fn stop(shared: &Shared, workers: &mut [Worker]) {
    shared.stopping.store(true, Ordering::Relaxed);
    for worker in workers.iter().filter(|worker| worker.thread.is_some()) {
        let _ = worker.socket.retire(); // where it can't be, the thread is woken all the same
    }
    for worker in workers {
        if let Some(thread) = worker.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, socket: &Socket, counters: &Counters, number: usize) {
    let mut round = Round::new(shared, socket, counters, number);
    let mut batch = Batch::new(socket.wildcard, UDP_LIMIT);
    take_short_slices();
    while !shared.stopping.load(Ordering::Relaxed) {
        match batch.receive(socket, libc::MSG_WAITFORONE) {
            Ok(got) => round.within_walls(&mut batch, got),
            Err(error) => rest(&error),
        }
    }
    for pause in [SETTLE, Duration::ZERO] {
        loop {
            match batch.receive(socket, libc::MSG_DONTWAIT) {
                Ok(got) if got > 0 => round.within_walls(&mut batch, got),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                _ => break,
            }
        }
        thread::sleep(pause);
    }
}

/// An error of a socket is one packet's (an ICMP report) or the machine's (out of memory): neither
/// ends the thread, and neither may make it spin.
fn rest(error: &io::Error) {
    if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) {
        thread::sleep(Duration::from_millis(1));
    }
}

struct Round<'a> {
    shared: &'a Shared,
    socket: &'a Socket,
    counters: &'a Counters,
    number: usize,
    desk: Desk,
    asked: Box<[Asked]>,
    sampler: Sampler,
    /// What Python is to have of this round.
    passed: Vec<Handed>,
    notes: Vec<Note>,
    took: u64,
    rounds: u64,
}

impl<'a> Round<'a> {
    fn new(shared: &'a Shared, socket: &'a Socket, counters: &'a Counters, number: usize) -> Round<'a> {
        Round {
            shared,
            socket,
            counters,
            number,
            desk: Desk::default(),
            asked: vec![Asked::default(); BATCH].into(),
            sampler: Sampler::new(number as u64),
            passed: Vec::new(),
            notes: Vec::with_capacity(BATCH),
            took: 0,
            rounds: 0,
        }
    }

    /// A panic outside the answer to a packet costs the replies of this round.
    fn within_walls(&mut self, batch: &mut Batch, got: usize) {
        let (shared, counters) = (self.shared, self.counters);
        if wall::within(shared, counters, || self.run(batch, got)).is_none() {
            *batch = Batch::new(self.socket.wildcard, UDP_LIMIT);
            self.desk = Desk::default();
            self.passed.clear();
            self.notes.clear();
        }
    }

    fn run(&mut self, batch: &mut Batch, got: usize) {
        debug_assert!(got <= BATCH);
        let started = (self.rounds % TIMED == 0).then(Instant::now);
        self.rounds += 1;
        let table = self.shared.table.load();
        let mut outside = Reading::new(&self.shared.cache, None);
        let mut at = 0;
        let mut replies = 0;
        while at < got {
            // A panic ends this run of packets; the next begins behind the one that it was about.
            let run =
                AssertUnwindSafe(|| self.answer(&table, &mut outside, batch, &mut at, got, &mut replies));
            if let Err(panic) = catch_unwind(run) {
                self.report(batch, at, panic.as_ref());
                at += 1;
            }
        }
        drop((table, outside));
        let unsent = batch.send(self.socket);
        self.shared.handover.put(&mut self.passed);
        if unsent > 0 {
            self.counters.unsent.add(unsent as u64);
        }
        if let Some(started) = started {
            self.took = started.elapsed().as_nanos() as u64;
        }
        self.counters.told.take(&mut self.notes, wall_clock);
        self.counters.took(self.took, replies);
        self.counters.rounds.add(1);
    }

    /// Answers the packets from `at` on; `at` is where it is.
    fn answer(
        &mut self,
        table: &Table,
        outside: &mut Reading,
        batch: &mut Batch,
        at: &mut usize,
        got: usize,
        replies: &mut u64,
    ) {
        let mut hashes = [0; BATCH];
        let mut likely = [None; BATCH];
        let first = *at;
        for i in first..got {
            self.asked[i].read(batch.packet(i));
            hashes[i - first] = self.asked[i].hash;
        }
        table.entries.first_of_each(&hashes[..got - first], &mut likely);
        let offers = !table.recursion.is_empty();
        let asks_who = offers || table.clients.matter();
        self.touch_misses(table, outside, &likely[..got - first], first);
        let every = self.shared.sample.load(Ordering::Relaxed);
        while *at < got {
            let i = *at;
            if every != 0 && self.sampler.is_due(every) && self.sample(batch, i) {
                *at += 1;
                continue;
            }
            let address = if asks_who { batch.client(i) } else { NOBODY };
            let offered = offers && table.recursion.get(address).is_some();
            let client = Client { address, limit: UDP_LIMIT, offered };
            let asked = &self.asked[i];
            let (packet, out) = batch.packet_and_out(i);
            let outcome = answer(packet, asked, likely[i - first], client, table, &mut self.desk, out);
            match outcome {
                Outcome::Reply { qtype, rcode, search_miss } => {
                    batch.end_reply(i);
                    self.counters.reply(qtype, rcode);
                    let told = self.desk.told;
                    if told.service > 0 {
                        self.notes.push(Note { client: batch.client(i), told });
                    }
                    if search_miss {
                        self.counters.note_search_miss(batch.client(i));
                    }
                    *replies += 1;
                }
                Outcome::Drop => self.counters.dropped.add(1),
                Outcome::Pass => self.pass(batch, i),
                Outcome::Outside => {
                    let given = if offered { outside.give(packet, asked, UDP_LIMIT, out) } else { None };
                    match given {
                        Some((Outcome::Reply { qtype, rcode, .. }, due)) => {
                            batch.end_reply(i);
                            self.counters.reply(qtype, rcode);
                            self.counters.cached.add(1);
                            *replies += 1;
                            if due {
                                self.shared.handover.ring();
                            }
                        }
                        _ => self.pass(batch, i),
                    }
                }
            }
            *at += 1;
        }
    }

    /// A flood of names that are not there must not find each of its answers in cold memory, and what
    /// upstreams answered is there as well.
    #[inline]
    fn touch_misses(
        &mut self,
        table: &Table,
        outside: &mut Reading,
        likely: &[Option<&Entry>],
        first: usize,
    ) {
        let (mut ours, mut forwarded) = ([0; 2 * BATCH], [0; BATCH]);
        let (mut misses, mut others) = (0, 0);
        let missed = self.asked[first..].iter_mut().zip(likely).filter(|(_, likely)| likely.is_none());
        for (asked, _) in missed {
            let Some((name, parent)) = asked.names() else { continue };
            if table.may_hold(name) {
                (ours[misses], ours[misses + 1]) = (hash(name), hash(parent));
                misses += 2;
            } else if !table.recursion.is_empty() {
                asked.outside = outside.hash(asked);
                forwarded[others] = asked.outside;
                others += 1;
            }
        }
        if misses > 2 {
            table.names.first_of_each(&ours[..misses], &mut [None; 2 * BATCH]);
        }
        if others > 1 {
            outside.touch(&forwarded[..others]);
        }
    }

    #[cold]
    fn report(&mut self, batch: &mut Batch, i: usize, panic: &(dyn Any + Send)) {
        batch.unwrite();
        self.desk = Desk::default();
        self.counters.panics.add(1);
        let packet = batch.packet(i).into();
        self.shared.handover.report(Fault::Packet(packet, describe(panic)));
        self.pass(batch, i);
    }

    /// For the query log, which Python writes. Where it has no room the packet is answered here: a log
    /// costs nobody an answer.
    #[cold]
    fn sample(&mut self, batch: &Batch, i: usize) -> bool {
        let room = self.shared.handover.has_room(self.passed.len());
        if room {
            self.hand_over(batch, i, true);
        }
        room
    }

    #[cold]
    fn pass(&mut self, batch: &Batch, i: usize) {
        if self.shared.handover.has_room(self.passed.len()) {
            self.hand_over(batch, i, false);
        } else {
            self.counters.overflowed.add(1);
        }
    }

    fn hand_over(&mut self, batch: &Batch, i: usize, sampled: bool) {
        let way = Way::Datagram { socket: self.number, origin: batch.origin(i) };
        let packet = batch.packet(i).into();
        self.passed.push(Handed { packet, way, sampled, since: Instant::now() });
        self.counters.passed.add(1);
    }
}
