//! What goes when there is no more room: S3-FIFO, with a share for each of the clients' networks.
//!
//! Rules: no I/O, no clock, no chance; the twin of `zkdns/forward/eviction.py`, step for step. What is
//! new stands in the small queue, a tenth of the room, and goes from there unless it is asked for
//! again; what was goes to the main queue, where each time round costs it one of the times that it was
//! asked (Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction, SOSP 2023).
//! Where something must go, it is the oldest of the share that holds most: who asks for a flood of
//! names pushes out his own (McKenney: Stochastic fairness queueing, INFOCOM 1990).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Networks fall into so many shares, by a hash that is Python's secret.
pub const SHARES: usize = 64;
/// The small queue's part of the room.
const SMALL: u64 = 10;
/// How often something must have been asked for while it was new, to be kept longer.
const AGAIN: u8 = 2;
/// So many are looked at and spared; then the next one goes, however often it was asked for.
const PATIENCE: usize = 128;
/// The fewest that were pushed out and are remembered; else as many as are kept.
const GHOSTS: usize = 16;

const NONE: u32 = u32::MAX;

/// What is kept, as far as it matters here.
pub trait Aged {
    fn frequency(&self) -> u8;
    fn set_frequency(&self, frequency: u8);
    /// Whether it is past keeping, however often it was asked for.
    fn is_over(&self, now: f64) -> bool;
}

struct Node<T> {
    value: Option<Arc<T>>,
    hash: u64,
    cost: u64,
    share: u8,
    main: bool,
    older: u32,
    newer: u32,
}

#[derive(Clone, Copy)]
struct Chain {
    oldest: u32,
    newest: u32,
    cost: u64,
}

/// One of the two queues: a chain for each share.
struct Queue {
    chains: [Chain; SHARES],
    cost: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { chains: [Chain { oldest: NONE, newest: NONE, cost: 0 }; SHARES], cost: 0 }
    }
}

impl Queue {
    /// The first of the shares that hold most.
    fn largest(&self) -> usize {
        let largest = (0..SHARES).rev().max_by_key(|share| self.chains[*share].cost);
        largest.unwrap_or(0)
    }
}

/// Who was pushed out of the small queue lately, by hash: if he comes again, he was worth keeping.
#[derive(Default)]
struct Ghosts {
    known: HashMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
    number: u64,
}

impl Ghosts {
    fn add(&mut self, hash: u64, most: usize) {
        self.number += 1;
        self.known.insert(hash, self.number);
        self.order.push_back((hash, self.number));
        while self.order.len() > most.max(GHOSTS) {
            let Some((hash, number)) = self.order.pop_front() else { return };
            if self.known.get(&hash) == Some(&number) {
                self.known.remove(&hash);
            }
        }
    }
}

/// All that is kept, in the order in which it goes. `limit`: the most that all costs may add up to.
pub struct Ledger<T> {
    limit: u64,
    least: u64,
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    kept: usize,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

impl<T: Aged> Ledger<T> {
    pub fn new(bytes: u64, entries: u64) -> Self {
        Ledger {
            limit: bytes,
            least: bytes.div_ceil(entries.max(1)),
            nodes: Vec::new(),
            free: Vec::new(),
            kept: 0,
            small: Queue::default(),
            main: Queue::default(),
            ghosts: Ghosts::default(),
        }
    }

    pub fn clear(&mut self) {
        *self = Ledger { limit: self.limit, least: self.least, ..Ledger::new(0, 0) };
    }

    /// What something of so many bytes costs: never less than its part of the room by number, so that
    /// one sum bounds both.
    fn cost(&self, bytes: usize) -> u64 {
        self.least.max(bytes as u64).max(1)
    }

    pub fn len(&self) -> usize {
        self.kept
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn used(&self) -> u64 {
        self.small.cost + self.main.cost
    }

    /// Room for something new, and its place; what had to go for it is in `gone`. None: it is larger
    /// than all the room there is.
    pub fn put(
        &mut self,
        value: Arc<T>,
        hash: u64,
        bytes: usize,
        share: u8,
        now: f64,
        gone: &mut Vec<Arc<T>>,
    ) -> Option<u32> {
        let cost = self.cost(bytes);
        if cost > self.limit {
            return None;
        }
        while self.used() + cost > self.limit {
            gone.extend(self.evict(now));
        }
        let main = self.ghosts.known.remove(&hash).is_some();
        let share = share % SHARES as u8;
        let node = Node { value: Some(value), hash, cost, share, main, older: NONE, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.link(at);
        Some(at)
    }

    /// Something newer in the place of what stands there: in its queue and its share, the newest.
    /// False: it is larger than all the room there is, and the old one stays.
    pub fn replace(
        &mut self,
        at: u32,
        value: Arc<T>,
        bytes: usize,
        now: f64,
        gone: &mut Vec<Arc<T>>,
    ) -> bool {
        let cost = self.cost(bytes);
        if cost > self.limit {
            return false;
        }
        if let Some(old) = &self.nodes[at as usize].value {
            value.set_frequency(old.frequency());
        }
        self.unlink(at);
        while self.used() + cost > self.limit {
            gone.extend(self.evict(now));
        }
        let node = &mut self.nodes[at as usize];
        (node.value, node.cost) = (Some(value), cost);
        self.link(at);
        true
    }

    /// What stands at a place.
    pub fn at(&self, at: u32) -> Option<&Arc<T>> {
        self.nodes[at as usize].value.as_ref()
    }

    pub fn remove(&mut self, at: u32) -> Option<Arc<T>> {
        self.at(at)?;
        self.unlink(at);
        self.free.push(at);
        self.nodes[at as usize].value.take()
    }

    pub fn values(&self) -> impl Iterator<Item = (u32, &Arc<T>)> {
        let all = self.nodes.iter().enumerate();
        all.filter_map(|(at, node)| node.value.as_ref().map(|value| (at as u32, value)))
    }

    fn evict(&mut self, now: f64) -> Option<Arc<T>> {
        for looked in 0.. {
            let small = self.small.cost > self.limit / SMALL || self.main.cost == 0;
            let queue = if small { &self.small } else { &self.main };
            let at = queue.chains[queue.largest()].oldest;
            if at == NONE {
                return None;
            }
            let node = &self.nodes[at as usize];
            let standing = node.value.as_ref().filter(|value| !value.is_over(now));
            let frequency = standing.map_or(0, |value| value.frequency());
            if looked < PATIENCE && frequency >= if small { AGAIN } else { 1 } {
                self.unlink(at);
                let node = &mut self.nodes[at as usize];
                node.main = true;
                if let Some(value) = &node.value {
                    value.set_frequency(if small { 0 } else { frequency - 1 });
                }
                self.link(at);
                continue;
            }
            if small {
                self.ghosts.add(node.hash, self.kept - 1);
            }
            return self.remove(at);
        }
        None
    }

    fn link(&mut self, at: u32) {
        let Node { share, main, cost, .. } = self.nodes[at as usize];
        self.kept += 1;
        let queue = if main { &mut self.main } else { &mut self.small };
        queue.cost += cost;
        let chain = &mut queue.chains[share as usize];
        chain.cost += cost;
        let before = chain.newest;
        chain.newest = at;
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.newer = at,
            None => chain.oldest = at,
        }
        let node = &mut self.nodes[at as usize];
        (node.older, node.newer) = (before, NONE);
    }

    fn unlink(&mut self, at: u32) {
        let Node { share, main, cost, older, newer, .. } = self.nodes[at as usize];
        self.kept -= 1;
        let queue = if main { &mut self.main } else { &mut self.small };
        queue.cost -= cost;
        let chain = &mut queue.chains[share as usize];
        chain.cost -= cost;
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => chain.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => chain.newest = older,
        }
    }
}
