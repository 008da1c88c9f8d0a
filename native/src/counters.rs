//! What one thread has done, counted by itself and summed by whoever asks.
//!
//! Rules: one writer, so an addition is a load and a store and locks nothing; counts are exact, and
//! only times are sampled.

use crate::told::ToldTable;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Types from 1 to 254 each have their own place; place 0 is for all others.
pub const TYPES: usize = 255;
pub const RCODES: [u8; 2] = [crate::wire::NOERROR, crate::wire::NXDOMAIN];

/// Clients whose search misses are counted one by one; those of all others are one sum.
pub const CLIENTS: usize = 1000;

/// Upper bounds in nanoseconds, those of `zkdns/serve/dispatch.py`; one bucket more is for all above.
pub const BOUNDS: [u64; 13] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    2_500_000_000,
];

#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

pub struct Counters {
    replies: Box<[[Count; RCODES.len()]; TYPES]>,
    buckets: [Count; BOUNDS.len() + 1],
    pub nanoseconds: Count,
    /// Replies themselves, or too short to answer.
    pub dropped: Count,
    /// Replies that an upstream had given before.
    pub cached: Count,
    /// Given to Python.
    pub passed: Count,
    /// Not given to Python: it had no room left.
    pub overflowed: Count,
    /// Replies that the kernel would not send.
    pub unsent: Count,
    pub panics: Count,
    /// Rounds: packets by rounds is the mean batch.
    pub rounds: Count,
    /// Who was told what.
    pub told: ToldTable,
    /// Names that a search list made, by client; None for those past the first `CLIENTS`.
    search_misses: Mutex<HashMap<Option<IpAddr>, u64>>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            replies: Box::new(std::array::from_fn(|_| Default::default())),
            buckets: Default::default(),
            nanoseconds: Count::default(),
            dropped: Count::default(),
            cached: Count::default(),
            passed: Count::default(),
            overflowed: Count::default(),
            unsent: Count::default(),
            panics: Count::default(),
            rounds: Count::default(),
            told: ToldTable::default(),
            search_misses: Mutex::default(),
        }
    }
}

impl Counters {
    #[inline]
    pub fn reply(&self, qtype: u16, rcode: u8) {
        let row = if (qtype as usize) < TYPES { qtype as usize } else { 0 };
        self.replies[row][usize::from(rcode != RCODES[0])].add(1);
    }

    /// Only the one who asks for the sums ever waits at this lock, or makes its thread wait.
    pub fn note_search_miss(&self, client: IpAddr) {
        let mut lost = self.search_misses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lost.len() < CLIENTS || lost.contains_key(&Some(client));
        *lost.entry(known.then_some(client)).or_default() += 1;
    }

    pub fn search_misses(&self) -> Vec<(Option<IpAddr>, u64)> {
        let lost = self.search_misses.lock().unwrap_or_else(PoisonError::into_inner);
        lost.iter().map(|(client, n)| (*client, *n)).collect()
    }

    pub fn replies(&self) -> impl Iterator<Item = ((u16, u8), u64)> {
        let row = |(qtype, row): (usize, &[Count; RCODES.len()])| {
            let cell = |k: usize| ((qtype as u16, RCODES[k]), row[k].get());
            [cell(0), cell(1)]
        };
        self.replies.iter().enumerate().flat_map(row).filter(|(_, n)| *n > 0)
    }

    /// `n` replies left `nanoseconds` after their queries were read.
    #[inline]
    pub fn took(&self, nanoseconds: u64, n: u64) {
        self.buckets[BOUNDS.partition_point(|bound| *bound < nanoseconds)].add(n);
        self.nanoseconds.add(nanoseconds * n);
    }

    pub fn buckets(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|k| self.buckets[k].get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_by_type_and_rcode_and_strange_types_together() {
        let counters = Counters::default();
        for (qtype, rcode) in [(1, 0), (1, 0), (1, 3), (254, 0), (255, 3), (65_280, 3)] {
            counters.reply(qtype, rcode);
        }
        let seen: Vec<_> = counters.replies().collect();
        assert_eq!(seen, [((0, 3), 2), ((1, 0), 2), ((1, 3), 1), ((254, 0), 1)]);
    }

    #[test]
    fn lost_names_are_counted_by_client_and_past_the_bound_together() {
        let counters = Counters::default();
        for n in 0..CLIENTS as u32 + 5 {
            counters.note_search_miss(IpAddr::from(n.to_be_bytes()));
        }
        counters.note_search_miss(IpAddr::from([0, 0, 0, 0]));
        let lost: HashMap<_, _> = counters.search_misses().into_iter().collect();
        assert_eq!(lost[&Some(IpAddr::from([0, 0, 0, 0]))], 2);
        assert_eq!((lost.len(), lost[&None]), (CLIENTS + 1, 5));
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let counters = Counters::default();
        counters.took(5_000, 2);
        counters.took(5_001, 3);
        counters.took(u64::from(u32::MAX), 1);
        let buckets = counters.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[BOUNDS.len()]), (2, 3, 1));
        assert_eq!(counters.nanoseconds.get(), 2 * 5_000 + 3 * 5_001 + u64::from(u32::MAX));
    }
}
