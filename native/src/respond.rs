//! One query in, one outcome out: the Rust twin of `zkdns/serve/respond.py`, for the plain case.
//!
//! Rules: no I/O, no clock, no chance; the same bytes as the Python twin for the same table, query
//! and draw. Whatever needs more than the table is passed on, untouched.

use crate::entry::{Entry, Span};
use crate::index::Keyed;
use crate::query::{Asked, Edns, Query, Read};
use crate::subnet::Subnet;
use crate::table::{EVERY, Name, Table, Zone};
use crate::told::Told;
use crate::wire::{A, AAAA, NOERROR, NXDOMAIN, TC, UDP_LIMIT, UDP_PLAIN, push_header, push_opt, shorten};
use std::net::{IpAddr, Ipv4Addr};

/// A record without rdata: owner C00C, type, class, TTL, length. So many of them fill any reply.
const SHORTEST: usize = 12;

/// QR and AA.
const AUTHORITATIVE: u8 = 0x84;

/// A client where it doesn't matter who asks.
pub const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `search_miss`: there is no such name, nor one just above it: a search list went through here.
    Reply {
        qtype: u16,
        rcode: u8,
        search_miss: bool,
    },
    Drop,
    Pass,
    /// No name of ours, nor below one: passed on, unless what an upstream said of it is at hand.
    Outside,
}

/// Who asks. `limit`: the most that the transport carries, `UDP_LIMIT` over UDP; `offered`: whether it may have
/// names forwarded.
#[derive(Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    pub limit: usize,
    pub offered: bool,
}

/// Where answers are made: kept by the caller, so that none of it is made anew for each query.
#[derive(Default)]
pub struct Desk {
    answers: Vec<Span>,
    extras: Vec<Span>,
    short: Vec<u8>,
    /// What the last answer was about.
    pub told: Told,
}

/// Appends the reply to `out`.
pub fn respond(packet: &[u8], client: Client, table: &Table, desk: &mut Desk, out: &mut Vec<u8>) -> Outcome {
    let mut asked = Asked::default();
    asked.read(packet);
    answer(packet, &asked, None, client, table, desk, out)
}

/// The same for a packet that was read before. `likely`: the first entry of its hash.
#[inline]
pub fn answer(
    packet: &[u8],
    asked: &Asked,
    likely: Option<&Entry>,
    client: Client,
    table: &Table,
    desk: &mut Desk,
    out: &mut Vec<u8>,
) -> Outcome {
    desk.told = Told::default();
    let query = match asked.read {
        Read::Plain(query) => query,
        Read::Drop => return Outcome::Drop,
        Read::Pass => return Outcome::Pass,
    };
    let limit = match query.edns {
        _ if client.limit > UDP_LIMIT => client.limit,
        Some(edns) => (edns.size as usize).max(UDP_PLAIN).min(client.limit),
        None => UDP_PLAIN,
    };
    let mut subnet = match query.edns.and_then(|edns| edns.subnet(packet)) {
        Some(data) if table.clients.trusted.get(client.address).is_some() => match Subnet::read(data) {
            Some(subnet) => Some(subnet),
            None => return Outcome::Pass,
        },
        _ => None,
    };
    let reply = Reply { packet, query, subnet: &[], stale: &[], limit, offered: client.offered };
    let key = asked.key();
    let found = match likely {
        Some(entry) if entry.key() == key => likely,
        _ => table.entries.get(key),
    };
    if let Some(entry) = found {
        let Some(stale) = table.stale(entry.origin()) else { return Outcome::Pass };
        let variant = entry.variants().and_then(|variants| {
            let class = match subnet.as_mut().and_then(|subnet| subnet.address.map(|at| (subnet, at))) {
                Some((subnet, address)) => {
                    let (class, scope) = table.clients.locate(address);
                    subnet.set_scope(scope);
                    class
                }
                None => table.clients.class_of(client.address),
            };
            variants.get(class)
        });
        let subnet = subnet.as_ref().map_or(&[][..], |subnet| subnet.option());
        let reply = Reply { stale, subnet, ..reply };
        let (entry, ede, position) = match variant {
            None => (entry, entry.ede(), entry.take_position()),
            Some(variant) if variant.entry.is_empty() => {
                return reply.miss(table, &key[..query.name], desk, out);
            }
            Some(variant) => (&*variant.entry, &*variant.ede, variant.take_position()),
        };
        let Desk { answers, extras, short, told } = desk;
        let first = entry.deal(position, limit / SHORTEST + 1, answers, extras);
        *told = entry.told(first);
        reply.positive(entry, ede, answers, extras, short, out);
        return Outcome::Reply { qtype: query.qtype, rcode: NOERROR, search_miss: false };
    }
    let subnet = subnet.as_ref().map_or(&[][..], |subnet| subnet.option());
    Reply { subnet, ..reply }.miss(table, &key[..query.name], desk, out)
}

#[derive(Clone, Copy)]
struct Reply<'a> {
    packet: &'a [u8],
    query: Query,
    /// The client's subnet as the reply bears it.
    subnet: &'a [u8],
    /// What the origin of this answer says of its age.
    stale: &'a [u8],
    limit: usize,
    offered: bool,
}

impl<'a> Reply<'a> {
    /// The zone of a name of ours, and the reply with what the name's origin says of its age; None where it
    /// is Python's to say.
    fn about<'t: 'a>(self, table: &'t Table, name: &Name) -> Option<(&'t Zone, Reply<'a>)> {
        let zone = table.zones.get(name.zone as usize)?.as_deref()?;
        let stale = table.stale(name.origin)?;
        (!name.responder).then_some((zone, Reply { stale, ..self }))
    }

    /// Header and question; the counts of the three sections after it.
    #[inline]
    fn open(&self, out: &mut Vec<u8>, flags: u8, rcode: u8, counts: [u16; 3]) {
        let low = (u8::from(self.offered) << 7) | rcode;
        push_header(out, self.packet, [AUTHORITATIVE | flags, low], counts);
        out.extend_from_slice(&self.packet[12..12 + self.query.name + 4]);
    }

    #[inline]
    fn close(&self, out: &mut Vec<u8>, options: [&[u8]; 2]) {
        if let Some(Edns { dnssec_ok, .. }) = self.query.edns {
            push_opt(out, dnssec_ok, [self.subnet, options[0], options[1]]);
        }
    }

    /// What header, question and an OPT of nothing but the client's subnet take.
    #[inline]
    fn frame(&self) -> usize {
        12 + self.query.name + 4 + if self.query.edns.is_some() { 11 + self.subnet.len() } else { 0 }
    }

    /// The options that fit beside `body`: with their texts, without, or none at all.
    #[inline]
    fn options<'o>(&'o self, body: usize, ede: &'o [u8], short: &'o mut Vec<u8>) -> [&'o [u8]; 2] {
        if self.query.edns.is_none() {
            return [&[], &[]];
        }
        let room = self.limit.saturating_sub(self.frame() + body);
        if self.stale.len() + ede.len() <= room {
            return [self.stale, ede];
        }
        short.clear();
        shorten(self.stale, short);
        shorten(ede, short);
        if short.len() <= room { [short, &[]] } else { [&[], &[]] }
    }

    #[inline]
    fn positive(
        &self,
        entry: &Entry,
        ede: &[u8],
        answers: &[Span],
        extras: &[Span],
        short: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let length = |spans: &[Span]| spans.iter().map(|s| s.len as usize).sum::<usize>();
        let (body, more) = (length(answers), length(extras));
        let opt = u16::from(self.query.edns.is_some());
        let whole = self.frame() + body + more <= self.limit;
        if !whole && self.frame() + body > self.limit {
            return self.cut(entry, answers, out);
        }
        let extras = if whole { extras } else { &[] };
        let options = if whole { self.options(body + more, ede, short) } else { [&[][..], &[]] };
        let additional = extras.iter().map(|s| s.records).sum::<u16>() + opt;
        self.open(out, 0, NOERROR, [answers.len() as u16, 0, additional]);
        for span in answers.iter().chain(extras) {
            out.extend_from_slice(entry.bytes(*span));
        }
        self.close(out, options);
    }

    /// As many whole records as fit, and the sign that there are more.
    #[cold]
    fn cut(&self, entry: &Entry, answers: &[Span], out: &mut Vec<u8>) {
        let mut room = self.limit.saturating_sub(self.frame());
        let fit = answers.iter().take_while(|span| {
            let fits = span.len as usize <= room;
            room = room.saturating_sub(span.len as usize);
            fits
        });
        let fit = fit.count();
        self.open(out, TC, NOERROR, [fit as u16, 0, u16::from(self.query.edns.is_some())]);
        for span in &answers[..fit] {
            out.extend_from_slice(entry.bytes(*span));
        }
        self.close(out, [&[], &[]]);
    }

    fn miss(self, table: &'a Table, name: &[u8], desk: &mut Desk, out: &mut Vec<u8>) -> Outcome {
        let Desk { short, told, .. } = desk;
        if !table.may_hold(name) {
            return Outcome::Outside;
        }
        if let Some(found) = table.names.get(name) {
            let Some((zone, reply)) = self.about(table, found) else { return Outcome::Pass };
            told.service = found.service;
            return reply.negative(zone, NOERROR, &found.ede, short, out);
        }
        let mut stripped = 0;
        let mut parent = name;
        while parent[0] != 0 {
            parent = &parent[1 + parent[0] as usize..];
            stripped += 1;
            if parent[0] == 0 {
                break; // the root is nobody's closest encloser here: what only it holds is not ours
            }
            let Some(found) = table.names.get(parent) else { continue };
            let Some((zone, reply)) = self.about(table, found) else { return Outcome::Pass };
            let instance = match &found.instances {
                Some(instances) if stripped == 1 => instances.get(&name[1..name.len() - parent.len()]),
                _ => None,
            };
            let Some(instance) = instance else {
                if found.below {
                    return Outcome::Pass;
                }
                // Each registry might have it: that nobody does is for all of them to say.
                let Some(stale) = table.stale(EVERY) else { return Outcome::Pass };
                let reply = Reply { stale, ..reply };
                let outcome = reply.negative(zone, NXDOMAIN, &[], short, out);
                let Outcome::Reply { qtype, rcode, .. } = outcome else { return outcome };
                return Outcome::Reply { qtype, rcode, search_miss: stripped > 1 };
            };
            let (records, size) = match self.query.qtype {
                A => (instance.a, 16),
                AAAA => (instance.aaaa, 28),
                _ => return Outcome::Pass,
            };
            if records.is_empty() {
                return reply.negative(zone, NOERROR, &[], short, out);
            }
            return reply.instance(records, size, short, out);
        }
        Outcome::Outside
    }

    fn instance(&self, records: &[u8], size: usize, short: &mut Vec<u8>, out: &mut Vec<u8>) -> Outcome {
        let room = self.limit.saturating_sub(self.frame());
        let given = &records[..records.len().min(room / size * size)];
        let cut = given.len() < records.len();
        let options = if cut { [&[][..], &[]] } else { self.options(given.len(), &[], short) };
        let opt = u16::from(self.query.edns.is_some());
        self.open(out, if cut { TC } else { 0 }, NOERROR, [(given.len() / size) as u16, 0, opt]);
        out.extend_from_slice(given);
        self.close(out, options);
        Outcome::Reply { qtype: self.query.qtype, rcode: NOERROR, search_miss: false }
    }

    /// Nothing there: the SOA in authority says for how long (RFC 2308), its owner the apex in the question.
    fn negative(
        &self,
        zone: &Zone,
        rcode: u8,
        ede: &[u8],
        short: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let owner = (0xC000 | (12 + self.query.name - zone.apex.len()) as u16).to_be_bytes();
        let edns = u16::from(self.query.edns.is_some());
        if self.frame() + 2 + zone.soa.len() > self.limit {
            self.open(out, TC, rcode, [0, 0, edns]);
            self.close(out, [&[], &[]]);
            return Outcome::Reply { qtype: self.query.qtype, rcode, search_miss: false };
        }
        let options = self.options(2 + zone.soa.len(), ede, short);
        self.open(out, 0, rcode, [0, 1, edns]);
        out.extend_from_slice(&owner);
        out.extend_from_slice(&zone.soa);
        self.close(out, options);
        Outcome::Reply { qtype: self.query.qtype, rcode, search_miss: false }
    }
}
