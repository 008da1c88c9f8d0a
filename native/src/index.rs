//! A map from wire keys to shared values whose copy costs next to nothing.
//!
//! Rules: a copy shares all that it does not change, so a publish touches the leaves of its own keys
//! and no more, and a reader's copy stays whole for as long as it is held. Two levels of 64 make
//! 4,096 leaves: a dozen slots in each at 50,000 keys, and a binary search where there are more.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::{Arc, LazyLock};

const FAN: usize = 64;

pub trait Keyed {
    fn key(&self) -> &[u8];

    /// Reads a little of all that an answer will read.
    fn touch(&self) -> u64 {
        u64::from(self.key()[0])
    }
}

type Slot<T> = (u64, Arc<T>);
type Leaf<T> = Arc<[Slot<T>]>;
type Branch<T> = Arc<[Leaf<T>; FAN]>;

pub struct Index<T> {
    branches: [Branch<T>; FAN],
    len: usize,
}

/// A change to one key: a value that takes its place, or none.
pub struct Change<T> {
    pub key: Vec<u8>,
    pub value: Option<Arc<T>>,
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        Index { branches: self.branches.clone(), len: self.len }
    }
}

impl<T: Keyed> Default for Index<T> {
    fn default() -> Self {
        let leaf: Leaf<T> = Arc::from(Vec::new());
        let branch: Branch<T> = Arc::new(std::array::from_fn(|_| leaf.clone()));
        Index { branches: std::array::from_fn(|_| branch.clone()), len: 0 }
    }
}

impl<T: Keyed> Index<T> {
    #[inline]
    fn leaf(&self, hash: u64) -> &[Slot<T>] {
        &self.branches[(hash >> 58) as usize][(hash >> 52) as usize % FAN]
    }

    pub fn get(&self, key: &[u8]) -> Option<&T> {
        self.find(hash(key), key).map(|value| &**value)
    }

    /// The same for a hash that the caller chose: all keys of an index are put in by the same.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<&Arc<T>> {
        let leaf = self.leaf(hash);
        let from = leaf.partition_point(|slot| slot.0 < hash);
        leaf[from..]
            .iter()
            .take_while(|slot| slot.0 == hash)
            .map(|slot| &slot.1)
            .find(|value| value.key() == key)
    }

    /// The first value of each hash; whether it is the one of the key is for the caller to see.
    ///
    /// An answer is in a handful of places, each known from the one before, and the kernel's work
    /// between two rounds has driven most of them out of the near caches. One step for all hashes,
    /// then the next: so the processor waits for many of them at once, and not for each in turn.
    #[inline]
    pub fn first_of_each<'t, const N: usize>(&'t self, hashes: &[u64], found: &mut [Option<&'t T>; N]) {
        let mut leaves: [&[Slot<T>]; N] = [&[]; N];
        for (leaf, hash) in leaves.iter_mut().zip(hashes) {
            *leaf = self.leaf(*hash);
        }
        for ((found, leaf), hash) in found.iter_mut().zip(&leaves).zip(hashes) {
            let from = if leaf.len() > 8 { leaf.partition_point(|slot| slot.0 < *hash) } else { 0 };
            *found = leaf[from..]
                .iter()
                .find(|slot| slot.0 >= *hash)
                .filter(|slot| slot.0 == *hash)
                .map(|slot| &*slot.1);
        }
        for found in found.iter().take(hashes.len()).flatten() {
            black_box(found.touch());
        }
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        let leaves = self.branches.iter().flat_map(|branch| branch.iter());
        leaves.flat_map(|leaf| leaf.iter().map(|slot| &*slot.1))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of two changes to one key the later wins.
    pub fn apply(&mut self, changes: Vec<Change<T>>) {
        self.apply_hashed(changes.into_iter().map(|c| (hash(&c.key), c)).collect());
    }

    /// The same for hashes that the caller chose.
    pub fn apply_hashed(&mut self, mut changes: Vec<(u64, Change<T>)>) {
        changes.sort_by_key(|(hash, _)| *hash); // stable: the order of two changes to one key stays
        let mut changes = changes.into_iter().peekable();
        while let Some((first, change)) = changes.next() {
            let branch = Arc::make_mut(&mut self.branches[(first >> 58) as usize]);
            let leaf = &mut branch[(first >> 52) as usize % FAN];
            let mut slots = leaf.to_vec();
            let before = slots.len();
            put(&mut slots, first, change);
            while let Some((hash, change)) = changes.next_if(|(hash, _)| hash >> 52 == first >> 52) {
                put(&mut slots, hash, change);
            }
            self.len = self.len + slots.len() - before;
            *leaf = Arc::from(slots);
        }
    }
}

fn put<T: Keyed>(slots: &mut Vec<Slot<T>>, hash: u64, change: Change<T>) {
    let from = slots.partition_point(|slot| slot.0 < hash);
    let same = slots[from..]
        .iter()
        .take_while(|slot| slot.0 == hash)
        .position(|slot| slot.1.key() == change.key)
        .map(|offset| from + offset);
    match (same, change.value) {
        (Some(at), Some(value)) => slots[at].1 = value,
        (Some(at), None) => drop(slots.remove(at)),
        (None, Some(value)) => slots.insert(from, (hash, value)),
        (None, None) => (),
    }
}

/// Of this process: who registers chooses names, and would find as many as he likes with one hash. Each question
/// for one of those would look at all of them.
static SECRET: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    mix(*SECRET, bytes)
}

/// Multiply and fold, eight bytes a step. A leaf with keys of one hash is still searched right.
#[inline]
fn mix(secret: u64, bytes: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = (bytes.len() as u64).wrapping_mul(K) ^ secret;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        state = fold(state ^ word, K);
    }
    let mut last = [0; 8];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(state ^ u64::from_le_bytes(last), 0xD6E8_FEB8_6659_FD93), K)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    #[derive(Debug, PartialEq)]
    struct Pair(Vec<u8>, u32);

    impl Keyed for Pair {
        fn key(&self) -> &[u8] {
            &self.0
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn an_index_is_a_map_and_its_copies_stay_as_they_were(
            rounds in prop::collection::vec(prop::collection::vec((0u16..400, prop::option::of(any::<u32>())), 0..60), 1..8)
        ) {
            let mut index = Index::<Pair>::default();
            let mut model: HashMap<Vec<u8>, u32> = HashMap::new();
            let mut past = Vec::new();
            for round in rounds {
                past.push((index.clone(), model.clone()));
                let mut changes = Vec::new();
                for (key, value) in round {
                    let key = key.to_be_bytes().to_vec();
                    match value {
                        Some(v) => model.insert(key.clone(), v),
                        None => model.remove(&key),
                    };
                    let value = value.map(|v| Arc::new(Pair(key.clone(), v)));
                    changes.push(Change { key, value });
                }
                index.apply(changes);
            }
            past.push((index, model));
            for (index, model) in past {
                prop_assert_eq!(index.len(), model.len());
                for key in 0u16..400 {
                    let key = key.to_be_bytes();
                    let value = model.get(&key[..]).copied();
                    prop_assert_eq!(index.get(&key).map(|p| p.1), value);
                    let mut found = [None; 2];
                    index.first_of_each(&[hash(&key)], &mut found);
                    prop_assert_eq!(found.map(|p| p.map(|p| p.1)), [value, None]);
                }
            }
        }
    }

    #[test]
    fn names_that_were_chosen_for_one_hash_have_many_where_the_secret_is_another() {
        // What the second word has to be, so that it undoes what the first one made.
        let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let start = 16u64.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 7;
        let chosen: Vec<[u64; 2]> =
            (0..1000u64).map(|n| [n, fold(start ^ n, 0x9E37_79B9_7F4A_7C15) ^ word(*b"whatever")]).collect();
        let hashes = |secret| {
            let hash = |two: &[u64; 2]| mix(secret, &two.map(u64::to_le_bytes).concat());
            chosen.iter().map(hash).collect::<HashSet<_>>().len()
        };
        assert_eq!((hashes(7), hashes(0x5DEE_CE66_D123_4567)), (1, 1000));
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), mix(0, b"a"));
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut slots = Vec::new();
        for n in 0..3u8 {
            let key = vec![n];
            put(&mut slots, 7, Change { key: key.clone(), value: Some(Arc::new(Pair(key, n.into()))) });
        }
        put(&mut slots, 7, Change { key: vec![1], value: None });
        let mut left: Vec<u32> = slots.iter().map(|s| s.1.1).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 2]);
    }
}
