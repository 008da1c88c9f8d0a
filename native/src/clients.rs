//! Where clients stand, and who may speak for others: the Rust twin of `zkdns/client_map.py`.
//!
//! Rules: pure; never written once it is published.

use crate::prefix::Prefixes;
use std::net::IpAddr;

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
