//! Tables that chance makes up, and what one would find in them by hand.

use proptest::prelude::*;
use proptest::sample::select;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use zkdns_native::entry::{Entry, Given};
use zkdns_native::index::Change;
use zkdns_native::rotation::Rotation;
use zkdns_native::table::{InstanceAddresses, Instances, Name, Staleness, Table, Zone};
use zkdns_native::wire::{A, AAAA, NOERROR, NXDOMAIN};

pub const APEX: &[u8] = b"\x03svc\x05local\0";

/// A name that exists: whether it has a responder, its option, and its instances with their A and AAAA records.
pub type Existing = (bool, Vec<u8>, Option<HashMap<Vec<u8>, (usize, usize)>>);

#[derive(Clone, Debug)]
pub struct Tier {
    pub orders: Vec<Vec<u32>>,
    pub sequence: Vec<u32>,
    pub records: Vec<Vec<u8>>,
    pub extras: Vec<(Vec<u8>, u16)>,
}

#[derive(Clone, Debug)]
pub struct Positive {
    pub tiers: Vec<Tier>,
    pub ede: Vec<u8>,
    pub repeats: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub entries: HashMap<(Vec<u8>, u16), Positive>,
    pub names: HashMap<Vec<u8>, Existing>,
    pub soa: Vec<u8>,
    pub stale: Vec<u8>,
}

pub fn label() -> impl Strategy<Value = Vec<u8>> {
    select(vec![&b"a"[..], b"b", b"web", b"_tcp", b"x-1", &[b'n'; 63], b"\0", b"\xc0\x0c", b"b\x01a"])
        .prop_map(<[u8]>::to_vec)
}

/// Below the apex, or now and then outside of it; at most 255 bytes.
pub fn owner() -> impl Strategy<Value = Vec<u8>> {
    let apex = prop_oneof![9 => Just(APEX), 1 => Just(&b"\x03org\0"[..])];
    (prop::collection::vec(label(), 0..4), apex).prop_map(|(labels, apex)| {
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label);
        }
        name.extend(apex);
        name
    })
}

pub fn record(owner: &[u8], rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let [hi, lo] = (rdata.len() as u16).to_be_bytes();
    [owner, &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 5, hi, lo], rdata].concat()
}

/// An Extended DNS Error (RFC 8914), or none.
pub fn ede() -> impl Strategy<Value = Vec<u8>> {
    prop::option::of((0u8..30, 0usize..90)).prop_map(|made| match made {
        Some((code, text)) => [&[0, 15, 0, 2 + text as u8, 0, code][..], &vec![b't'; text]].concat(),
        None => Vec::new(),
    })
}

pub fn tier() -> impl Strategy<Value = Tier> {
    let lengths = prop_oneof![
        (1usize..90).prop_map(|count| vec![4; count]),
        prop::collection::vec(0usize..200, 1..20),
        prop::collection::vec(0usize..1300, 1..4),
    ];
    (lengths, any::<bool>(), 1usize..5, 1usize..6, any::<u64>()).prop_map(
        |(lengths, extra, orders, turns, seed)| {
            let count = lengths.len();
            let records =
                lengths.iter().enumerate().map(|(n, l)| record(b"\xc0\x0c", A, &vec![n as u8; *l])).collect();
            let extras = (0..if extra { count } else { 0 }).map(|n| match n % 3 {
                0 => (Vec::new(), 0),
                one_or_two => {
                    let one = record(b"\x01t\0", AAAA, &[one_or_two as u8; 16]); // equal ones occur
                    (one.repeat(one_or_two), one_or_two as u16)
                }
            });
            let order = |k: usize| {
                let mut turned: Vec<u32> = (0..count as u32).collect();
                turned.rotate_left((seed as usize / 7 + k) % count);
                turned.truncate(1 + (seed as usize >> k) % count);
                turned
            };
            Tier {
                orders: (0..orders).map(order).collect(),
                sequence: (0..turns)
                    .map(|n| (seed.rotate_left(n as u32 * 9) % orders as u64) as u32)
                    .collect(),
                records,
                extras: extras.collect(),
            }
        },
    )
}

pub fn positive() -> impl Strategy<Value = Positive> {
    (prop::collection::vec(tier(), 1..4), ede(), any::<bool>()).prop_map(|(tiers, ede, repeats)| Positive {
        tiers,
        ede,
        repeats,
    })
}

pub fn world() -> impl Strategy<Value = World> {
    let instances = prop::collection::hash_map(label(), (0usize..40, 0usize..40), 0..4);
    let existing = (prop::bool::weighted(0.1), ede(), prop::option::of(instances));
    (
        prop::collection::hash_map((owner(), select(vec![A, AAAA, 33, 16, 65])), positive(), 0..8),
        prop::collection::hash_map(owner(), existing, 0..8),
        0usize..700,
        ede(),
    )
        .prop_map(|(entries, mut names, soa, stale)| {
            names.retain(|name, _| name.ends_with(APEX)); // a zone's names are below its apex
            names.entry(APEX.to_vec()).or_default();
            World { entries, names, soa: record(b"", 6, &vec![9; soa]), stale }
        })
}

impl Positive {
    pub fn entry(&self, key: &[u8], counter: Arc<AtomicU64>) -> Entry {
        let give =
            |tier: &'_ Tier| Arc::new(Rotation::new(tier.orders.iter().map(Vec::as_slice), &tier.sequence));
        let given: Vec<Given> = self
            .tiers
            .iter()
            .map(|tier| Given {
                rotation: give(tier),
                records: tier.records.iter().map(Vec::as_slice).collect(),
                extras: tier.extras.iter().map(|(run, n)| (&run[..], *n)).collect(),
            })
            .collect();
        Entry::new(key, &given, &self.ede, self.repeats, counter).unwrap()
    }

    /// The answer records of one draw, and what goes with them, as one would write it down.
    pub fn dealt(&self, draw: u64) -> (Vec<&[u8]>, Vec<&[u8]>) {
        let (mut answers, mut extras) = (Vec::new(), Vec::new());
        for tier in &self.tiers {
            let turn = tier.sequence[(draw % tier.sequence.len() as u64) as usize];
            for index in &tier.orders[turn as usize] {
                answers.push(&tier.records[*index as usize][..]);
                let extra = tier.extras.get(*index as usize).map_or(&[][..], |(run, _)| run);
                let known = self.repeats && extras.contains(&extra);
                if !extra.is_empty() && !known {
                    extras.push(extra);
                }
            }
        }
        (answers, extras)
    }
}

fn key(name: &[u8], qtype: u16) -> Vec<u8> {
    [name, &qtype.to_be_bytes()].concat()
}

pub fn address_records((a, aaaa): (usize, usize)) -> (Vec<u8>, Vec<u8>) {
    (record(b"\xc0\x0c", A, &[1; 4]).repeat(a), record(b"\xc0\x0c", AAAA, &[2; 16]).repeat(aaaa))
}

impl World {
    pub fn table(&self) -> Table {
        let mut table = Table::default();
        table.staleness.push(Staleness { option: self.stale.clone().into(), failing: false });
        table.zones.push(Some(Arc::new(Zone { apex: APEX.into(), soa: self.soa.clone().into() })));
        let entries = self.entries.iter().map(|((name, qtype), positive)| {
            let key = key(name, *qtype);
            let value = Some(Arc::new(positive.entry(&key, Arc::default())));
            Change { key, value }
        });
        table.entries.apply(entries.collect());
        let names = self.names.iter().map(|(name, (responder, ede, instances))| {
            let instances = instances.as_ref().map(|instances| {
                let runs: Vec<_> = instances.iter().map(|(label, n)| (label, address_records(*n))).collect();
                Instances::new(
                    runs.iter().map(|(label, (a, aaaa))| (&label[..], InstanceAddresses { a, aaaa })),
                )
                .unwrap()
            });
            Change {
                key: name.clone(),
                value: Some(Arc::new(Name::new(name, 0, ede, instances.map(Arc::new), *responder))),
            }
        });
        table.put_names(names.collect());
        table
    }
}

/// What is found by hand. `search_miss`: a search list went through here. No answers: the zone's SOA.
pub struct Found {
    pub rcode: u8,
    pub search_miss: bool,
    pub answers: Vec<Vec<u8>>,
    pub extras: Vec<Vec<u8>>,
}

impl Found {
    fn nothing(rcode: u8, search_miss: bool) -> Option<Found> {
        Some(Found { rcode, search_miss, answers: Vec::new(), extras: Vec::new() })
    }

    fn records(answers: Vec<&[u8]>, extras: Vec<&[u8]>) -> Option<Found> {
        let own = |runs: Vec<&[u8]>| runs.into_iter().map(<[u8]>::to_vec).collect();
        Some(Found { rcode: NOERROR, search_miss: false, answers: own(answers), extras: own(extras) })
    }
}

/// What the world says of a question; None where that is Python's to say.
pub fn find(
    world: &World,
    name: &[u8],
    qtype: u16,
    drawn: &mut HashMap<(Vec<u8>, u16), u64>,
) -> Option<Found> {
    if name.len() > 255 {
        return None;
    }
    let key = (name.to_vec(), qtype);
    if let Some(positive) = world.entries.get(&key) {
        let draw = drawn.entry(key).or_default();
        *draw += 1;
        let (answers, extras) = positive.dealt(*draw - 1);
        return Found::records(answers, extras);
    }
    let mut suffixes = Vec::new();
    let mut rest = name;
    while rest[0] != 0 {
        suffixes.push(rest);
        rest = &rest[1 + rest[0] as usize..];
    }
    let depth = suffixes.iter().position(|suffix| world.names.contains_key(*suffix))?;
    let (responder, _, instances) = &world.names[suffixes[depth]];
    if *responder {
        return None;
    }
    let label = &name[1..1 + name[0] as usize];
    let instance = instances.as_ref().and_then(|instances| instances.get(label));
    match (depth, instance) {
        (0, _) => Found::nothing(NOERROR, false),
        (1, Some(instance)) => {
            let (a, aaaa) = address_records(*instance);
            match qtype {
                A => Found::records(a.chunks(16).collect(), Vec::new()),
                AAAA => Found::records(aaaa.chunks(28).collect(), Vec::new()),
                _ => None,
            }
        }
        _ => Found::nothing(NXDOMAIN, depth > 1),
    }
}
