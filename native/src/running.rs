//! All threads of an engine, over UDP and TCP: bound and started together, ended in order, summed up.
//!
//! Rules: a lock is held for a moment only, save while threads are started or joined.

use crate::counters::{BOUNDS, Counters};
use crate::handover::Way;
use crate::socket::Socket;
use crate::streams::{Letter, Limits, Phase, Streams};
use crate::threads::{self, Threads};
use crate::told::{Demand, Row};
use crate::worker::{self, Refusal, Shared, Worker};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Running {
    workers: Mutex<Vec<Worker>>,
    tcp: Mutex<Option<Threads>>,
    /// Replies of Python's that could not be sent.
    unsent: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sockets for datagrams, and for each thread its listeners. A port that was left to the kernel is
/// free for both kinds only by chance, so another is tried where it is not.
fn bind(
    wanted: &[SocketAddr],
    workers: usize,
    buffer: i32,
) -> Result<(Vec<Socket>, Vec<Vec<TcpListener>>), Refusal> {
    let mut tries = if wanted.iter().any(|at| at.port() == 0) { 16 } else { 1 };
    loop {
        let sockets = worker::bind(wanted, workers, buffer)?;
        let mut addresses = Vec::new();
        for (socket, at) in sockets.iter().step_by(workers.max(1)).zip(wanted) {
            addresses.push(socket.udp.local_addr().map_err(|error| (*at, error))?);
        }
        tries -= 1;
        match threads::bind(&addresses, workers) {
            Err(_) if tries > 0 => (),
            bound => return Ok((sockets, bound?)),
        }
    }
}

impl Running {
    /// `workers` sockets of each kind on each address; returns what was bound. What ran before is closed.
    pub fn start(
        &self,
        shared: &Arc<Shared>,
        wanted: &[SocketAddr],
        workers: usize,
        buffer: i32,
        limits: Limits,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        self.close(shared);
        let (sockets, listeners) = bind(wanted, workers, buffer)?;
        let mut bound = Vec::new();
        for (socket, at) in sockets.iter().step_by(workers.max(1)).zip(wanted) {
            bound.push(socket.udp.local_addr().map_err(|error| (*at, error))?);
        }
        let refused = |error| (wanted[0], error);
        let tcp = threads::start(shared, listeners, limits).map_err(refused)?;
        *lock(&self.workers) = worker::start(shared, sockets).map_err(refused)?;
        *lock(&self.tcp) = Some(tcp);
        Ok(bound)
    }

    /// Takes no new queries over UDP and no new connections, answers those that have come, and ends the
    /// threads of UDP.
    pub fn leave(&self, shared: &Shared) {
        self.enter(Phase::Leaving);
        worker::stop(shared, &mut lock(&self.workers));
    }

    /// Takes no more queries of the connections that are left.
    pub fn finish(&self) {
        self.enter(Phase::Finishing);
    }

    /// Sends what is answered and closes the sockets.
    pub fn close(&self, shared: &Shared) {
        self.leave(shared);
        let threads = lock(&self.tcp).take();
        drop(threads); // it waits for them, and the lock is free meanwhile
        lock(&self.workers).clear();
    }

    fn streams(&self) -> Option<Arc<Streams>> {
        lock(&self.tcp).as_ref().map(|threads| threads.streams.clone())
    }

    fn enter(&self, phase: Phase) {
        if let Some(streams) = self.streams() {
            streams.enter(phase);
        }
    }

    /// Sends replies where their queries came from; what can't be sent is counted.
    pub fn send<'r>(&self, replies: impl Iterator<Item = (Way, &'r [u8])>) {
        let (workers, streams) = (lock(&self.workers), self.streams());
        let mut letters: HashMap<usize, Vec<Letter>> = HashMap::new();
        let mut unsent = 0;
        for (way, reply) in replies {
            match way {
                Way::Datagram { socket, origin } => {
                    let sent = workers.get(socket).map(|worker| worker.socket.send(reply, &origin));
                    unsent += u64::from(!matches!(sent, Some(Ok(()))));
                }
                Way::Stream { .. } if streams.is_none() => unsent += 1,
                Way::Stream { thread, token, .. } => {
                    letters.entry(thread).or_default().push(Letter::Reply(token, reply.into()));
                }
            }
        }
        self.unsent.fetch_add(unsent, Relaxed);
        if let Some(streams) = streams {
            letters.into_iter().for_each(|(thread, letters)| streams.post(thread, letters));
        }
    }

    // --- what they have done -----------------------------------------------------------------------

    /// Of each thread, by its transport.
    fn counters(&self) -> Vec<(&'static str, Arc<Counters>)> {
        let mut counters: Vec<_> =
            lock(&self.workers).iter().map(|worker| ("udp", worker.counters.clone())).collect();
        if let Some(threads) = &*lock(&self.tcp) {
            counters.extend(threads.counters.iter().map(|counters| ("tcp", counters.clone())));
        }
        counters
    }

    /// Replies by transport, type (0: all above 254) and rcode.
    pub fn replies(&self) -> HashMap<(&'static str, u16, u8), u64> {
        let mut sums = HashMap::new();
        for (transport, counters) in self.counters() {
            for ((qtype, rcode), n) in counters.replies() {
                *sums.entry((transport, qtype, rcode)).or_default() += n;
            }
        }
        sums
    }

    /// TCP connections that are open, and the bytes that wait for them, in and out.
    pub fn connections(&self) -> (usize, usize) {
        self.streams().map_or((0, 0), |streams| (streams.places.taken(), streams.places.bytes()))
    }

    /// TCP connections that we ended, by reason.
    pub fn closed(&self) -> HashMap<&'static str, u64> {
        self.streams().map(|streams| streams.closed().collect()).unwrap_or_default()
    }

    /// Names that a search list made, by the client's address; "" for all past the first thousand.
    pub fn search_misses(&self) -> HashMap<String, u64> {
        let mut sums = HashMap::new();
        for (_, counters) in self.counters() {
            for (client, n) in counters.search_misses() {
                let client = client.map(|address| address.to_string()).unwrap_or_default();
                *sums.entry(client).or_default() += n;
            }
        }
        sums
    }

    /// Who was told what, by each thread: the rows of one service, of one client, or all. And how many rows had
    /// to go.
    pub fn told(&self, service: Option<u32>, client: Option<IpAddr>) -> (Vec<Row>, u64) {
        let (mut found, mut forgotten) = (Vec::new(), 0);
        for (_, counters) in self.counters() {
            let rows = counters.told.lock();
            found.extend(rows.rows().iter().filter(|row| row.is_of(service, client)));
            forgotten += rows.forgotten;
        }
        (found, forgotten)
    }

    /// How much was asked; of clients, by those seen since.
    pub fn demand(&self, since: u64) -> Demand {
        let mut demand = Demand::default();
        for (_, counters) in self.counters() {
            demand.add(&counters.told.lock(), since);
        }
        demand
    }

    /// Everything else that is counted, by name.
    pub fn totals(&self) -> HashMap<&'static str, u64> {
        let mut sums = HashMap::new();
        for (_, c) in self.counters() {
            for (name, count) in [
                ("dropped", &c.dropped),
                ("cached", &c.cached),
                ("passed", &c.passed),
                ("overflowed", &c.overflowed),
                ("unsent", &c.unsent),
                ("panics", &c.panics),
                ("rounds", &c.rounds),
            ] {
                *sums.entry(name).or_default() += count.get();
            }
        }
        let missed = lock(&self.workers).iter().map(|worker| worker.socket.missed()).sum();
        sums.insert("missed", missed);
        *sums.entry("unsent").or_default() += self.unsent.load(Relaxed);
        sums
    }

    /// Replies by how long they took (bounds in `BOUNDS`, one bucket more above), and the sum in seconds.
    pub fn latency(&self) -> (Vec<u64>, f64) {
        let (mut sums, mut nanoseconds) = (vec![0; BOUNDS.len() + 1], 0);
        for (_, counters) in self.counters() {
            for (sum, n) in sums.iter_mut().zip(counters.buckets()) {
                *sum += n;
            }
            nanoseconds += counters.nanoseconds.get();
        }
        (sums, nanoseconds as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::places::Token;
    use crate::socket::Origin;
    use std::time::Duration;

    const BUFFER: i32 = 1 << 14;

    fn running() -> (Running, Arc<Shared>) {
        let shared = Arc::new(Shared::new(16, Arc::new(Cache::new(0, 0, 0.0))).expect("shared"));
        let (running, wanted) = (Running::default(), ["127.0.0.1:0", "127.0.0.2:0"]);
        let limits = Limits { connections: 10, bytes: 1 << 20, idle: Duration::from_secs(10) };
        let bound = running.start(&shared, &wanted.map(|at| at.parse().unwrap()), 1, BUFFER, limits);
        assert_eq!(bound.map_err(|(at, error)| format!("{at}: {error}")).unwrap().len(), 2);
        (running, shared)
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn what_could_not_be_sent_is_counted_each_time_whoever_it_was_for() {
        let (running, shared) = running();
        let peer = "127.0.0.1:0".parse().unwrap(); // nobody is at port 0
        let datagram = |socket| Way::Datagram { socket, origin: Origin { peer, local: None } };
        let stream = Way::Stream { thread: 0, token: Token { place: 0, turn: 0 }, peer };
        for sent in 1..=2 {
            let ways = [datagram(0), datagram(7), stream]; // of a thread that is not there; one is, and may say
            running.send(ways.into_iter().map(|way| (way, &b"reply"[..])));
            assert_eq!(running.totals()["unsent"], 2 * sent);
        }
        running.close(&shared);
        running.send([(stream, &b"reply"[..])].into_iter());
        assert_eq!(running.totals()["unsent"], 5);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn what_is_told_of_all_threads_is_of_each_of_them() {
        let (running, shared) = running();
        running.leave(&shared);
        for (_, counters) in running.counters() {
            counters.unsent.add(1);
            counters.nanoseconds.add(500_000_000);
            counters.told.lock().forgotten = 1;
        }
        let threads = running.counters().len() as u64;
        assert_eq!(running.totals()["unsent"], threads);
        assert_eq!(running.told(None, None).1, threads);
        assert_eq!(running.latency().1, threads as f64 / 2.0);

        let mut missed = 0;
        for worker in lock(&running.workers).iter() {
            // It has left the others, and hears itself alone by now.
            for _ in 0..500 {
                let _ = worker.socket.udp.send(&[0; 1000]);
            }
            assert!(worker.socket.missed() > 0);
            missed += worker.socket.missed();
        }
        assert_eq!(running.totals()["missed"], missed);
        running.close(&shared);
    }
}
