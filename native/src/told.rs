//! Who was told what: a row a client and service, with when, how often, and what stood first last.
//!
//! Rules: bounded; past the bound the row that was unseen for longest goes, and is counted. Knows services and
//! instances by number alone. One thread writes, after its replies have gone, and never waits for who reads: a look
//! at all rows takes milliseconds, and more where the reader loses its core.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Rows of one thread.
pub const MAX_ROWS: usize = 65_536;

/// Of the rows, the part that is looked for at once when room is wanted: one look at all costs each of them
/// a few nanoseconds.
const LEAVING_PART: usize = 16;

/// What an answer was about, what stood first in it, and where all of it stood. 0: nothing, nobody, anywhere.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Told {
    pub service: u32,
    pub instance: u32,
    pub zone: u32,
}

/// An answer that was given.
#[derive(Clone, Copy)]
pub struct Note {
    pub client: IpAddr,
    pub told: Told,
}

/// Times in milliseconds since the epoch. `zone`: where all stood that it was given since `beyond`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    client: u128,
    pub first: u64,
    pub last: u64,
    pub beyond: u64,
    pub queries: u64,
    pub service: u32,
    pub instance: u32,
    pub zone: u32,
}

impl Row {
    pub fn client(&self) -> IpAddr {
        IpAddr::from(self.client.to_be_bytes()).to_canonical()
    }

    pub fn told(&self) -> Told {
        Told { service: self.service, instance: self.instance, zone: self.zone }
    }

    /// It is given what stands elsewhere than what it had before.
    #[cold]
    fn move_to(&mut self, zone: u32, now: u64) {
        self.beyond = if self.zone > 0 { now } else { self.last };
        if zone > 0 {
            self.zone = zone;
        }
    }

    pub fn is_of(&self, service: Option<u32>, client: Option<IpAddr>) -> bool {
        service.is_none_or(|service| self.service == service)
            && client.is_none_or(|client| self.client == bits(client))
    }
}

/// IPv4 as in IPv6 (RFC 4291, section 2.5.5.2): a client is one, whichever socket it came by.
#[inline]
fn bits(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The rows of one thread.
pub struct Rows {
    /// The number of a row + 1, by the hash of its client and service; the next free slot where that is taken.
    slots: Box<[u32]>,
    rows: Vec<Row>,
    /// Those unseen for longest, the longest at the end, with when each was last seen.
    leaving: Vec<(u64, u32)>,
    pub forgotten: u64,
    /// Queries of the rows that had to go, by service: what was asked of one only ever grows.
    gone: HashMap<u32, u64>,
    limit: usize,
    /// A client chooses its address: without chance it could choose where it is kept.
    seed: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Rows::new(MAX_ROWS)
    }
}

impl Rows {
    pub fn new(limit: usize) -> Rows {
        let seed = RandomState::new().build_hasher().finish();
        Rows {
            slots: Box::default(),
            rows: Vec::new(),
            leaving: Vec::new(),
            forgotten: 0,
            gone: HashMap::new(),
            limit,
            seed,
        }
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    #[inline]
    fn hash(&self, client: u128, service: u32) -> usize {
        let (high, low) = ((client >> 64) as u64, client as u64);
        let mixed = fold(low ^ self.seed, high ^ u64::from(service).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        fold(mixed ^ self.seed.rotate_left(32), 0xD6E8_FEB8_6659_FD93) as usize
    }

    /// Where a row stands, or the free slot where it would.
    #[inline]
    fn find(&self, client: u128, service: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.hash(client, service) & mask;
        while let Some(number) = self.slots[at].checked_sub(1) {
            let row = &self.rows[number as usize];
            if row.client == client && row.service == service {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    #[inline]
    pub fn note(&mut self, note: &Note, now: u64) {
        let (client, Told { service, instance, zone }) = (bits(note.client), note.told);
        if self.slots.is_empty() {
            self.resize(64);
        }
        let at = self.find(client, service);
        match self.slots[at].checked_sub(1) {
            Some(number) => {
                let row = &mut self.rows[number as usize];
                if instance > 0 {
                    row.instance = instance;
                    if row.zone != zone {
                        row.move_to(zone, now);
                    }
                }
                row.last = now;
                row.queries += 1;
            }
            None => {
                let zone = if instance > 0 { zone } else { 0 };
                self.add(Row {
                    client,
                    first: now,
                    last: now,
                    beyond: 0,
                    queries: 1,
                    service,
                    instance,
                    zone,
                });
            }
        }
    }

    #[cold]
    fn add(&mut self, row: Row) {
        let number = if self.rows.len() < self.limit {
            self.rows.push(row);
            if self.rows.len() * 2 > self.slots.len() {
                return self.resize(self.slots.len() * 2);
            }
            self.rows.len() - 1
        } else {
            let number = self.forget_one();
            self.rows[number] = row;
            number
        };
        let at = self.find(row.client, row.service);
        self.slots[at] = number as u32 + 1;
    }

    fn resize(&mut self, slots: usize) {
        self.slots = vec![0; slots].into();
        for number in 0..self.rows.len() {
            let (client, service) = (self.rows[number].client, self.rows[number].service);
            // A row that stands already is another one, so that this ends at a free slot.
            let at = self.find(client, service);
            self.slots[at] = number as u32 + 1;
        }
    }

    /// Takes out the row that was unseen for longest; its number is free.
    fn forget_one(&mut self) -> usize {
        let number = loop {
            match self.leaving.pop() {
                // One that was seen since is none of them any more.
                Some((last, number)) if self.rows[number as usize].last == last => break number as usize,
                Some(_) => (),
                None => self.look_for_leaving(),
            }
        };
        self.forgotten += 1;
        if self.gone.len() >= MAX_ROWS {
            self.gone.clear(); // services that came and went for years
        }
        *self.gone.entry(self.rows[number].service).or_default() += self.rows[number].queries;
        let mask = self.slots.len() - 1;
        let mut free = self.find(self.rows[number].client, self.rows[number].service);
        let mut at = free;
        // What stands behind it, and would have stood at or before it, moves up (Knuth, 6.4, algorithm R).
        loop {
            at = (at + 1) & mask;
            let Some(next) = self.slots[at].checked_sub(1) else { break };
            let row = &self.rows[next as usize];
            let home = self.hash(row.client, row.service) & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(free) & mask) {
                self.slots[free] = next + 1;
                free = at;
            }
        }
        self.slots[free] = 0;
        number
    }

    fn look_for_leaving(&mut self) {
        let mut every: Vec<_> = self.rows.iter().zip(0..).map(|(row, number)| (row.last, number)).collect();
        let some = (every.len() / LEAVING_PART).max(1);
        every.select_nth_unstable(some - 1);
        every.truncate(some);
        every.sort_unstable_by(|one, other| other.cmp(one));
        self.leaving = every;
    }
}

/// How much was asked in all: of each service, and by each client that was seen lately.
#[derive(Default)]
pub struct Demand {
    pub services: HashMap<u32, u64>,
    clients: HashMap<u128, (u64, u64)>,
}

impl Demand {
    /// `since`: clients that were not seen since then are left out.
    pub fn add(&mut self, rows: &Rows, since: u64) {
        for (service, queries) in &rows.gone {
            *self.services.entry(*service).or_default() += queries;
        }
        for row in &rows.rows {
            *self.services.entry(row.service).or_default() += row.queries;
            if row.last >= since {
                let (queries, first) = self.clients.entry(row.client).or_insert((0, row.first));
                *queries += row.queries;
                *first = row.first.min(*first);
            }
        }
    }

    /// So many clients, those that asked most first: who, how often, and since when.
    pub fn most_asking(&self, most: usize) -> Vec<(IpAddr, u64, u64)> {
        let mut every: Vec<_> =
            self.clients.iter().map(|(client, (queries, first))| (*queries, *client, *first)).collect();
        if every.len() > most && most > 0 {
            every.select_nth_unstable_by(most - 1, |one, other| other.cmp(one));
        }
        every.truncate(most);
        every.sort_unstable_by(|one, other| other.cmp(one));
        let told = |(queries, client, first): (u64, u128, u64)| {
            (IpAddr::from(client.to_be_bytes()).to_canonical(), queries, first)
        };
        every.into_iter().map(told).collect()
    }
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

/// The rows of one thread, and the lock that those who read them take too. `late`: what was told meanwhile, and
/// when; a lock of its own, for a moment.
#[derive(Default)]
pub struct ToldTable {
    rows: Mutex<Rows>,
    late: Mutex<Vec<(Note, u64)>>,
}

impl ToldTable {
    /// The rows, with all in them that was told before.
    pub fn lock(&self) -> MutexGuard<'_, Rows> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut rows);
        rows
    }

    fn late(&self) -> MutexGuard<'_, Vec<(Note, u64)>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn catch_up(&self, rows: &mut Rows) {
        self.late().drain(..).for_each(|(note, at)| rows.note(&note, at));
    }

    /// Notes what was told in a round, at `now`.
    #[inline]
    pub fn take(&self, notes: &mut Vec<Note>, now: impl FnOnce() -> u64) {
        if notes.is_empty() {
            return;
        }
        let now = now();
        let mut rows = match self.rows.try_lock() {
            Ok(rows) => rows,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let mut late = self.late();
                if late.len() < MAX_ROWS {
                    return late.extend(notes.drain(..).map(|note| (note, now)));
                }
                drop(late); // whoever reads has stood still for long
                self.lock()
            }
        };
        self.catch_up(&mut rows);
        notes.drain(..).for_each(|note| rows.note(&note, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    fn note(client: u32, service: u32, instance: u32) -> Note {
        Note { client: IpAddr::from(client.to_be_bytes()), told: Told { service, instance, zone: 0 } }
    }

    #[test]
    fn a_row_tells_first_and_last_time_how_often_and_what_stood_first_last() {
        let mut rows = Rows::new(4);
        rows.note(&note(1, 7, 3), 10);
        rows.note(&note(1, 7, 4), 20);
        rows.note(&note(1, 7, 0), 30); // nobody was given: who stood first last stays
        rows.note(&note(1, 8, 5), 40);
        let [one, other] = rows.rows() else { panic!("two services are two rows") };
        assert_eq!((one.first, one.last, one.queries, one.instance), (10, 30, 3, 4));
        assert_eq!((other.first, other.last, other.queries, other.instance), (40, 40, 1, 5));
        assert_eq!(one.client(), IpAddr::from([0, 0, 0, 1]));
    }

    #[test]
    fn who_answers_waits_for_nobody_that_reads_and_what_was_told_meanwhile_is_noted_in_its_order() {
        let table = ToldTable::default();
        table.take(&mut vec![note(1, 7, 1)], || 10);
        let reading = table.lock();
        for now in 11..13 {
            let mut notes = vec![note(1, 7, now), note(2, 7, 9)];
            table.take(&mut notes, || u64::from(now));
            assert!(notes.is_empty());
        }
        assert_eq!(reading.rows().len(), 1);
        drop(reading);
        let told = |row: &Row| (row.last, row.queries, row.instance);
        let all: Vec<_> = table.lock().rows().iter().map(told).collect();
        assert_eq!(all, [(12, 3, 12), (12, 2, 9)]);
        let reading = table.lock();
        table.take(&mut vec![note(1, 7, 4)], || 19);
        drop(reading);
        table.take(&mut vec![note(1, 7, 5)], || 20);
        assert_eq!(told(&table.lock().rows()[0]), (20, 5, 5));
    }

    #[test]
    fn what_is_told_while_a_reader_stands_still_is_bounded_and_none_of_it_is_lost() {
        const PART: u32 = MAX_ROWS as u32 / 8;
        let table = ToldTable::default();
        let reading = table.lock();
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                for _ in 0..20 {
                    table.take(&mut (0..PART).map(|client| note(client, 7, 1)).collect(), || 1);
                }
            });
            while table.late().len() < MAX_ROWS {
                std::thread::yield_now();
            }
            for _ in 0..1000 {
                std::thread::yield_now();
                assert!(table.late().len() == MAX_ROWS && !taking.is_finished());
            }
            drop(reading);
        });
        assert_eq!(table.lock().rows().iter().map(|row| row.queries).sum::<u64>(), 20 * u64::from(PART));
    }

    #[test]
    fn clients_can_not_choose_addresses_that_are_kept_at_one_place() {
        let rows = Rows::default();
        let places = |client: fn(u128) -> u128| {
            (0..1000).map(|n| rows.hash(client(n), 1)).collect::<std::collections::HashSet<_>>().len()
        };
        // A factor of 0 leaves nothing of the other.
        assert!(places(|n| n << 64) > 990 && places(|n| n) > 990);
    }

    #[test]
    fn where_all_stood_that_it_was_given_is_told_and_when_it_was_given_others_last() {
        let told = |steps: &[(u32, u32)]| {
            let mut rows = Rows::new(4);
            for ((instance, zone), now) in steps.iter().zip(1..) {
                let told = Told { service: 7, instance: *instance, zone: *zone };
                rows.note(&Note { client: IpAddr::from([0, 0, 0, 1]), told }, now);
            }
            (rows.rows()[0].zone, rows.rows()[0].beyond)
        };
        assert_eq!(told(&[(1, 5), (1, 5), (0, 0)]), (5, 0)); // nobody was given: that is nowhere
        assert_eq!(told(&[(1, 5), (2, 0), (1, 5)]), (5, 2));
        assert_eq!(told(&[(2, 0), (2, 0), (1, 5), (1, 5)]), (5, 2));
        assert_eq!(told(&[(1, 5), (3, 6), (3, 6)]), (6, 2));
        assert_eq!(told(&[(1, 0), (0, 0)]), (0, 0));
        assert_eq!(told(&[(1, 5), (2, 0)]), (5, 2));
        assert_eq!(told(&[(0, 5)]), (0, 0));
    }

    #[test]
    fn a_client_is_one_by_whichever_socket_it_came() {
        let mut rows = Rows::new(4);
        rows.note(&note(0x7F00_0001, 1, 1), 1);
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        rows.note(&Note { client: mapped, told: Told { service: 1, instance: 1, zone: 0 } }, 2);
        assert_eq!((rows.rows().len(), rows.rows()[0].queries), (1, 2));
        assert!(rows.rows()[0].is_of(Some(1), Some(mapped)));
    }

    #[test]
    fn what_was_asked_of_a_service_only_ever_grows_and_who_asks_most_is_first() {
        let mut rows = Rows::new(3);
        for (client, service, now) in [(1, 7, 1), (2, 7, 2), (2, 7, 3), (3, 8, 4), (2, 8, 5), (4, 7, 6)] {
            rows.note(&note(client, service, 9), now);
        }
        let mut demand = Demand::default();
        demand.add(&rows, 5);
        assert_eq!(rows.rows().len(), 3);
        assert_eq!(demand.services, HashMap::from([(7, 4), (8, 2)]));
        assert_eq!(
            demand.most_asking(9),
            [(IpAddr::from([0, 0, 0, 4]), 1, 6), (IpAddr::from([0, 0, 0, 2]), 1, 5),]
        );
        let mut other = Rows::new(3); // of a thread that had its client before
        other.note(&note(4, 7, 9), 5);
        other.note(&note(4, 7, 9), 7);
        demand.add(&other, 5);
        assert_eq!(demand.most_asking(1), [(IpAddr::from([0, 0, 0, 4]), 3, 5)]);
        assert!(demand.most_asking(0).is_empty());
    }

    /// The same told as plainly as can be: no slot, no batch.
    #[derive(Default)]
    struct Plain {
        rows: HashMap<(u32, u32), (u64, u64)>,
        by_time: BTreeMap<u64, (u32, u32)>,
        forgotten: u64,
    }

    impl Plain {
        fn note(&mut self, key: (u32, u32), now: u64, limit: usize) {
            if let Some((last, queries)) = self.rows.get_mut(&key) {
                self.by_time.remove(last);
                (*last, *queries) = (now, *queries + 1);
            } else {
                if self.rows.len() == limit {
                    let (_, oldest) = self.by_time.pop_first().unwrap();
                    self.rows.remove(&oldest);
                    self.forgotten += 1;
                }
                self.rows.insert(key, (now, 1));
            }
            self.by_time.insert(now, key);
        }
    }

    #[test]
    fn past_the_bound_the_longest_unseen_goes_and_is_counted() {
        for limit in [1, 2, 33, 64, 1000] {
            let (mut rows, mut plain) = (Rows::new(limit), Plain::default());
            let mut state = limit as u64;
            for now in 0..20_000u64 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let client = (state >> 33) as u32 % (limit as u32 * 2);
                let service = 1 + (state >> 20) as u32 % 2;
                rows.note(&note(client, service, 9), now);
                plain.note((client, service), now, limit);
            }
            let seen: HashMap<_, _> =
                rows.rows().iter().map(|r| ((r.client as u32, r.service), (r.last, r.queries))).collect();
            assert_eq!(seen, plain.rows);
            assert_eq!(rows.forgotten, plain.forgotten);
        }
    }

    #[test]
    fn memory_is_bounded_whoever_asks() {
        let mut rows = Rows::default();
        for client in 0..300_000 {
            rows.note(&note(client, 1, 1), u64::from(client));
        }
        assert_eq!((rows.rows().len(), rows.forgotten), (MAX_ROWS, 300_000 - MAX_ROWS as u64));
        assert_eq!(rows.slots.len(), 2 * MAX_ROWS);
        assert!(rows.rows().iter().all(|row| row.first >= 300_000 - MAX_ROWS as u64));
        let mut rows = Rows::new(1);
        let most = (0..2 * MAX_ROWS as u32).map(|service| {
            rows.note(&note(1, service, 1), u64::from(service));
            rows.gone.len()
        });
        assert_eq!(most.max(), Some(MAX_ROWS));
    }
}
