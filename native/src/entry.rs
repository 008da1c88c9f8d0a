//! One positive answer, packed for reading, and what clients of one class are given in its place.
//!
//! Rules: never written once it is published, but for the counters; an entry is one run of bytes (its
//! key, its option, its records) and the places of the records in it. Classes that differ in nothing but
//! their counter and option share one packed entry.

use crate::index::Keyed;
use crate::numbers::Used;
use crate::rotation::Rotation;
use crate::told::Told;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where some bytes of an entry stand, and how many records they are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Span {
    pub at: u32,
    pub len: u16,
    pub records: u16,
}

/// Where the records of a tier stand: equally long ones one behind the other, others by a list of spans.
#[derive(Clone, Copy, Default)]
struct Spans {
    at: u32,
    count: u32,
    /// 0: a list.
    stride: u16,
}

const SPAN: usize = 8;

impl Spans {
    fn list(spans: &[Span], bytes: &mut Vec<u8>) -> Result<Spans, TooLong> {
        let at = place_of(bytes)?;
        for span in spans {
            bytes.extend_from_slice(&span.at.to_le_bytes());
            bytes.extend_from_slice(&span.len.to_le_bytes());
            bytes.extend_from_slice(&span.records.to_le_bytes());
        }
        Ok(Spans { at, count: spans.len() as u32, stride: 0 })
    }

    #[inline]
    fn get(&self, index: u32, bytes: &[u8]) -> Span {
        assert!(index < self.count, "a rotation of more than the tier holds");
        if self.stride > 0 {
            return Span { at: self.at + index * u32::from(self.stride), len: self.stride, records: 1 };
        }
        let at = self.at as usize + index as usize * SPAN;
        let word = u64::from_le_bytes(bytes[at..at + SPAN].try_into().expect("eight bytes"));
        Span { at: word as u32, len: (word >> 32) as u16, records: (word >> 48) as u16 }
    }
}

struct Tier {
    rotation: Arc<Rotation>,
    records: Spans,
    /// None at all where the tier has none. Equal extras are the same span.
    extras: Spans,
}

/// A tier as it is given: its records, and the additional records that go with each.
pub struct Given<'a> {
    pub rotation: Arc<Rotation>,
    pub records: Vec<&'a [u8]>,
    pub extras: Vec<(&'a [u8], u16)>,
}

/// Packed for the cache: what is dear is not to copy an answer but to wait for the memory it is in.
pub struct Entry {
    counter: Arc<AtomicU64>,
    bytes: Box<[u8]>,
    first: Tier,
    more: Box<[Tier]>,
    /// What some clients are given instead.
    variants: Option<Box<Variants>>,
    /// Whose records those of the first tier are, by number; none where nobody notes who was told.
    instances: Arc<[u32]>,
    service: u32,
    /// Where all stand that it gives, by number; 0 for anywhere.
    zone: u32,
    key: u16,
    ede: u16,
    origin: u16,
    repeats: bool,
}

impl Keyed for Entry {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key as usize]
    }

    #[inline]
    fn touch(&self) -> u64 {
        let first = self.instances.first().map_or(0, |number| u64::from(*number));
        self.position() ^ u64::from(self.bytes[0]) ^ first
    }
}

/// More than the packing can address: four gigabytes for one name, or a name that is none.
#[derive(Debug)]
pub struct TooLong;

/// The longest message (RFC 1035, section 4.2.2). What is longer is never given whole, and no more
/// than this is ever given of it, so that its beginning stands for it.
pub(crate) const MESSAGE: usize = u16::MAX as usize;

impl Entry {
    pub fn new(
        key: &[u8],
        tiers: &[Given],
        ede: &[u8],
        repeats: bool,
        counter: Arc<AtomicU64>,
    ) -> Result<Entry, TooLong> {
        let mut bytes = [key, ede].concat();
        let mut known = HashMap::new();
        let mut packed = Vec::with_capacity(tiers.len());
        for tier in tiers {
            let records = pack_records(&tier.records, &mut bytes)?;
            let mut spans = Vec::with_capacity(tier.extras.len());
            for (run, records) in &tier.extras {
                spans.push(match known.get(run) {
                    Some(span) => *span,
                    None => {
                        let span = pack(run, *records, &mut bytes)?;
                        known.insert(*run, span);
                        span
                    }
                });
            }
            let extras = Spans::list(&spans, &mut bytes)?;
            packed.push(Tier { rotation: tier.rotation.clone(), records, extras });
        }
        place_of(&bytes)?;
        let mut packed = packed.into_iter();
        let first = packed.next().unwrap_or_else(|| Tier {
            rotation: Arc::default(),
            records: Spans::default(),
            extras: Spans::default(),
        });
        let key = u16::try_from(key.len()).map_err(|_| TooLong)?;
        let ede = u16::try_from(ede.len()).map_err(|_| TooLong)?;
        Ok(Entry {
            counter,
            bytes: bytes.into(),
            first,
            more: packed.collect(),
            variants: None,
            instances: Arc::default(),
            service: 0,
            zone: 0,
            key,
            ede,
            origin: 0,
            repeats,
        })
    }

    /// The same with another origin than that of what depends on all registries.
    pub fn of(self, origin: u16) -> Entry {
        Entry { origin, ..self }
    }

    /// The same, in place of which some clients are given another.
    pub fn with(self, variants: Variants) -> Entry {
        Entry { variants: Some(Box::new(variants)), ..self }
    }

    #[inline]
    pub fn variants(&self) -> Option<&Variants> {
        self.variants.as_deref()
    }

    /// Whether there is nothing in it: the name is there, and has none of this type for these clients.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.records.count == 0
    }

    /// The same, and what it is about: a service, the instances behind its first tier's records, and the zone
    /// in which all stand that it gives.
    pub fn about(self, service: u32, instances: Arc<[u32]>, zone: u32) -> Entry {
        Entry { service, instances, zone, ..self }
    }

    /// What a client is told by an answer whose first record is this one of the first tier.
    #[inline]
    pub fn told(&self, first: Option<u32>) -> Told {
        let instance = first.and_then(|index| self.instances.get(index as usize));
        Told { service: self.service, instance: instance.copied().unwrap_or(0), zone: self.zone }
    }

    /// Tells of all numbers that it holds; returns how many had to be looked at.
    pub fn add_numbers<'a>(&'a self, used: &mut Used<'a>) -> usize {
        let variants = self.variants.iter().flat_map(|variants| variants.entries());
        let own = |entry: &'a Entry| {
            used.extend([entry.service, entry.zone]);
            used.add_run(&entry.instances)
        };
        variants.chain([self]).map(own).sum()
    }

    #[inline]
    pub fn origin(&self) -> u16 {
        self.origin
    }

    #[inline]
    pub fn ede(&self) -> &[u8] {
        &self.bytes[self.key as usize..self.key as usize + self.ede as usize]
    }

    #[inline]
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.at as usize..span.at as usize + span.len as usize]
    }

    #[inline]
    pub fn take_position(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    pub fn position(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    pub fn counter(&self) -> &Arc<AtomicU64> {
        &self.counter
    }

    /// The records of one position: answers and what goes with them, in the order dealt; returns which of the
    /// first tier stands first. More than `most` answers are cut to that many, with nothing beside them.
    #[inline]
    pub fn deal(
        &self,
        position: u64,
        most: usize,
        answers: &mut Vec<Span>,
        extras: &mut Vec<Span>,
    ) -> Option<u32> {
        answers.clear();
        extras.clear();
        let mut whole = self.deal_tier(&self.first, position, most, answers, extras);
        for tier in &self.more {
            whole = whole && self.deal_tier(tier, position, most, answers, extras);
        }
        if !whole {
            extras.clear();
        } else if self.repeats {
            keep_the_first_of_each(extras);
        }
        self.first.rotation.order(position).first().copied()
    }

    #[inline]
    fn deal_tier(
        &self,
        tier: &Tier,
        position: u64,
        most: usize,
        answers: &mut Vec<Span>,
        extras: &mut Vec<Span>,
    ) -> bool {
        let order = tier.rotation.order(position); // cut already to what the service gives
        let given = &order[..order.len().min(most - answers.len())];
        answers.extend(given.iter().map(|index| tier.records.get(*index, &self.bytes)));
        if given.len() < order.len() {
            return false;
        }
        if tier.extras.count == 0 {
            return true;
        }
        for index in order.iter() {
            let span = tier.extras.get(*index, &self.bytes);
            if span.len > 0 {
                extras.push(span);
            }
        }
        true
    }
}

/// What clients of one class are given: the same records dealt in other orders.
pub struct Variant {
    pub entry: Arc<Entry>,
    pub ede: Box<[u8]>,
    pub counter: Arc<AtomicU64>,
}

impl Variant {
    #[inline]
    pub fn take_position(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

/// By client class.
#[derive(Default)]
pub struct Variants {
    /// By class, the place in `list` + 1; 0 for those who are given the entry itself.
    places: Box<[u16]>,
    list: Box<[Variant]>,
}

impl Variants {
    pub fn new(variants: Vec<(u16, Variant)>) -> Variants {
        let most = variants.iter().map(|(class, _)| usize::from(*class) + 1).max().unwrap_or(0);
        let mut places = vec![0; most];
        for (at, (class, _)) in variants.iter().enumerate() {
            places[usize::from(*class)] = at as u16 + 1;
        }
        let list = variants.into_iter().map(|(_, variant)| variant).collect();
        Variants { places: places.into(), list }
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().map(|variant| &*variant.entry)
    }

    #[inline]
    pub fn get(&self, class: u16) -> Option<&Variant> {
        let place = *self.places.get(usize::from(class))?;
        self.list.get(usize::from(place).wrapping_sub(1))
    }
}

fn place_of(bytes: &[u8]) -> Result<u32, TooLong> {
    u32::try_from(bytes.len()).map_err(|_| TooLong)
}

fn pack(run: &[u8], records: u16, bytes: &mut Vec<u8>) -> Result<Span, TooLong> {
    let at = place_of(bytes)?;
    let run = &run[..run.len().min(MESSAGE)];
    bytes.extend_from_slice(run);
    Ok(Span { at, len: run.len() as u16, records })
}

fn pack_records(records: &[&[u8]], bytes: &mut Vec<u8>) -> Result<Spans, TooLong> {
    let at = place_of(bytes)?;
    let spans = records.iter().map(|record| pack(record, 1, bytes)).collect::<Result<Vec<_>, _>>()?;
    match spans.first() {
        Some(one) if one.len > 0 && spans.iter().all(|span| span.len == one.len) => {
            Ok(Spans { at, count: spans.len() as u32, stride: one.len })
        }
        _ => Spans::list(&spans, bytes),
    }
}

/// So many are looked through one by one.
const FEW: usize = 32;

/// Equal ones are one span, so where it stands tells it from the others. None is empty.
fn keep_the_first_of_each(spans: &mut Vec<Span>) {
    if spans.len() <= FEW {
        let mut kept = 0;
        for n in 0..spans.len() {
            if !spans[..kept].contains(&spans[n]) {
                spans[kept] = spans[n];
                kept += 1;
            }
        }
        return spans.truncate(kept);
    }
    // One of thousands may repeat, and to look through those before it for each was a hundred times the answer.
    let bits = (2 * spans.len()).next_power_of_two().trailing_zeros();
    let mut seen = vec![0; 1 << bits];
    spans.retain(|span| {
        let mut slot = (span.at.wrapping_mul(0x9E37_79B9) >> (32 - bits)) as usize;
        while seen[slot] > 0 && seen[slot] != span.at + 1 {
            slot = (slot + 1) % seen.len();
        }
        std::mem::replace(&mut seen[slot], span.at + 1) == 0
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn of_many_that_repeat_the_first_of_each_is_kept_in_its_place(
            runs in prop::collection::vec(0u32..100, 0..200), step in 1u32..70,
        ) {
            let span = |n: &u32| Span { at: n * step, len: 1, records: 1 };
            let mut spans: Vec<Span> = runs.iter().map(span).collect();
            let mut first = Vec::new();
            for span in &spans {
                if !first.contains(span) {
                    first.push(*span);
                }
            }
            keep_the_first_of_each(&mut spans);
            prop_assert_eq!(spans, first);
        }
    }

    #[test]
    fn what_clients_of_all_zones_share_is_looked_at_once() {
        let run: Arc<[u32]> = (2..1002).collect();
        let entry = || Entry::new(&[], &[], &[], false, Arc::default()).unwrap().about(1, run.clone(), 0);
        let variant = |_| Variant { entry: Arc::new(entry()), ede: [].into(), counter: Arc::default() };
        let entry = entry().with(Variants::new((0..256).map(|class| (class, variant(class))).collect()));
        assert_eq!(entry.add_numbers(&mut Used::default()), 1000);
    }
}
