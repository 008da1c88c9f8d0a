//! Laws of the ledger, and loads that are hard on a cache.
//!
//! Rules: no clock and no chance but proptest's and a generator with a seed.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use zkdns_native::eviction::{Aged, Ledger, SHARES};

struct Item {
    key: u64,
    frequency: AtomicU8,
    over: AtomicBool,
}

impl Aged for Item {
    fn frequency(&self) -> u8 {
        self.frequency.load(Relaxed)
    }

    fn set_frequency(&self, frequency: u8) {
        self.frequency.store(frequency, Relaxed);
    }

    fn is_over(&self, _: f64) -> bool {
        self.over.load(Relaxed)
    }
}

/// A cache of numbers.
struct Numbers {
    ledger: Ledger<Item>,
    kept: HashMap<u64, (u32, Arc<Item>)>,
}

impl Numbers {
    fn new(bytes: u64, entries: u64) -> Numbers {
        Numbers { ledger: Ledger::new(bytes, entries), kept: HashMap::new() }
    }

    /// Room for so many, in which these are asked for again and again by one network.
    fn often(entries: u64, keys: std::ops::Range<u64>, share: u8) -> Numbers {
        let mut numbers = Numbers::new(entries, entries);
        for _ in 0..4 {
            numbers.ask_all(keys.clone(), share);
        }
        numbers
    }

    /// Whether it was there.
    fn ask(&mut self, key: u64, share: u8) -> bool {
        if let Some((_, item)) = self.kept.get(&key) {
            item.set_frequency((item.frequency() + 1).min(3));
            return true;
        }
        self.put(key, 1, share);
        false
    }

    fn ask_all(&mut self, keys: std::ops::Range<u64>, share: u8) {
        keys.for_each(|key| _ = self.ask(key, share));
    }

    fn put(&mut self, key: u64, bytes: usize, share: u8) -> Vec<u64> {
        let mut gone = Vec::new();
        let item = Arc::new(Item { key, frequency: AtomicU8::new(0), over: AtomicBool::new(false) });
        match self.kept.get(&key).map(|(at, _)| *at) {
            Some(at) => {
                if self.ledger.replace(at, item.clone(), bytes, 0.0, &mut gone) {
                    self.kept.insert(key, (at, item));
                }
            }
            None => {
                if let Some(at) = self.ledger.put(item.clone(), key, bytes, share, 0.0, &mut gone) {
                    self.kept.insert(key, (at, item));
                }
            }
        }
        gone.iter().for_each(|item| drop(self.kept.remove(&item.key)));
        gone.iter().map(|item| item.key).collect()
    }
}

/// Numbers that come with Zipf's law: the n-th as often as one n-th of the first.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(most: u64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=most).map(|n| {
            sum += 1.0 / n as f64;
            sum
        });
        Zipf { sums: sums.collect(), state: 7 }
    }

    fn next(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (self.state >> 11) as f64 / (1u64 << 53) as f64 * self.sums.last().unwrap();
        self.sums.partition_point(|sum| *sum < at) as u64
    }
}

const FLOOD: u64 = 1 << 32;

#[test]
fn a_flood_of_names_that_are_asked_once_leaves_what_is_asked_often() {
    let mut numbers = Numbers::often(1000, 0..500, 1);
    for key in 0..20_000 {
        numbers.ask(FLOOD + key, (key % SHARES as u64) as u8); // each from elsewhere
    }
    let left = (0..500).filter(|key| numbers.kept.contains_key(key)).count();
    assert!(left >= 450, "{left} of 500 are left");
}

#[test]
fn a_flood_among_what_is_asked_by_zipfs_law_costs_few_hits() {
    let rate = |flood: u64| {
        let (mut numbers, mut zipf) = (Numbers::new(1000, 1000), Zipf::new(10_000));
        let mut hits = 0;
        for n in 0..40_000u64 {
            hits += u64::from(numbers.ask(zipf.next(), 1) && n >= 20_000);
            (0..flood).for_each(|k| _ = numbers.ask(FLOOD + n * flood + k, 2));
        }
        hits as f64 / 20_000.0
    };
    let (quiet, flooded) = (rate(0), rate(5));
    assert!(quiet > 0.65, "{quiet}");
    assert!(flooded > quiet - 0.08, "{quiet} without the flood, {flooded} with it");
}

#[test]
fn what_was_pushed_out_and_comes_again_is_kept_longer() {
    let mut numbers = Numbers::new(100, 100);
    numbers.ask_all(0..100, 0);
    numbers.ask_all(FLOOD..FLOOD + 20, 0);
    assert!(!numbers.kept.contains_key(&5));
    numbers.ask(5, 0);
    numbers.ask_all(2 * FLOOD..2 * FLOOD + 50, 0);
    assert!(numbers.kept.contains_key(&5));
}

#[test]
fn a_network_that_asks_for_each_of_its_flood_again_pushes_out_its_own() {
    let mut numbers = Numbers::often(1000, 0..300, 1);
    for key in 0..5_000 {
        (0..4).for_each(|_| _ = numbers.ask(FLOOD + key, 2));
    }
    let left = (0..300).filter(|key| numbers.kept.contains_key(key)).count();
    // Its share is half of the room, and they are fewer: a few go while the flood comes up.
    assert!(left >= 290, "{left} of 300 are left");
}

#[test]
fn what_is_past_keeping_goes_however_often_it_was_asked_for() {
    let mut numbers = Numbers::often(100, 0..100, 0);
    (0..100).for_each(|key| numbers.kept[&key].1.over.store(true, Relaxed));
    assert_eq!(numbers.put(FLOOD, 1, 0), [0]);
}

#[test]
fn where_all_are_asked_often_a_new_one_still_comes_in_and_few_are_looked_at() {
    let mut numbers = Numbers::often(10_000, 0..10_000, 0);
    assert_eq!(numbers.put(FLOOD, 1, 0).len(), 1);
    let spared = numbers.kept.values().filter(|(_, item)| item.frequency() < 3).count();
    assert!(spared <= 130, "{spared}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn costs_stay_within_the_bounds_and_nothing_is_lost_or_kept_twice(
        bytes in 500u64..3000, entries in 5u64..60,
        steps in vec((0u64..120, 1usize..700, 0u8..4, 0u8..10), 1..400),
    ) {
        let mut numbers = Numbers::new(bytes, entries);
        let mut sizes: HashMap<u64, u64> = HashMap::new();
        for (key, size, share, how) in steps {
            match how {
                0 => {
                    if let Some((at, _)) = numbers.kept.remove(&key) {
                        prop_assert!(numbers.ledger.remove(at).is_some());
                        prop_assert!(numbers.ledger.remove(at).is_none());
                    }
                    sizes.remove(&key);
                }
                1..=4 => {
                    if let Some((_, item)) = numbers.kept.get(&key) {
                        item.set_frequency((item.frequency() + 1).min(3));
                    }
                }
                _ if size as u64 > bytes => prop_assert!(numbers.put(key, size, share).is_empty()),
                _ => {
                    let gone = numbers.put(key, size, share);
                    prop_assert_eq!(gone.iter().collect::<HashSet<_>>().len(), gone.len());
                    sizes.insert(key, size as u64);
                    sizes.retain(|key, _| numbers.kept.contains_key(key));
                }
            }
            prop_assert!(numbers.ledger.used() <= bytes);
            prop_assert!(numbers.ledger.len() as u64 <= entries);
            prop_assert!(sizes.values().sum::<u64>() <= bytes);
            let listed: HashSet<u64> = numbers.ledger.values().map(|(_, item)| item.key).collect();
            prop_assert_eq!(listed, numbers.kept.keys().copied().collect::<HashSet<_>>());
            let least = bytes.div_ceil(entries);
            prop_assert_eq!(numbers.ledger.used(), sizes.values().map(|size| least.max(*size).max(1)).sum::<u64>());
        }
    }
}
