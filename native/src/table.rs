//! What is answered from: the Rust twin of `zkdns/answers/table.py`, packed for reading.
//!
//! Rules: never written once it is published, but for the draws; an entry is one run of bytes (its
//! key, its option, its pieces) and the places of the pieces in it.

use crate::index::{Index, Keyed, hash};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The orders that an RRset cycles through, and which comes at each draw.
#[derive(Default)]
pub struct Deal {
    indices: Box<[u32]>,
    ends: Box<[u32]>,
    sequence: Sequence,
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

impl Deal {
    pub fn new<'a>(orders: impl IntoIterator<Item = &'a [u32]>, sequence: &[u32]) -> Deal {
        let (mut indices, mut ends) = (Vec::new(), Vec::new());
        for order in orders {
            indices.extend_from_slice(order);
            ends.push(indices.len() as u32);
        }
        let narrow: Result<Vec<u16>, _> = sequence.iter().map(|order| u16::try_from(*order)).collect();
        let sequence = match narrow {
            Ok(narrow) => Sequence::Narrow(narrow.into()),
            Err(_) => Sequence::Wide(sequence.into()),
        };
        Deal { indices: indices.into(), ends: ends.into(), sequence }
    }

    #[inline]
    fn order(&self, draw: u64) -> &[u32] {
        let order = match &self.sequence {
            Sequence::Narrow(sequence) => sequence[place(draw, sequence.len())] as usize,
            Sequence::Wide(sequence) => sequence[place(draw, sequence.len())] as usize,
        };
        let from = if order == 0 { 0 } else { self.ends[order - 1] };
        &self.indices[from as usize..self.ends[order] as usize]
    }
}

/// A 32-bit division is a third of the price, and covers the first four thousand million draws.
#[inline]
fn place(draw: u64, length: usize) -> usize {
    match (u32::try_from(draw), u32::try_from(length)) {
        (Ok(draw), Ok(length)) => (draw % length) as usize,
        _ => (draw % length as u64) as usize,
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
struct Places {
    at: u32,
    count: u32,
    /// 0: a list.
    stride: u16,
}

const SPAN: usize = 8;

impl Places {
    fn list(spans: &[Span], bytes: &mut Vec<u8>) -> Result<Places, TooLong> {
        let at = place_of(bytes)?;
        for span in spans {
            bytes.extend_from_slice(&span.at.to_le_bytes());
            bytes.extend_from_slice(&span.len.to_le_bytes());
            bytes.extend_from_slice(&span.records.to_le_bytes());
        }
        Ok(Places { at, count: spans.len() as u32, stride: 0 })
    }

    #[inline]
    fn get(&self, index: u32, bytes: &[u8]) -> Span {
        assert!(index < self.count, "a deal of more than the tier holds");
        if self.stride > 0 {
            return Span { at: self.at + index * u32::from(self.stride), len: self.stride, records: 1 };
        }
        let at = self.at as usize + index as usize * SPAN;
        let word = u64::from_le_bytes(bytes[at..at + SPAN].try_into().expect("eight bytes"));
        Span { at: word as u32, len: (word >> 32) as u16, records: (word >> 48) as u16 }
    }
}

struct Tier {
    deal: Arc<Deal>,
    pieces: Places,
    /// None at all where the tier has none. Equal extras are the same span.
    extras: Places,
}

/// A tier as it is given: its pieces, and the additional records that go with each.
pub struct Given<'a> {
    pub deal: Arc<Deal>,
    pub pieces: Vec<&'a [u8]>,
    pub extras: Vec<(&'a [u8], u16)>,
}

/// Packed for the cache: what is dear is not to copy an answer but to wait for the memory it is in.
pub struct Entry {
    draws: Arc<AtomicU64>,
    bytes: Box<[u8]>,
    first: Tier,
    more: Box<[Tier]>,
    key: u16,
    ede: u16,
    repeats: bool,
}

impl Keyed for Entry {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key as usize]
    }

    #[inline]
    fn touch(&self) -> u64 {
        self.drawn() ^ u64::from(self.bytes[0])
    }
}

/// More than the packing can address: four gigabytes for one name, or a name that is none.
#[derive(Debug)]
pub struct TooLong;

/// The longest message (RFC 1035, section 4.2.2). What is longer is never given whole, and no more
/// than this is ever given of it, so that its beginning stands for it.
const MESSAGE: usize = u16::MAX as usize;

impl Entry {
    pub fn new(
        key: &[u8],
        tiers: &[Given],
        ede: &[u8],
        repeats: bool,
        draws: Arc<AtomicU64>,
    ) -> Result<Entry, TooLong> {
        let mut bytes = [key, ede].concat();
        let mut known = HashMap::new();
        let mut packed = Vec::with_capacity(tiers.len());
        for tier in tiers {
            let pieces = pack_pieces(&tier.pieces, &mut bytes)?;
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
            let extras = Places::list(&spans, &mut bytes)?;
            packed.push(Tier { deal: tier.deal.clone(), pieces, extras });
        }
        place_of(&bytes)?;
        let mut packed = packed.into_iter();
        let first = packed.next().unwrap_or_else(|| Tier {
            deal: Arc::default(),
            pieces: Places::default(),
            extras: Places::default(),
        });
        let key = u16::try_from(key.len()).map_err(|_| TooLong)?;
        let ede = u16::try_from(ede.len()).map_err(|_| TooLong)?;
        Ok(Entry { draws, bytes: bytes.into(), first, more: packed.collect(), key, ede, repeats })
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
    pub fn draw(&self) -> u64 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }

    pub fn drawn(&self) -> u64 {
        self.draws.load(Ordering::Relaxed)
    }

    pub fn draws(&self) -> &Arc<AtomicU64> {
        &self.draws
    }

    /// The records of one draw: answers and what goes with them, in the order dealt.
    #[inline]
    pub fn deal(&self, draw: u64, answers: &mut Vec<Span>, extras: &mut Vec<Span>) {
        answers.clear();
        extras.clear();
        self.deal_tier(&self.first, draw, answers, extras);
        for tier in &self.more {
            self.deal_tier(tier, draw, answers, extras);
        }
    }

    #[inline]
    fn deal_tier(&self, tier: &Tier, draw: u64, answers: &mut Vec<Span>, extras: &mut Vec<Span>) {
        let order = tier.deal.order(draw); // cut already to what the service gives
        answers.extend(order.iter().map(|index| tier.pieces.get(*index, &self.bytes)));
        if tier.extras.count == 0 {
            return;
        }
        for index in order {
            let span = tier.extras.get(*index, &self.bytes);
            if span.len > 0 && !(self.repeats && extras.contains(&span)) {
                extras.push(span);
            }
        }
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

fn pack_pieces(pieces: &[&[u8]], bytes: &mut Vec<u8>) -> Result<Places, TooLong> {
    let at = place_of(bytes)?;
    let spans = pieces.iter().map(|piece| pack(piece, 1, bytes)).collect::<Result<Vec<_>, _>>()?;
    match spans.first() {
        Some(one) if one.len > 0 && spans.iter().all(|span| span.len == one.len) => {
            Ok(Places { at, count: spans.len() as u32, stride: one.len })
        }
        _ => Places::list(&spans, bytes),
    }
}

/// The names one label below a name, each with its addresses. Packed: a large service has many.
#[derive(Default)]
pub struct Kids {
    places: Box<[(u32, u32)]>,
    bytes: Box<[u8]>,
}

pub struct Kid<'a> {
    pub a: &'a [u8],
    pub aaaa: &'a [u8],
}

impl Kids {
    pub fn new<'a>(kids: impl IntoIterator<Item = (&'a [u8], Kid<'a>)>) -> Result<Kids, TooLong> {
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for (label, kid) in kids {
            let at = u32::try_from(bytes.len()).map_err(|_| TooLong)?;
            places.push((hash(label) as u32, at));
            bytes.push(u8::try_from(label.len()).map_err(|_| TooLong)?);
            let cut = |run: &'a [u8]| &run[..run.len().min(MESSAGE)];
            let (a, aaaa) = (cut(kid.a), cut(kid.aaaa));
            for run in [a, aaaa] {
                bytes.extend_from_slice(&(run.len() as u16).to_le_bytes());
            }
            for run in [label, a, aaaa] {
                bytes.extend_from_slice(run);
            }
        }
        places.sort_unstable();
        Ok(Kids { places: places.into(), bytes: bytes.into() })
    }

    pub fn get(&self, label: &[u8]) -> Option<Kid<'_>> {
        let hash = hash(label) as u32;
        let from = self.places.partition_point(|place| place.0 < hash);
        self.places[from..].iter().take_while(|place| place.0 == hash).find_map(|place| {
            let run = &self.bytes[place.1 as usize..];
            let long = |at: usize| u16::from_le_bytes([run[at], run[at + 1]]) as usize;
            let (of_label, of_a, of_aaaa) = (run[0] as usize, long(1), long(3));
            let (found, rest) = run[5..].split_at(of_label);
            (found == label).then(|| Kid { a: &rest[..of_a], aaaa: &rest[of_a..of_a + of_aaaa] })
        })
    }
}

/// A name that exists. What is below an odd one is not ours to say.
pub struct Name {
    key: Box<[u8]>,
    pub zone: u32,
    pub ede: Box<[u8]>,
    pub kids: Option<Kids>,
    pub odd: bool,
}

impl Name {
    pub fn new(key: &[u8], zone: u32, ede: &[u8], kids: Option<Kids>, odd: bool) -> Name {
        Name { key: key.into(), zone, ede: ede.into(), kids, odd }
    }
}

impl Keyed for Name {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.key
    }

    #[inline]
    fn touch(&self) -> u64 {
        let kids = self.kids.as_ref().and_then(|kids| kids.places.get(kids.places.len() / 2));
        u64::from(self.key[0]) ^ kids.map_or(0, |place| u64::from(place.0))
    }
}

#[derive(Clone, Default)]
pub struct Zone {
    pub apex: Box<[u8]>,
    pub soa: Box<[u8]>,
    pub failing: bool,
}

/// To whom we say that recursion is available: to those whose names we would have forwarded.
#[derive(Clone, Default)]
pub struct Recursion {
    pub networks: Vec<(IpAddr, u8)>,
}

impl Recursion {
    #[inline]
    pub fn offered(&self, client: IpAddr) -> bool {
        !self.networks.is_empty() && self.networks.iter().any(|(net, bits)| within(*net, *bits, client))
    }
}

fn within(net: IpAddr, bits: u8, client: IpAddr) -> bool {
    match (net, client.to_canonical()) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(bits.min(32));
            (u64::from(net.to_bits() ^ ip.to_bits()) >> shift) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            (net.to_bits() ^ ip.to_bits()).checked_shr(128 - u32::from(bits.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// All that is answered from, as one value: a reader holds one of these, whole, or another.
#[derive(Clone, Default)]
pub struct Table {
    pub entries: Index<Entry>,
    pub names: Index<Name>,
    pub zones: Vec<Option<Arc<Zone>>>,
    /// There is no catalog to answer from: all is passed on until there is one.
    pub failing: bool,
    /// The option that every answer carries while the registry is out of reach.
    pub stale: Box<[u8]>,
    pub recursion: Recursion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deal_gives_its_orders_in_sequence_for_ever() {
        let orders: [&[u32]; 3] = [&[0, 1], &[1, 0], &[]];
        let deal = Deal::new(orders, &[0, 1, 2, 1]);
        let seen: Vec<&[u32]> = (0..5).map(|n| deal.order(n)).collect();
        assert_eq!(seen, [&[0, 1][..], &[1, 0], &[], &[1, 0], &[0, 1]]);
        assert_eq!(deal.order((1 << 40) + 1), [1, 0]);
        let many: Vec<[u32; 1]> = (0..70_000).map(|n| [n]).collect();
        let sequence: Vec<u32> = (0..70_000).rev().collect();
        let deal = Deal::new(many.iter().map(|o| &o[..]), &sequence);
        assert_eq!(deal.order(1), [69_998]);
    }

    #[test]
    fn kids_are_found_by_their_label_and_only_by_it() {
        let labels: Vec<Vec<u8>> = (0..500u32).map(|n| format!("i{n}").into_bytes()).collect();
        let kids = Kids::new(labels.iter().map(|l| (&l[..], Kid { a: &l[..1], aaaa: l }))).unwrap();
        for label in &labels {
            let kid = kids.get(label).unwrap();
            assert_eq!((kid.a, kid.aaaa), (&b"i"[..], &label[..]));
        }
        assert!(kids.get(b"i500").is_none());
        assert!(kids.get(b"").is_none());
        assert!(Kids::default().get(b"a").is_none());
    }

    #[test]
    fn networks_bound_whom_recursion_is_offered() {
        let offer = |nets: &[(&str, u8)], ip: &str| {
            let networks = nets.iter().map(|(n, b)| (n.parse().unwrap(), *b)).collect();
            Recursion { networks }.offered(ip.parse().unwrap())
        };
        assert!(offer(&[("10.0.0.0", 8)], "10.255.0.1"));
        assert!(!offer(&[("10.0.0.0", 8)], "11.0.0.1"));
        assert!(offer(&[("0.0.0.0", 0)], "11.0.0.1"));
        assert!(!offer(&[("0.0.0.0", 0)], "::2"));
        assert!(offer(&[("10.0.0.0", 8)], "::ffff:10.1.1.1"));
        assert!(offer(&[("::", 0)], "fe80::1"));
        assert!(offer(&[("fc00::", 7)], "fd00::1"));
        assert!(!offer(&[("fc00::", 7)], "fe00::1"));
        assert!(offer(&[("::1", 128)], "::1"));
        assert!(!offer(&[], "127.0.0.1"));
    }
}
