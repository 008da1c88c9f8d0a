//! What upstreams answered, for every thread to give again: an index that is read without a lock, and
//! a ledger that says what goes.
//!
//! Rules: Python decides what is kept and for how long; here is room for it, bounded by bytes and by
//! number. Keys come from those who ask, so their hash is a secret of this process.

use crate::batch::BATCH;
use crate::eviction::{Aged, Ledger};
use crate::index::{Change, Index, Keyed};
use crate::query::Asked;
use crate::query::Read;
use crate::respond::Outcome;
use crate::stored::{Ask, KEEP, Stored};
use arc_swap::{ArcSwap, Guard};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Answers that wait to be fetched anew; more are told again by the next who asks.
const DUE: usize = 1000;

/// Replies that are let go of in a row, in a millisecond: all that are kept may speak of one name.
const GONE_AT_A_TIME: usize = 1000;

pub type Held = Index<Stored>;

impl Aged for Stored {
    fn frequency(&self) -> u8 {
        Stored::frequency(self)
    }

    fn set_frequency(&self, frequency: u8) {
        Stored::set_frequency(self, frequency);
    }

    fn is_over(&self, now: f64) -> bool {
        now >= self.expires + KEEP
    }
}

struct Inside {
    ledger: Ledger<Stored>,
    /// Reverse names come and go with instances, one by one, so they are found by name. All that is kept may
    /// speak of one: each is taken out of these places without a look at the others.
    reverse: HashMap<Box<[u8]>, BTreeSet<u32>>,
    /// What nobody is given any more, and is not let go of yet: some whenever something is kept.
    gone: Vec<Arc<Stored>>,
}

pub struct Cache {
    held: ArcSwap<Held>,
    inside: Mutex<Inside>,
    secret: RandomState,
    due: Mutex<Vec<Box<[u8]>>>,
    waiting: AtomicUsize,
    /// Python's clock, and ours at the same moment.
    began: (f64, Instant),
}

impl Cache {
    /// `now`: by the clock that all times of the kept are by.
    pub fn new(bytes: u64, entries: u64, now: f64) -> Cache {
        let inside =
            Inside { ledger: Ledger::new(bytes, entries), reverse: HashMap::new(), gone: Vec::new() };
        Cache {
            held: ArcSwap::default(),
            inside: Mutex::new(inside),
            secret: RandomState::new(),
            due: Mutex::default(),
            waiting: AtomicUsize::new(0),
            began: (now, Instant::now()),
        }
    }

    pub fn now(&self) -> f64 {
        self.began.0 + self.began.1.elapsed().as_secs_f64()
    }

    /// All that is kept at this moment, whole for as long as it is held.
    #[inline]
    pub fn held(&self) -> Guard<Arc<Held>> {
        self.held.load()
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.secret.hash_one(key)
    }

    /// The reply of a key, expired or not, save those that are past keeping.
    pub fn get(&self, key: &[u8], now: f64) -> Option<Arc<Stored>> {
        let held = self.held();
        let stored = held.find(self.hash(key), key).filter(|stored| now < stored.expires + KEEP);
        stored.filter(|stored| !stored.is_forgotten()).cloned()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The costs of all that is kept, bytes.
    pub fn used(&self) -> u64 {
        self.inside().ledger.used()
    }

    /// Keeps a reply, in place of what has its key. `share`: of whose asking it came.
    pub fn put(&self, stored: Stored, share: u8, now: f64) {
        let mut inside = self.inside();
        self.let_go(&mut inside);
        let held = Held::clone(&self.held());
        let hash = self.hash(stored.key());
        let (key, weight) = (stored.key().to_vec(), stored.weight());
        let stored = Arc::new(stored);
        let mut gone = Vec::new();
        let old = held.find(hash, &key).cloned();
        let place = match &old {
            Some(old) => {
                let place = old.place.load(Relaxed);
                inside.ledger.replace(place, stored.clone(), weight, now, &mut gone).then_some(place)
            }
            None => inside.ledger.put(stored.clone(), hash, weight, share, now, &mut gone),
        };
        let Some(place) = place else { return };
        stored.place.store(place, Relaxed);
        // In this order: of what was replaced and then had to go, nothing is left.
        let change = (hash, Change { key, value: Some(stored.clone()) });
        if let Some(old) = &old {
            inside.forget_reverse(old);
        }
        self.take_out(&mut inside, held, vec![change], &gone);
        inside.note_reverse(&stored, place); // last: it may stand where one of those stood
    }

    /// Publishes `held` with these changes and without those that are gone.
    fn take_out(
        &self,
        inside: &mut Inside,
        mut held: Held,
        mut changes: Vec<(u64, Change<Stored>)>,
        gone: &[Arc<Stored>],
    ) {
        for old in gone {
            inside.forget_reverse(old);
            changes.push(self.change_for(old));
        }
        held.apply_hashed(changes);
        self.held.store(Arc::new(held));
    }

    fn change_for(&self, gone: &Stored) -> (u64, Change<Stored>) {
        (self.hash(gone.key()), Change { key: gone.key().to_vec(), value: None })
    }

    /// From now on nobody is given what says something of these names, whatever it was asked for; with `below` of what
    /// is below them, too. They are in lower case. A look at all that is kept, save for reverse names alone.
    pub fn forget(&self, names: &[&[u8]], below: bool) {
        let mut inside = self.inside();
        let mut places = Vec::new();
        let known: HashSet<&[u8]> = names.iter().copied().collect();
        let is_meant = |name: &[u8]| match below {
            true => Above(Some(name)).any(|name| known.contains(name)),
            false => known.contains(name),
        };
        if !names.iter().all(|name| is_reverse(name)) {
            let speaks = |stored: &Stored| stored.spoken_of().any(is_meant);
            places.extend(inside.ledger.values().filter(|(_, stored)| speaks(stored)).map(|(at, _)| at));
        } else if below {
            let of = inside.reverse.iter().filter(|(name, _)| is_meant(name));
            places.extend(of.flat_map(|(_, places)| places));
        } else {
            for name in names {
                places.extend(inside.reverse.get(*name).into_iter().flatten());
            }
        }
        let there = places.iter().filter_map(|at| inside.ledger.at(*at));
        let gone: Vec<Arc<Stored>> = there.filter(|stored| stored.forget()).cloned().collect();
        inside.gone.extend(gone);
        self.let_go(&mut inside);
    }

    pub fn clear(&self) {
        let mut inside = self.inside();
        inside.ledger.clear();
        inside.reverse.clear();
        inside.gone.clear();
        self.held.store(Arc::default());
    }

    /// Takes out some of what is forgotten, where it still stands.
    fn let_go(&self, inside: &mut Inside) {
        let left = inside.gone.len().saturating_sub(GONE_AT_A_TIME);
        let some = inside.gone.split_off(left);
        let mut gone = Vec::new();
        for one in some {
            let place = one.place.load(Relaxed);
            if inside.ledger.at(place).is_some_and(|there| Arc::ptr_eq(there, &one)) {
                gone.extend(inside.ledger.remove(place));
            }
        }
        if !gone.is_empty() {
            let held = Held::clone(&self.held());
            self.take_out(inside, held, Vec::new(), &gone);
        }
    }

    /// Whether there was room to say that this one is to be fetched anew.
    #[cold]
    fn tell_due(&self, stored: &Stored) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= DUE {
            stored.tell_again();
            return false;
        }
        due.push(stored.key().into());
        self.waiting.store(due.len(), Relaxed);
        true
    }

    pub fn take_due(&self) -> Vec<Box<[u8]>> {
        if self.waiting.load(Relaxed) == 0 {
            return Vec::new();
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(0, Relaxed);
        std::mem::take(&mut due)
    }
}

impl Inside {
    fn note_reverse(&mut self, kept: &Stored, place: u32) {
        for name in kept.spoken_of().filter(|name| is_reverse(name)) {
            self.reverse.entry(name.into()).or_default().insert(place);
        }
    }

    fn forget_reverse(&mut self, gone: &Stored) {
        let place = gone.place.load(Relaxed);
        for name in gone.spoken_of().filter(|name| is_reverse(name)) {
            if let Some(places) = self.reverse.get_mut(name) {
                places.remove(&place);
                if places.is_empty() {
                    self.reverse.remove(name);
                }
            }
        }
    }
}

fn is_reverse(name: &[u8]) -> bool {
    name.ends_with(b"\x07in-addr\x04arpa\0") || name.ends_with(b"\x03ip6\x04arpa\0")
}

/// A name and all that it is below, down to the root.
struct Above<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Above<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let name = self.0?;
        self.0 = match name.first() {
            Some(&length) if length > 0 => name.get(1 + length as usize..),
            _ => None,
        };
        Some(name)
    }
}

/// What is kept as one round of queries sees it.
pub struct Reading<'c> {
    cache: &'c Cache,
    /// None while nobody asked for it: a round of our own names has no need of it.
    held: Option<Guard<Arc<Held>>>,
    now: Option<f64>,
}

impl<'c> Reading<'c> {
    /// `now`: None to look at the clock where it is needed.
    pub fn new(cache: &'c Cache, now: Option<f64>) -> Reading<'c> {
        Reading { cache, held: None, now }
    }

    #[inline]
    pub fn hash(&self, asked: &Asked) -> u64 {
        self.cache.hash(asked.outside_key())
    }

    /// Brings what many will be answered from into near memory.
    #[inline]
    pub fn touch(&mut self, hashes: &[u64]) {
        let held = self.held.get_or_insert_with(|| self.cache.held());
        held.first_of_each(hashes, &mut [None; BATCH]);
    }

    /// What there is to say of a name that is not ours, to a client that may have names forwarded:
    /// whether a reply was appended to `out`, and whether one is now due to be fetched anew. None: it
    /// is not at hand, or expired, or forgotten, and Python's to say.
    #[inline]
    pub fn give(
        &mut self,
        packet: &[u8],
        asked: &Asked,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Option<(Outcome, bool)> {
        let Read::Plain(query) = asked.read else { return None };
        let hash = if asked.outside != 0 { asked.outside } else { self.hash(asked) };
        let (cache, now) = (self.cache, &mut self.now);
        let held = self.held.get_or_insert_with(|| cache.held());
        let stored = held.find(hash, asked.outside_key())?;
        let now = *now.get_or_insert_with(|| cache.now());
        if now >= stored.expires || stored.is_forgotten() {
            return None;
        }
        let due = stored.hit(now) && self.cache.tell_due(stored);
        let size = query.edns.map(|edns| edns.size);
        stored.reply(&Ask { packet, end: 12 + query.name + 4, size, limit }, now, out);
        Some((Outcome::Reply { qtype: query.qtype, rcode: stored.rcode(), search_miss: false }, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::Given;

    #[test]
    fn reverse_names_that_nothing_is_kept_of_take_no_memory() {
        let cache = Cache::new(1 << 20, 10, 0.0);
        for n in 0..100 {
            let key = [&[1, n][..], b"\x07in-addr\x04arpa\0", &[0, 12, 0, 1, 0]].concat();
            let (key, body) = (&key[..], &[][..]);
            let (records, others, errors) = (&[][..], &[][..], &[][..]);
            let (counts, flags) = ([0; 3], [0; 2]);
            let (stored_at, expires, renew_at) = (0.0, 60.0, 60.0);
            let given =
                Given { key, body, records, counts, flags, others, errors, stored_at, expires, renew_at };
            cache.put(Stored::new(&given).unwrap(), 0, 0.0);
        }
        assert_eq!(cache.inside().reverse.len(), cache.len());
        assert!(cache.len() <= 10);
    }
}
