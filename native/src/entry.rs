//! One positive answer, packed for reading, and the rotations that say which records come in which order.
//!
//! Rules: never written once it is published, but for the counter; an entry is one run of bytes (its
//! key, its option, its records) and the places of the records in it.

use crate::index::Keyed;
use crate::told::Told;
use crate::variants::Variants;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The orders that an RRset cycles through, and which comes at each position.
#[derive(Default)]
pub struct Rotation {
    indices: Box<[u32]>,
    ends: Box<[u32]>,
    sequence: Sequence,
    /// Start and end in `indices`, in turn; `ends` then ends the orders in here: they share their places.
    spans: Option<Box<[u32]>>,
}

/// Cycles run to thousands and there is one for each shape of service: two bytes a place where they do.
enum Sequence {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl Default for Sequence {
    fn default() -> Self {
        Sequence::Narrow(Box::default())
    }
}

impl Sequence {
    fn of(orders: &[u32]) -> Sequence {
        let narrow: Result<Vec<u16>, _> = orders.iter().map(|order| u16::try_from(*order)).collect();
        match narrow {
            Ok(narrow) => Sequence::Narrow(narrow.into()),
            Err(_) => Sequence::Wide(orders.into()),
        }
    }
}

impl Rotation {
    pub fn new<'a>(orders: impl IntoIterator<Item = &'a [u32]>, sequence: &[u32]) -> Rotation {
        let (mut indices, mut ends) = (Vec::new(), Vec::new());
        for order in orders {
            indices.extend_from_slice(order);
            ends.push(indices.len() as u32);
        }
        Rotation { indices: indices.into(), ends: ends.into(), sequence: Sequence::of(sequence), spans: None }
    }

    /// One whose orders are runs of spans of the same indices; None where these aim past them.
    pub fn spliced(indices: Vec<u32>, spans: Vec<u32>, ends: Vec<u32>, sequence: &[u32]) -> Option<Rotation> {
        let sound = spans.chunks(2).all(|s| s.len() == 2 && s[0] <= s[1] && s[1] as usize <= indices.len())
            && ends.is_sorted()
            && ends.iter().all(|end| end % 2 == 0 && *end as usize <= spans.len())
            && sequence.iter().all(|order| (*order as usize) < ends.len());
        sound.then(|| Rotation {
            indices: indices.into(),
            ends: ends.into(),
            sequence: Sequence::of(sequence),
            spans: Some(spans.into()),
        })
    }

    /// How many numbers it is made of.
    pub fn numbers(&self) -> usize {
        let sequence = match &self.sequence {
            Sequence::Narrow(sequence) => sequence.len(),
            Sequence::Wide(sequence) => sequence.len(),
        };
        let spans = self.spans.as_ref().map_or(0, |spans| spans.len());
        self.indices.len() + self.ends.len() + spans + sequence
    }

    #[inline]
    fn order(&self, position: u64) -> Cow<'_, [u32]> {
        let order = match &self.sequence {
            Sequence::Narrow(sequence) => sequence[place(position, sequence.len())] as usize,
            Sequence::Wide(sequence) => sequence[place(position, sequence.len())] as usize,
        };
        let from = if order == 0 { 0 } else { self.ends[order - 1] };
        let run = from as usize..self.ends[order] as usize;
        match &self.spans {
            None => Cow::Borrowed(&self.indices[run]),
            Some(spans) => Cow::Owned(self.join(&spans[run])),
        }
    }

    #[cold]
    fn join(&self, spans: &[u32]) -> Vec<u32> {
        spans.chunks_exact(2).flat_map(|s| &self.indices[s[0] as usize..s[1] as usize]).copied().collect()
    }
}

/// A 32-bit division is a third of the price, and covers the first four thousand million positions.
#[inline]
fn place(position: u64, length: usize) -> usize {
    match (u32::try_from(position), u32::try_from(length)) {
        (Ok(position), Ok(length)) => (position % length) as usize,
        _ => (position % length as u64) as usize,
    }
}

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

    /// The same, and what it is about: a service, and the instances behind its first tier's records.
    pub fn about(self, service: u32, instances: Arc<[u32]>) -> Entry {
        Entry { service, instances, ..self }
    }

    /// What a client is told by an answer whose first record is this one of the first tier.
    #[inline]
    pub fn told(&self, first: Option<u32>) -> Told {
        let instance = first.and_then(|index| self.instances.get(index as usize));
        Told { service: self.service, instance: instance.copied().unwrap_or(0) }
    }

    /// All numbers that it holds.
    pub fn numbers<'a>(&'a self) -> impl Iterator<Item = u32> + 'a {
        let variants = self.variants.iter().flat_map(|variants| variants.entries());
        let own = |entry: &'a Entry| entry.instances.iter().copied().chain([entry.service]);
        variants.chain([self]).flat_map(own)
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
            if span.len > 0 && !(self.repeats && extras.contains(&span)) {
                extras.push(span);
            }
        }
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deal_gives_its_orders_in_sequence_for_ever() {
        let orders: [&[u32]; 3] = [&[0, 1], &[1, 0], &[]];
        let rotation = Rotation::new(orders, &[0, 1, 2, 1]);
        let seen: Vec<Vec<u32>> = (0..5).map(|n| rotation.order(n).into_owned()).collect();
        assert_eq!(seen, [&[0, 1][..], &[1, 0], &[], &[1, 0], &[0, 1]]);
        assert_eq!(*rotation.order((1 << 40) + 1), [1, 0]);
        let many: Vec<[u32; 1]> = (0..70_000).map(|n| [n]).collect();
        let sequence: Vec<u32> = (0..70_000).rev().collect();
        let rotation = Rotation::new(many.iter().map(|o| &o[..]), &sequence);
        assert_eq!(*rotation.order(1), [69_998]);
    }

    #[test]
    fn orders_may_be_spans_of_one_run_and_aim_nowhere_else() {
        let made = |spans: &[u32], ends: &[u32]| {
            Rotation::spliced(vec![0, 1, 2, 0, 1, 2], spans.to_vec(), ends.to_vec(), &[1, 0])
        };
        let rotation = made(&[0, 3, 2, 3, 3, 5], &[2, 6]).unwrap();
        assert_eq!(*rotation.order(0), [2, 0, 1]);
        assert_eq!(*rotation.order(1), [0, 1, 2]);
        for (spans, ends) in [
            (&[0, 7][..], &[0, 2][..]),
            (&[3, 0], &[0, 2]),
            (&[0, 3, 1], &[0, 2]),
            (&[0, 3], &[2, 4]),
            (&[0, 3], &[2, 0]),
            (&[0, 3], &[1, 2]),
            (&[0, 3], &[2]),
        ] {
            assert!(made(spans, ends).is_none(), "{spans:?} {ends:?}");
        }
    }
}
