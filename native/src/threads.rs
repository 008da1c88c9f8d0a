//! The threads that answer over TCP: bound and started together, ended in order.
//!
//! Rules: each has its own listeners; what they share is `streams`, what each does `tcp`.

use crate::counters::Counters;
use crate::socket;
use crate::streams::{Limits, Phase, Streams};
use crate::tcp::{self, Watch};
use crate::worker::{Refusal, Shared, THREAD};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Connections that the kernel keeps for a listener until they are taken.
const QUEUE: i32 = 1024;

/// The threads, and what each has counted.
pub struct Threads {
    pub streams: Arc<Streams>,
    pub counters: Vec<Arc<Counters>>,
    running: Vec<JoinHandle<()>>,
}

/// For each thread a listener on each address.
pub fn bind(addresses: &[SocketAddr], threads: usize) -> Result<Vec<Vec<TcpListener>>, Refusal> {
    let listen = |at: &SocketAddr| socket::listen(*at, QUEUE).map_err(|error| (*at, error));
    (0..threads).map(|_| addresses.iter().map(listen).collect()).collect()
}

pub fn start(shared: &Arc<Shared>, listeners: Vec<Vec<TcpListener>>, limits: Limits) -> io::Result<Threads> {
    let streams = Arc::new(Streams::new(listeners.len(), limits)?);
    // Here, where who starts us is told that there are no descriptors: a thread could tell nobody.
    let watch = |(number, own)| Watch::new(&streams, number, own);
    let watches = listeners.into_iter().enumerate().map(watch).collect::<io::Result<Vec<_>>>()?;
    let mut threads = Threads { streams, counters: Vec::new(), running: Vec::new() };
    for (number, watch) in watches.into_iter().enumerate() {
        let counters = Arc::new(Counters::default());
        let (shared, streams, counted) = (shared.clone(), threads.streams.clone(), counters.clone());
        let run = move || tcp::serve(&shared, &streams, &counted, number, watch);
        threads.running.push(thread::Builder::new().name(format!("{THREAD}tcp-{number}")).spawn(run)?);
        threads.counters.push(counters);
    }
    Ok(threads)
}

impl Drop for Threads {
    /// Sends what is answered, closes all, and ends the threads.
    fn drop(&mut self) {
        self.streams.enter(Phase::Closing);
        for thread in self.running.drain(..) {
            let _ = thread.join();
        }
    }
}
