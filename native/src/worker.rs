//! The threads: receive a round, answer it, send it; and what they share with those who publish.
//!
//! Rules: one thread a socket; nothing is locked and no Python runs while answering. A round is
//! answered from one table, held for that round only, so an idle thread holds back no memory. A
//! panic costs its own packet.

use crate::counters::Counters;
use crate::handover::{Fault, Handover};
use crate::respond::{Desk, Outcome, UDP_LIMIT, respond};
use crate::socket::{BATCH, Batch, Socket};
use crate::table::Table;
use arc_swap::ArcSwap;
use std::any::Any;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Names of answering threads begin so: a panic in one is reported, not printed.
pub const THREAD: &str = "zkdns-";

/// A clock read costs as much as finding an answer; every so many rounds one is timed.
const TIMED: u64 = 16;

/// How long a packet that was on its way to a retired socket may take to get there.
const SETTLE: Duration = Duration::from_millis(2);

pub struct Shared {
    pub table: ArcSwap<Table>,
    pub handover: Handover,
    stopping: AtomicBool,
}

impl Shared {
    pub fn new(bound: usize) -> io::Result<Shared> {
        Ok(Shared {
            table: ArcSwap::from_pointee(Table::default()),
            handover: Handover::new(bound)?,
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

/// `workers` sockets on each address. Port 0 is chosen once for each address.
pub fn bind(
    addresses: &[SocketAddr],
    workers: usize,
    buffer: i32,
) -> Result<Vec<Socket>, (SocketAddr, io::Error)> {
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
            let run = move || answer(&shared, &socket, &counters, number);
            thread::Builder::new().name(format!("{THREAD}{number}")).spawn(run)?
        };
        workers.push(Worker { socket, counters, thread: Some(thread) });
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

fn answer(shared: &Shared, socket: &Socket, counters: &Counters, number: usize) {
    let mut round = Round { shared, socket, counters, number, desk: Desk::default(), took: 0, rounds: 0 };
    let mut batch = Batch::new(socket.wildcard, UDP_LIMIT);
    while !shared.stopping.load(Ordering::Relaxed) {
        match batch.receive(socket, libc::MSG_WAITFORONE) {
            Ok(got) => round.run(&mut batch, got),
            Err(error) => rest(&error),
        }
    }
    for pause in [SETTLE, Duration::ZERO] {
        loop {
            match batch.receive(socket, libc::MSG_DONTWAIT) {
                Ok(got) if got > 0 => round.run(&mut batch, got),
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
    took: u64,
    rounds: u64,
}

impl Round<'_> {
    fn run(&mut self, batch: &mut Batch, got: usize) {
        debug_assert!(got <= BATCH);
        let started = (self.rounds % TIMED == 0).then(Instant::now);
        self.rounds += 1;
        let mut replies = 0;
        let table = self.shared.table.load();
        for i in 0..got {
            replies += u64::from(self.answer(&table, batch, i));
        }
        drop(table);
        let unsent = batch.send(self.socket);
        if unsent > 0 {
            self.counters.unsent.add(unsent as u64);
        }
        if let Some(started) = started {
            self.took = started.elapsed().as_nanos() as u64;
        }
        self.counters.took(self.took, replies);
        self.counters.rounds.add(1);
    }

    #[inline]
    fn answer(&mut self, table: &Table, batch: &mut Batch, i: usize) -> bool {
        let before = batch.written();
        let offered = !table.recursion.networks.is_empty() && table.recursion.offered(batch.client(i));
        let desk = &mut self.desk;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let (packet, out) = batch.packet_and_out(i);
            respond(packet, table, UDP_LIMIT, offered, desk, out)
        }));
        match outcome {
            Ok(Outcome::Reply { qtype, rcode }) => {
                batch.end_reply(i);
                self.counters.reply(qtype, rcode);
                return true;
            }
            Ok(Outcome::Drop) => self.counters.dropped.add(1),
            Ok(Outcome::Pass) => self.pass(batch, i),
            Err(panic) => {
                batch.unwrite(before);
                self.desk = Desk::default();
                self.counters.panics.add(1);
                let packet = batch.packet(i).into();
                self.shared.handover.report(Fault { packet, what: describe(panic.as_ref()) });
                self.pass(batch, i);
            }
        }
        false
    }

    #[cold]
    fn pass(&self, batch: &Batch, i: usize) {
        let put = self.shared.handover.put(batch.packet(i), batch.origin(i), self.number);
        if put { self.counters.passed.add(1) } else { self.counters.overflowed.add(1) }
    }
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
