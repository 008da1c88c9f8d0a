//! The places that TCP connections take, over all threads: who has one, who must go for another.
//!
//! Rules: no I/O; the clock comes in. Full, the network with the most connections gives one up, and in
//! it the client with the most, its idlest, be it the newcomer's own: so nobody can take the places of
//! others. When too many bytes wait, the network that has the most of them waiting gives up its largest.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client's network: its /24, or its /56 in IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(bool, u64);

impl Network {
    pub fn of(client: IpAddr) -> Network {
        match client.to_canonical() {
            IpAddr::V4(ip) => Network(false, u64::from(ip.to_bits() >> 8)),
            IpAddr::V6(ip) => Network(true, (ip.to_bits() >> 72) as u64),
        }
    }

    /// The client itself: its address, or its /64, of which it may have every address.
    pub fn of_one(client: IpAddr) -> Network {
        match client.to_canonical() {
            IpAddr::V4(ip) => Network(false, u64::from(ip.to_bits())),
            IpAddr::V6(ip) => Network(true, (ip.to_bits() >> 64) as u64),
        }
    }
}

/// Which connection: the number of its place, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub place: u32,
    pub turn: u32,
}

impl Token {
    pub fn to_bits(self) -> u64 {
        u64::from(self.turn) << 32 | u64::from(self.place)
    }

    pub fn from_bits(bits: u64) -> Token {
        Token { place: bits as u32, turn: (bits >> 32) as u32 }
    }
}

/// What ends a connection before its client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It asked nothing for too long.
    Idle,
    /// Its place was needed.
    Limit,
    /// Too much waits for its client, who does not read, or for all.
    Backlog,
}

/// A connection that must go, and the number of the thread that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaver {
    pub token: Token,
    pub thread: usize,
}

struct Holder {
    token: Token,
    network: Network,
    client: Network,
    thread: usize,
}

/// What its thread tells of a connection.
#[derive(Default)]
struct Told {
    active: AtomicU64,
    held: AtomicUsize,
}

#[derive(Default)]
struct Book {
    holders: Vec<Option<Holder>>,
    free: Vec<u32>,
    networks: HashMap<Network, usize>,
    clients: HashMap<Network, usize>,
    /// Who lost its place and is not closed yet, and the bytes of it that are counted no more. Others may have had
    /// the place and left it by then.
    leaving: HashMap<Token, (Why, usize)>,
    turns: u32,
}

pub struct Places {
    book: Mutex<Book>,
    told: Box<[Told]>,
    /// Below 0 for a moment, where some of a connection that leaves was told twice.
    bytes: AtomicIsize,
    max_bytes: isize,
}

impl Places {
    pub fn new(count: usize, max_bytes: usize) -> Places {
        let count = count.max(1);
        let book = Book {
            holders: (0..count).map(|_| None).collect(),
            free: (0..count as u32).rev().collect(),
            ..Book::default()
        };
        Places {
            book: Mutex::new(book),
            told: (0..count).map(|_| Told::default()).collect(),
            bytes: AtomicIsize::new(0),
            max_bytes: max_bytes.try_into().unwrap_or(isize::MAX),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.told.len()
    }

    pub fn taken(&self) -> usize {
        let book = self.book();
        book.holders.len() - book.free.len()
    }

    /// A place for a connection of `client`, and who loses it.
    pub fn take(&self, client: IpAddr, thread: usize, now: u64) -> (Token, Option<Leaver>) {
        self.take_where(false, client, thread, now)
    }

    /// The same; where descriptors are `short` somebody loses it, though there are places.
    pub fn take_where(
        &self,
        short: bool,
        client: IpAddr,
        thread: usize,
        now: u64,
    ) -> (Token, Option<Leaver>) {
        let (network, client) = (Network::of(client), Network::of_one(client));
        let mut book = self.book();
        *book.networks.entry(network).or_default() += 1;
        *book.clients.entry(client).or_default() += 1;
        let full = short || book.free.is_empty();
        let leaver = full.then(|| self.idlest_of_most(&book, network, client)).flatten();
        if let Some(leaver) = leaver {
            book.take_back(leaver.token, Why::Limit, 0);
        }
        let place = book.free.pop().expect("a place was given up where none was free");
        book.turns = book.turns.wrapping_add(1);
        let token = Token { place, turn: book.turns };
        book.holders[place as usize] = Some(Holder { token, network, client, thread });
        self.told[place as usize].active.store(now, Relaxed);
        self.told[place as usize].held.store(0, Relaxed);
        (token, leaver)
    }

    /// Of equals the newcomer's own pays. It is counted already, and stands at no place yet.
    fn idlest_of_most(&self, book: &Book, network: Network, client: Network) -> Option<Leaver> {
        let there = book.networks.iter().filter(|(of, count)| **of != network || **count > 1);
        let most = there.map(|(of, count)| (*count, *of == network)).max()?;
        // Where a network knocks all the time its own are told without a look at how many others have.
        let pays = |holder: &&Holder| match most {
            (_, true) => holder.network == network,
            (count, _) => book.networks.get(&holder.network) == Some(&count),
        };
        let rank = |holder: &&Holder| {
            let count = book.clients.get(&holder.client).copied().unwrap_or(0);
            let active = self.told[holder.token.place as usize].active.load(Relaxed);
            (count, holder.client == client, Reverse(active))
        };
        book.holders.iter().flatten().filter(pays).max_by_key(rank).map(Holder::leaver)
    }

    /// It was closed, with `held` bytes still waiting for it. Returns why it had to go, if it had to.
    pub fn release(&self, token: Token, held: usize) -> Option<Why> {
        let mut book = self.book();
        book.release(token);
        let (why, uncounted) = book.leaving.remove(&token).unzip();
        self.bytes.fetch_add(uncounted.unwrap_or(0) as isize - held as isize, Relaxed);
        why
    }

    /// It asked something.
    #[inline]
    pub fn touch(&self, token: Token, now: u64) {
        self.told[token.place as usize].active.store(now, Relaxed);
    }

    /// `before` bytes waited for it, now `held` do. Returns who must go where that is too much in all.
    pub fn weigh(&self, token: Token, before: usize, held: usize) -> Option<Leaver> {
        self.told[token.place as usize].held.store(held, Relaxed);
        let more = held as isize - before as isize;
        let all = self.bytes.fetch_add(more, Relaxed) + more;
        if more > 0 && all > self.max_bytes { self.largest_of_most() } else { None }
    }

    /// Bytes that wait for all of them.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed).max(0) as usize
    }

    fn largest_of_most(&self) -> Option<Leaver> {
        let mut book = self.book();
        let held = |holder: &Holder| self.told[holder.token.place as usize].held.load(Relaxed);
        let mut sums: HashMap<Network, usize> = HashMap::new();
        for holder in book.holders.iter().flatten() {
            *sums.entry(holder.network).or_default() += held(holder);
        }
        let (pays, _) = sums.into_iter().max_by_key(|(_, sum)| *sum)?;
        let of_it = book.holders.iter().flatten().filter(|holder| holder.network == pays);
        let leaver = of_it.max_by_key(|holder| held(holder)).map(Holder::leaver)?;
        // It is chosen once, and its bytes count no more: else each that has a byte more until its thread has ended
        // it would cost another connection.
        let gone = self.told[leaver.token.place as usize].held.swap(0, Relaxed);
        self.bytes.fetch_sub(gone as isize, Relaxed);
        book.take_back(leaver.token, Why::Backlog, gone);
        Some(leaver)
    }
}

impl Holder {
    fn leaver(&self) -> Leaver {
        Leaver { token: self.token, thread: self.thread }
    }
}

impl Book {
    fn take_back(&mut self, token: Token, why: Why, uncounted: usize) {
        self.release(token);
        self.leaving.insert(token, (why, uncounted));
    }

    fn release(&mut self, token: Token) {
        let place = &mut self.holders[token.place as usize];
        let Some(holder) = place.take_if(|holder| holder.token == token) else { return };
        self.free.push(token.place);
        for (counts, of) in [(&mut self.networks, holder.network), (&mut self.clients, holder.client)] {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_networks_that_have_gone_take_no_memory() {
        let places = Places::new(2, 1000);
        for n in 0..1000u32 {
            let (token, _) = places.take(IpAddr::from((n << 8).to_be_bytes()), 0, 0);
            places.release(token, 0);
        }
        let book = places.book();
        assert_eq!((book.networks.len(), book.clients.len(), book.leaving.len()), (0, 0, 0));
    }
}
