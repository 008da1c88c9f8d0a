//! What clients of one class are given in place of an entry: the same records dealt in other orders.
//!
//! Rules: never written once it is published, but for the counters. Classes that differ in nothing but their
//! counter and option share one packed entry.

use crate::entry::Entry;
use crate::prefix::Prefixes;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Where clients stand: the Rust twin of `zkdns/client_map.py`.
#[derive(Default)]
pub struct Clients {
    pub map: Prefixes<u16>,
    /// The class of clients in no network of the map.
    pub own: u16,
    /// Who may speak for others (RFC 7871).
    pub trusted: Prefixes<()>,
}

impl Clients {
    /// Whether there is anything to be asked of a client's address.
    #[inline]
    pub fn matter(&self) -> bool {
        self.own != 0 || !self.map.is_empty() || !self.trusted.is_empty()
    }

    #[inline]
    pub fn class_of(&self, client: IpAddr) -> u16 {
        self.map.get(client).unwrap_or(self.own)
    }

    /// The class, and the SCOPE PREFIX-LENGTH for which it is the same.
    pub fn locate(&self, client: IpAddr) -> (u16, u8) {
        let (class, scope) = self.map.find(client);
        (class.unwrap_or(self.own), scope)
    }
}
