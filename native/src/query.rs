//! Reads one packet as the plain case: one question of ours to answer, and nothing else in it.
//!
//! Rules: no I/O; never panics; what it does not take is for Python, whatever it is.

/// The longest name (RFC 1035, section 3.1) and the two bytes of the type behind it.
pub const KEY: usize = 255 + 2;

const IN: u16 = 1;
const OPT: u16 = 41;
const NSID: u16 = 3;

/// What came with EDNS (RFC 6891).
#[derive(Clone, Copy, Debug)]
pub struct Edns {
    pub size: u16,
    pub dnssec_ok: bool,
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
    while !options.is_empty() {
        if options.len() < 4 || short(options, 0) == NSID {
            return None;
        }
        options = options.get(4 + short(options, 2) as usize..)?;
    }
    Some(Edns { size: short(record, 3), dnssec_ok: record[7] & 0x80 != 0 })
}
