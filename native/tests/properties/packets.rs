//! Questions near what a table holds, some of them spoilt, and replies taken apart by hand.
//!
//! Rules: shares nothing with what makes replies.

use crate::world::{World, label};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use zkdns_native::wire::{A, AAAA, UDP_LIMIT, UDP_PLAIN};

pub const OPT: u8 = 41;

/// A reply: its flags, and the records of answer, authority and additional section, whole.
pub struct Message<'m> {
    pub flags: u16,
    pub sections: [Vec<&'m [u8]>; 3],
}

impl<'m> Message<'m> {
    pub fn opts(&self) -> Vec<&'m [u8]> {
        self.sections[2].iter().filter(|record| is_opt(record)).copied().collect()
    }

    pub fn additional(&self) -> Vec<&'m [u8]> {
        self.sections[2].iter().filter(|record| !is_opt(record)).copied().collect()
    }
}

fn is_opt(record: &[u8]) -> bool {
    record.starts_with(&[0, 0, OPT])
}

/// Panics where a record is not whole or something is left over. `at`: where the question ends.
pub fn take_apart(message: &[u8], mut at: usize) -> Message<'_> {
    let short = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    assert_eq!(short(4), 1);
    let mut sections = [Vec::new(), Vec::new(), Vec::new()];
    for (n, section) in sections.iter_mut().enumerate() {
        for _ in 0..short(6 + 2 * n) {
            let start = at;
            loop {
                match message[at] {
                    0 => break at += 1,
                    label @ 1..64 => at += 1 + label as usize,
                    192.. => break at += 2,
                    _ => panic!("a label of an unknown kind"),
                }
            }
            at += 10 + short(at + 8) as usize;
            section.push(&message[start..at]);
        }
    }
    assert_eq!(at, message.len(), "bytes are left over");
    Message { flags: short(2), sections }
}

pub fn end_of_question(packet: &[u8]) -> usize {
    let mut at = 12;
    while packet[at] != 0 {
        at += 1 + packet[at] as usize;
    }
    at + 5
}

/// The most bytes that a reply may have: over UDP what the client takes, and never more than 1232.
pub fn room(packet: &[u8], limit: usize) -> usize {
    if limit > UDP_LIMIT {
        return limit;
    }
    let end = end_of_question(packet);
    match packet[11] {
        0 => UDP_PLAIN,
        _ => usize::from(u16::from_be_bytes([packet[end + 3], packet[end + 4]])).clamp(UDP_PLAIN, UDP_LIMIT),
    }
}

/// Have the client offer as much as a reply of `least` bytes needs, `more` with it, or a byte less.
pub fn offer_about(packet: &mut [u8], shot: &Shot, least: usize, more: usize) {
    let [whole, less] = [1, 2].map(|bit| shot.upper & bit != 0);
    let size = least + if whole { more } else { 0 } - usize::from(less);
    if shot.edns.is_some() && (UDP_PLAIN..=UDP_LIMIT).contains(&size) {
        let at = end_of_question(packet) + 3;
        packet[at..at + 2].copy_from_slice(&(size as u16).to_be_bytes());
    }
}

/// A question near what there is, and what is done to its bytes.
#[derive(Clone, Debug)]
pub struct Shot {
    at: Index,
    below: Option<Vec<u8>>,
    pub qtype: u16,
    /// Which bytes of the name are in upper case.
    upper: u64,
    /// Size, DO, and bytes of a cookie.
    pub edns: Option<(u16, bool, u8)>,
    spoil: Vec<(Index, u8)>,
    cut: Option<Index>,
}

pub fn shot(spoilt: bool) -> impl Strategy<Value = Shot> {
    let size = prop_oneof![0u16..1500, any::<u16>()];
    let byte = prop_oneof![any::<u8>(), Just(0), 64u8..128, Just(0xC0)];
    let spoils = vec((any::<Index>(), byte), 0..if spoilt { 5 } else { 1 });
    (
        (any::<Index>(), prop::option::of(label()), select(vec![A, A, AAAA, 33, 16, 65, 5]), any::<u64>()),
        prop::option::of((size, any::<bool>(), 0u8..40)),
        spoils,
        prop_oneof![9 => Just(None), 1 => any::<Index>().prop_map(move |at| spoilt.then_some(at))],
    )
        .prop_map(|((at, below, qtype, upper), edns, spoil, cut)| Shot {
            at,
            below,
            qtype,
            upper,
            edns,
            spoil,
            cut,
        })
}

/// The name that is asked, and the packet.
pub fn aim(world: &World, shot: &Shot) -> (Vec<u8>, Vec<u8>) {
    let entries = world.entries.keys().map(|(name, _)| name);
    let mut known: Vec<&Vec<u8>> = world.names.keys().chain(entries).collect();
    known.sort();
    let mut name = (*shot.at.get(&known)).clone();
    if let Some(label) = &shot.below {
        name = [&[label.len() as u8], &label[..], &name].concat();
    }
    let mut made = spell(&name, shot);
    for (at, byte) in &shot.spoil {
        let at = at.index(made.len());
        made[at] = *byte;
    }
    if let Some(cut) = shot.cut {
        made.truncate(cut.index(made.len()));
    }
    (name, made)
}

fn spell(name: &[u8], shot: &Shot) -> Vec<u8> {
    let mut made = [&[0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(shot.edns.is_some())], name].concat();
    for (n, byte) in made[12..].iter_mut().enumerate() {
        if shot.upper >> (n % 64) & 1 == 1 {
            byte.make_ascii_uppercase(); // lengths are below the letters
        }
    }
    made.extend(shot.qtype.to_be_bytes());
    made.extend([0, 1]);
    if let Some((size, dnssec_ok, cookie)) = shot.edns {
        let [hi, lo] = size.to_be_bytes();
        made.extend([0, 0, OPT, hi, lo, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, 4 + cookie, 0, 10, 0, cookie]);
        made.extend(std::iter::repeat_n(7, cookie.into()));
    }
    made
}
