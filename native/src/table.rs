//! What is answered from: the Rust twin of `zkdns/answers/table.py`, as one immutable value.
//!
//! Rules: never written once it is published; a reader holds one, whole, or another.

use crate::clients::Clients;
use crate::entry::{Entry, MESSAGE, TooLong};
use crate::index::{Change, Index, Keyed, hash};
use crate::prefix::Prefixes;
use std::sync::Arc;

/// The names one label below a name, each with its addresses. Packed: a large service has many.
#[derive(Default)]
pub struct Instances {
    places: Box<[(u32, u32)]>,
    bytes: Box<[u8]>,
}

pub struct InstanceAddresses<'a> {
    pub a: &'a [u8],
    pub aaaa: &'a [u8],
}

impl Instances {
    pub fn new<'a>(
        instances: impl IntoIterator<Item = (&'a [u8], InstanceAddresses<'a>)>,
    ) -> Result<Instances, TooLong> {
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for (label, instance) in instances {
            let at = u32::try_from(bytes.len()).map_err(|_| TooLong)?;
            places.push((hash(label) as u32, at));
            bytes.push(u8::try_from(label.len()).map_err(|_| TooLong)?);
            let cut = |run: &'a [u8]| &run[..run.len().min(MESSAGE)];
            let (a, aaaa) = (cut(instance.a), cut(instance.aaaa));
            for run in [a, aaaa] {
                bytes.extend_from_slice(&(run.len() as u16).to_le_bytes());
            }
            for run in [label, a, aaaa] {
                bytes.extend_from_slice(run);
            }
        }
        places.sort_unstable();
        Ok(Instances { places: places.into(), bytes: bytes.into() })
    }

    pub fn get(&self, label: &[u8]) -> Option<InstanceAddresses<'_>> {
        let hash = hash(label) as u32;
        let from = self.places.partition_point(|place| place.0 < hash);
        self.places[from..].iter().take_while(|place| place.0 == hash).find_map(|place| {
            let run = &self.bytes[place.1 as usize..];
            let long = |at: usize| u16::from_le_bytes([run[at], run[at + 1]]) as usize;
            let (of_label, of_a, of_aaaa) = (run[0] as usize, long(1), long(3));
            let (found, rest) = run[5..].split_at(of_label);
            (found == label)
                .then(|| InstanceAddresses { a: &rest[..of_a], aaaa: &rest[of_a..of_a + of_aaaa] })
        })
    }
}

/// The origin of what depends on all registries: that a name is not there.
pub const EVERY: u16 = 0;

/// A name that exists. What is below one with a responder is not ours to say.
pub struct Name {
    key: Box<[u8]>,
    pub zone: u32,
    /// Whose staleness it has, and that nothing is below it.
    pub origin: u16,
    pub ede: Box<[u8]>,
    pub instances: Option<Arc<Instances>>,
    pub responder: bool,
    /// What is below it is not ours to say, though it is.
    pub below: bool,
    /// The number of the service that has nobody to give under this name; else 0.
    pub service: u32,
}

impl Name {
    pub fn new(
        key: &[u8],
        zone: u32,
        ede: &[u8],
        instances: Option<Arc<Instances>>,
        responder: bool,
    ) -> Name {
        Name {
            key: key.into(),
            zone,
            origin: EVERY,
            ede: ede.into(),
            instances,
            responder,
            below: false,
            service: 0,
        }
    }

    /// The same with another origin than that of what depends on all registries.
    pub fn of(self, origin: u16) -> Name {
        Name { origin, ..self }
    }

    /// The same with what is below it left to others.
    pub fn leaving(self, below: bool) -> Name {
        Name { below, ..self }
    }

    /// The same for a service that has nobody to give.
    pub fn without(self, service: u32) -> Name {
        Name { service, ..self }
    }
}

impl Keyed for Name {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.key
    }

    #[inline]
    fn touch(&self) -> u64 {
        let instances =
            self.instances.as_ref().and_then(|instances| instances.places.get(instances.places.len() / 2));
        u64::from(self.key[0]) ^ instances.map_or(0, |place| u64::from(place.0))
    }
}

#[derive(Clone, Default)]
pub struct Zone {
    pub apex: Box<[u8]>,
    pub soa: Box<[u8]>,
}

/// How old what an origin says is: a set of registries.
#[derive(Clone, Default)]
pub struct Staleness {
    /// The option that its replies bear.
    pub option: Box<[u8]>,
    /// Nothing may be said: Python tells why.
    pub failing: bool,
}

/// One more than an origin can be.
pub const MAX_ORIGINS: u16 = u16::MAX;

/// All that is answered from, as one value: a reader holds one of these, whole, or another.
#[derive(Clone, Default)]
pub struct Table {
    pub entries: Index<Entry>,
    pub(crate) names: Index<Name>,
    tops: Tops,
    pub zones: Vec<Option<Arc<Zone>>>,
    /// By origin; one that is not here is fresh.
    pub staleness: Vec<Staleness>,
    /// To whom we say that recursion is available: to those whose names we would have forwarded.
    pub recursion: Prefixes<()>,
    pub clients: Arc<Clients>,
}

/// The last labels of all names that ever were here, as bits of their hashes: most names that are not
/// ours are told by theirs, at the cost of no look-up.
#[derive(Clone, Default)]
struct Tops([u64; 4]);

impl Tops {
    fn place(name: &[u8]) -> (usize, u64) {
        let mut last = name;
        while last[0] > 0 && last[1 + last[0] as usize] > 0 {
            last = &last[1 + last[0] as usize..];
        }
        let hash = hash(last);
        ((hash >> 62) as usize, 1 << (hash >> 56 & 63))
    }
}

impl Table {
    /// Puts names in and takes names out.
    pub fn put_names(&mut self, changes: Vec<Change<Name>>) {
        for change in changes.iter().filter(|change| change.value.is_some()) {
            let (word, bit) = Tops::place(&change.key);
            self.tops.0[word] |= bit;
        }
        self.names.apply(changes);
    }

    /// Whether this name, or one above it, may be ours; in a small part of those that are not, too.
    #[inline]
    pub fn may_hold(&self, name: &[u8]) -> bool {
        let (word, bit) = Tops::place(name);
        self.tops.0[word] & bit != 0
    }

    /// The option that replies of this origin bear; None where they are Python's to give.
    #[inline]
    pub fn stale(&self, origin: u16) -> Option<&[u8]> {
        match self.staleness.get(origin as usize) {
            Some(staleness) => (!staleness.failing).then_some(&*staleness.option),
            None => Some(&[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_at_or_below_a_name_may_be_held() {
        let mut table = Table::default();
        let name = |key: &[u8]| Change {
            key: key.into(),
            value: Some(Arc::new(Name::new(key, 0, b"", None, false))),
        };
        table.put_names(vec![name(b"\x03svc\x05local\0"), name(b"\x02cx\0")]);
        for held in [&b"\x05local\0"[..], b"\x01a\x03svc\x05local\0", b"\x02cx\0", b"\x01b\x01c\x02cx\0"] {
            assert!(table.may_hold(held));
        }
        let others = (0..100u8).filter(|n| table.may_hold(&[1, b'a', 1, *n, 0])).count();
        assert!(others < 10, "{others} of 100");
        table.put_names(vec![name(b"\0")]);
        assert!(table.may_hold(b"\0"));
    }

    #[test]
    fn kids_are_found_by_their_label_and_only_by_it() {
        let labels: Vec<Vec<u8>> = (0..500u32).map(|n| format!("i{n}").into_bytes()).collect();
        let instances =
            Instances::new(labels.iter().map(|l| (&l[..], InstanceAddresses { a: &l[..1], aaaa: l })))
                .unwrap();
        for label in &labels {
            let instance = instances.get(label).unwrap();
            assert_eq!((instance.a, instance.aaaa), (&b"i"[..], &label[..]));
        }
        assert!(instances.get(b"i500").is_none());
        assert!(instances.get(b"").is_none());
        assert!(Instances::default().get(b"a").is_none());
    }
}
