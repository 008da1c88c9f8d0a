//! Reads one packet as the plain case: one question of ours to answer, and nothing else in it; and its keys.
//!
//! Rules: no I/O; never panics; what it does not take is for Python, whatever it is.

use crate::index::hash;

/// The longest name (RFC 1035, section 3.1) and the two bytes of the type behind it.
pub const KEY: usize = 255 + 2;

const IN: u16 = 1;
const OPT: u16 = 41;
const NSID: u16 = 3;
const SUBNET: u16 = 8;

/// What came with EDNS (RFC 6891).
#[derive(Clone, Copy, Debug)]
pub struct Edns {
    pub size: u16,
    pub dnssec_ok: bool,
    /// Where the data of the client's subnet (RFC 7871) stands, counted from the packet's end, and its
    /// length; nowhere: 0. Two of them are none that can be read.
    pub subnet: (u16, u16),
}

#[derive(Clone, Copy, Debug)]
pub struct Query {
    pub qtype: u16,
    /// Length of the name on the wire, its root label included.
    pub name: usize,
    pub edns: Option<Edns>,
}

#[derive(Clone, Copy, Debug)]
pub enum Read {
    Plain(Query),
    /// Too short to be answered, or a reply itself: answering would make a loop.
    Drop,
    Pass,
}

#[inline]
fn short(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// Fills `key` with the name in lower case and the type.
#[inline]
pub fn read(packet: &[u8], key: &mut [u8; KEY]) -> Read {
    if packet.len() < 12 || packet[2] & 0x80 != 0 {
        return Read::Drop;
    }
    // QR, opcode, AA and TC clear; one question, at most one additional record.
    if packet[2] & 0xFE != 0 || packet[4..10] != [0, 1, 0, 0, 0, 0] || packet[10] != 0 || packet[11] > 1 {
        return Read::Pass;
    }
    let mut at = 12;
    loop {
        match packet.get(at) {
            Some(0) => break,
            Some(&label @ 1..=63) => at += 1 + label as usize,
            _ => return Read::Pass,
        }
    }
    let name = at + 1 - 12;
    let rest = at + 5;
    if name > 255 || packet.len() < rest {
        return Read::Pass;
    }
    let qtype = short(packet, at + 1);
    if short(packet, at + 3) != IN || matches!(qtype, 0 | OPT | 249..=255) {
        return Read::Pass;
    }
    let edns = match (packet[11], packet.len() - rest) {
        (0, 0) => None,
        (1, _) => match opt(&packet[rest..]) {
            Some(edns) => Some(edns),
            None => return Read::Pass,
        },
        _ => return Read::Pass,
    };
    // Label lengths stop at 63 and letters start at 65: lower case leaves the lengths alone.
    key[..name].copy_from_slice(&packet[12..12 + name]);
    key[..name].make_ascii_lowercase();
    key[name..name + 2].copy_from_slice(&packet[at + 1..at + 3]);
    Read::Plain(Query { qtype, name, edns })
}

/// One OPT record of version 0 that ends with the packet, its options whole and none of them NSID.
#[inline]
fn opt(record: &[u8]) -> Option<Edns> {
    if record.len() < 11 || record[0] != 0 || short(record, 1) != OPT || record[6] != 0 {
        return None;
    }
    let mut options = &record[11..];
    if short(record, 9) as usize != options.len() {
        return None;
    }
    let mut subnet = (0, 0);
    while !options.is_empty() {
        if options.len() < 4 || short(options, 0) == NSID {
            return None;
        }
        let length = short(options, 2);
        if short(options, 0) == SUBNET {
            let from_end = (options.len() - 4) as u16;
            subnet = if subnet == (0, 0) { (from_end.max(1), length) } else { (1, 0) };
        }
        options = options.get(4 + length as usize..)?;
    }
    Some(Edns { size: short(record, 3), dnssec_ok: record[7] & 0x80 != 0, subnet })
}

impl Edns {
    /// The data of the client's subnet, where the packet bears one.
    #[inline]
    pub fn subnet<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let (from_end, length) = (usize::from(self.subnet.0), usize::from(self.subnet.1));
        if from_end == 0 {
            return None;
        }
        let at = packet.len().checked_sub(from_end)?;
        Some(packet.get(at..at + length).unwrap_or(&[]))
    }
}

/// Bits of an outside key's last byte, which follows name, type and class.
pub const DO: u8 = 1;
pub const CD: u8 = 2;

/// A packet as it was read, and its keys: the name in lower case and the type; and behind those, for
/// names that are not ours, the class and a byte of DO and CD.
#[derive(Clone)]
pub struct Asked {
    pub read: Read,
    pub hash: u64,
    /// The hash of `outside_key`, once somebody has worked it out; else 0.
    pub outside: u64,
    key: [u8; KEY + 3],
}

impl Default for Asked {
    fn default() -> Self {
        Asked { read: Read::Drop, hash: 0, outside: 0, key: [0; KEY + 3] }
    }
}

impl Asked {
    #[inline]
    pub fn read(&mut self, packet: &[u8]) {
        let (key, _) = self.key.split_first_chunk_mut().expect("it is longer");
        self.read = read(packet, key);
        (self.hash, self.outside) = (0, 0);
        if let Read::Plain(query) = self.read {
            let end = query.name + 2;
            self.hash = hash(&self.key[..end]);
            let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
            let flags = if dnssec_ok { DO } else { 0 } | if packet[3] & 0x10 != 0 { CD } else { 0 };
            self.key[end..end + 3].copy_from_slice(&[0, 1, flags]); // IN: no other class is plain
        }
    }

    /// The key of an entry; empty where the query is not plain.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match self.read {
            Read::Plain(query) => &self.key[..query.name + 2],
            _ => &[],
        }
    }

    /// The key of what an upstream said; empty where the query is not plain.
    #[inline]
    pub fn outside_key(&self) -> &[u8] {
        match self.read {
            Read::Plain(query) => &self.key[..query.name + 5],
            _ => &[],
        }
    }

    /// The name and the one above it, where both can be ours.
    #[inline]
    pub fn names(&self) -> Option<(&[u8], &[u8])> {
        let Read::Plain(query) = self.read else { return None };
        let name = &self.key[..query.name];
        (name[0] > 0).then(|| (name, &name[1 + name[0] as usize..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(name: &[u8], tail: &[u8]) -> Vec<u8> {
        let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!tail.is_empty())];
        [&head, name, &[0, 1, 0, 1], tail].concat()
    }

    fn name_of(length: usize) -> Vec<u8> {
        let mut name = Vec::new();
        while name.len() + 1 < length {
            let label = (length - name.len() - 2).min(63);
            name.push(label as u8);
            name.extend(std::iter::repeat_n(b'A', label));
        }
        name.push(0);
        name
    }

    fn plain(packet: &[u8]) -> Option<Query> {
        match read(packet, &mut [0; KEY]) {
            Read::Plain(query) => Some(query),
            _ => None,
        }
    }

    #[test]
    fn a_name_may_have_255_bytes_and_not_one_more() {
        for (length, taken) in [(1, true), (64, true), (254, true), (255, true), (256, false), (300, false)] {
            let name = name_of(length);
            assert_eq!(name.len(), length);
            assert_eq!(plain(&query(&name, b"")).map(|q| q.name), taken.then_some(length));
        }
    }

    #[test]
    fn the_key_is_in_lower_case_but_for_lengths_and_type() {
        let mut packet = query(b"\x3fABC\0", b"");
        packet.splice(12..17, [&[0x3f][..], &[b'Q'; 63], &[0]].concat());
        let at = packet.len() - 4;
        packet[at + 1] = 65; // HTTPS: its type is the letter A
        let mut key = [0; KEY];
        let Read::Plain(found) = read(&packet, &mut key) else { panic!("not plain") };
        assert_eq!(key[..found.name + 2], [&[0x3f][..], &[b'q'; 63], &[0, 0, 65]].concat());
    }

    #[test]
    fn only_one_whole_opt_of_version_0_without_nsid_is_plain() {
        let opt = |version: u8, data: &[u8]| {
            [&[0, 0, 41, 4, 0xD0, 0, version, 0x80, 0, 0, data.len() as u8], data].concat()
        };
        let asked = |tail: &[u8]| plain(&query(b"\0", tail)).map(|q| q.edns.map(|e| (e.size, e.dnssec_ok)));
        assert_eq!(asked(b""), Some(None));
        assert_eq!(asked(&opt(0, b"")), Some(Some((1232, true))));
        assert_eq!(asked(&opt(0, &[0, 10, 0, 2, 1, 2, 0, 12, 0, 0])), Some(Some((1232, true))));
        assert_eq!(asked(&opt(1, b"")), None);
        assert_eq!(asked(&opt(0, &[0, 3, 0, 0])), None);
        assert_eq!(asked(&opt(0, &[0, 10, 0, 3, 1, 2])), None);
        assert_eq!(asked(&opt(0, &[0, 10, 0])), None);
        assert_eq!(asked(&[opt(0, b""), vec![0]].concat()), None);
        assert_eq!(asked(&opt(0, b"")[..10]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn no_packet_makes_it_panic(
            head in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..14),
            tail in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(41), Just(63), any::<u8>()], 0..300),
        ) {
            let mut packet = query(b"", b"");
            let most = head.len().min(packet.len());
            packet[..most].copy_from_slice(&head[..most]);
            packet.truncate(12);
            packet.extend(tail);
            if let Some(found) = plain(&packet) {
                prop_assert!(found.name <= 255 && 12 + found.name + 4 <= packet.len());
            }
        }
    }
}
