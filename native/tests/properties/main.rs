//! Laws of the engine, tried on tables and packets that chance makes up.
//!
//! Rules: a case that failed is printed, made as small as it gets, and not kept in a file.

mod packets;
mod world;

use packets::{Shot, aim, end_of_question, offer_about, room, shot, take_apart};
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Barrier};
use world::{APEX, Positive, Tier, World, address_records, find, positive, record, world};
use zkdns_native::entry::{Entry, Given, Span};
use zkdns_native::query::Asked;
use zkdns_native::respond::{Client, Desk, NOBODY, Outcome, answer, respond};
use zkdns_native::rotation::Rotation;
use zkdns_native::table::{InstanceAddresses, Instances};
use zkdns_native::wire::{A, UDP_LIMIT};

type Judged = Result<(), TestCaseError>;

const STREAM: usize = 65_535;

fn few() -> ProptestConfig {
    ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() }
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(UDP_LIMIT), 1 => Just(STREAM)]
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn whatever_comes_a_reply_is_whole_and_its_own_and_within_its_limit(
        world in world(), shots in vec(shot(true), 1..30), limit in limit(), offered in any::<bool>(),
    ) {
        judge_replies(&world, &shots, limit, offered)?;
    }

    #[test]
    fn what_is_asked_is_found_as_one_would_find_it_by_hand(
        world in world(), shots in vec(shot(false), 1..30), limit in limit(),
    ) {
        judge_answers(&world, &shots, limit)?;
    }

    #[test]
    fn a_deal_is_what_its_orders_and_turns_say_at_any_draw(
        positive in positive(), start in prop_oneof![0u64..50, any::<u64>()],
    ) {
        judge_deal(&positive, start)?;
    }

    #[test]
    fn over_a_cycle_each_order_has_its_turns_wherever_it_starts(
        turns in vec(0u32..7, 1..300), start in 0u64..1 << 40,
    ) {
        judge_cycle(&turns, start)?;
    }

    #[test]
    fn kids_are_a_map(
        instances in hash_map(vec(any::<u8>(), 1..64), (0usize..5, 0usize..5), 0..200),
        others in vec(vec(any::<u8>(), 0..64), 0..50),
    ) {
        let runs: Vec<_> = instances.iter().map(|(label, n)| (label, address_records(*n))).collect();
        let packed = Instances::new(runs.iter().map(|(label, (a, aaaa))| (&label[..], InstanceAddresses { a, aaaa }))).unwrap();
        for label in instances.keys().chain(&others) {
            let found = packed.get(label).map(|instance| (instance.a.to_vec(), instance.aaaa.to_vec()));
            prop_assert_eq!(found, instances.get(label).map(|n| address_records(*n)));
        }
    }
}

fn lone_tier() -> Tier {
    Tier { orders: vec![vec![0]], sequence: vec![0], records: vec![vec![1]], extras: Vec::new() }
}

fn judge_replies(world: &World, shots: &[Shot], limit: usize, offered: bool) -> Judged {
    let (table, again) = (world.table(), world.table());
    let client = Client { address: NOBODY, limit, offered };
    let mut desk = Desk::default();
    // Another's entry, as one that was found by a hash alone may be.
    let other = Positive { tiers: vec![lone_tier()], ede: Vec::new(), repeats: false };
    let other = other.entry(b"\x05other\0\0\x01", Arc::default());
    for shot in shots {
        let (_, packet) = aim(world, shot);
        let mut out = b"the one before".to_vec();
        let before = out.len();
        let outcome = respond(&packet, client, &table, &mut desk, &mut out);
        prop_assert!(out.starts_with(b"the one before"));
        let said = &out[before..];
        let (mut asked, mut alone, mut fresh) = (Asked::default(), Vec::new(), Desk::default());
        asked.read(&packet);
        let twin = answer(&packet, &asked, Some(&other), client, &again, &mut fresh, &mut alone);
        prop_assert_eq!((&outcome, said), (&twin, &alone[..]), "what was answered before, or guessed, shows");
        let Outcome::Reply { rcode, .. } = outcome else {
            prop_assert!(said.is_empty());
            if outcome == Outcome::Drop {
                prop_assert!(packet.len() < 12 || packet[2] & 0x80 != 0);
            }
            continue;
        };
        let end = end_of_question(&packet);
        prop_assert!(said.len() <= room(&packet, limit));
        prop_assert_eq!(&said[..2], &packet[..2]);
        prop_assert_eq!(&said[12..end], &packet[12..end], "the question, byte for byte");
        let message = take_apart(said, end);
        let rd = u16::from(packet[2] & 1) << 8;
        let expected = 0x8400 | rd | u16::from(offered) << 7 | u16::from(rcode);
        prop_assert_eq!(message.flags & !0x0200, expected, "QR, AA, RD, RA and the rcode, none else but TC");
        prop_assert_eq!(message.opts().len(), packet[11] as usize, "an OPT for an OPT");
    }
    Ok(())
}

fn judge_answers(world: &World, shots: &[Shot], limit: usize) -> Judged {
    let table = world.table();
    let mut desk = Desk::default();
    let mut drawn = HashMap::new();
    for shot in shots {
        let (name, mut packet) = aim(world, shot);
        let found = find(world, &name, shot.qtype, &mut drawn);
        let frame = 12 + name.len() + 4 + 11 * usize::from(shot.edns.is_some());
        let length = |records: &[Vec<u8>]| records.iter().map(Vec::len).sum::<usize>();
        if let Some(found) = &found {
            let soa = if found.answers.is_empty() { 2 + world.soa.len() } else { 0 };
            offer_about(&mut packet, shot, frame + length(&found.answers) + soa, length(&found.extras));
        }
        let mut said = Vec::new();
        let client = Client { address: NOBODY, limit, offered: false };
        let outcome = respond(&packet, client, &table, &mut desk, &mut said);
        let Some(found) = found else {
            prop_assert!(matches!(outcome, Outcome::Pass | Outcome::Outside));
            continue;
        };
        let message = take_apart(&said, 12 + name.len() + 4);
        let cut = message.flags & 0x0200 != 0;
        let left = room(&packet, limit) - frame;
        let nothing = found.answers.is_empty();
        let (qtype, rcode, search_miss) = (shot.qtype, found.rcode, found.search_miss);
        prop_assert_eq!(outcome, Outcome::Reply { qtype, rcode, search_miss });
        let [answers, authority, _] = &message.sections;
        if nothing {
            prop_assert!(answers.is_empty());
            prop_assert_eq!(cut, 2 + world.soa.len() > left);
            prop_assert_eq!(authority.len(), usize::from(!cut), "an SOA where nothing is there");
            for soa in authority {
                let at = usize::from(u16::from_be_bytes([soa[0], soa[1]]) & 0x3FFF);
                prop_assert!(said[at..].to_ascii_lowercase().starts_with(APEX), "the apex in the question");
                prop_assert_eq!(&soa[2..], &world.soa[..]);
            }
            continue;
        }
        prop_assert!(authority.is_empty());
        prop_assert_eq!(cut, length(&found.answers) > left);
        prop_assert_eq!(answers.as_slice(), &found.answers[..answers.len()]);
        if cut {
            prop_assert!(length(&found.answers[..=answers.len()]) > left, "as many as fit");
        } else {
            prop_assert_eq!(answers.len(), found.answers.len());
        }
        let extras = match length(&found.answers) + length(&found.extras) <= left {
            true => found.extras.concat(),
            false => Vec::new(), // they go first
        };
        prop_assert_eq!(message.additional().concat(), extras);
    }
    Ok(())
}

fn judge_deal(positive: &Positive, start: u64) -> Judged {
    let entry = positive.entry(b"\0\0\x01", Arc::default());
    let spell = |spans: &[Span]| spans.iter().map(|s| entry.bytes(*s).to_vec()).collect::<Vec<_>>();
    let (mut answers, mut extras) = (Vec::new(), Vec::new());
    for draw in (0..12).map(|n| start.wrapping_add(n)) {
        entry.deal(draw, usize::MAX, &mut answers, &mut extras);
        let (said, more) = positive.dealt(draw);
        prop_assert_eq!(spell(&answers), &said[..]);
        prop_assert_eq!(spell(&extras), &more[..]);
        let most = answers.len().saturating_sub(draw as usize % 3).max(1);
        entry.deal(draw, most, &mut answers, &mut extras);
        prop_assert_eq!(spell(&answers), &said[..most]);
        prop_assert_eq!(spell(&extras), if most < said.len() { &[] } else { &more[..] });
    }
    Ok(())
}

fn judge_cycle(turns: &[u32], start: u64) -> Judged {
    let orders: Vec<[u32; 1]> = (0..7).map(|n| [n]).collect();
    let rotation = Arc::new(Rotation::new(orders.iter().map(|o| &o[..]), turns));
    let records: Vec<Vec<u8>> = (0..7).map(|n| record(b"\xc0\x0c", A, &[n; 4])).collect();
    let given = Given { rotation, records: records.iter().map(Vec::as_slice).collect(), extras: Vec::new() };
    let entry = Entry::new(b"\0\0\x01", &[given], b"", false, Arc::new(AtomicU64::new(start))).unwrap();
    let (mut answers, mut extras) = (Vec::new(), Vec::new());
    let mut firsts = [0; 7];
    for _ in 0..turns.len() {
        entry.deal(entry.take_position(), 1, &mut answers, &mut extras);
        firsts[entry.bytes(answers[0])[12] as usize] += 1;
    }
    prop_assert_eq!(entry.position(), start + turns.len() as u64);
    for (n, first) in firsts.iter().enumerate() {
        prop_assert_eq!(*first, turns.iter().filter(|turn| **turn as usize == n).count());
    }
    Ok(())
}

#[test]
fn threads_that_draw_together_lose_no_number() {
    let positive = Positive { tiers: vec![lone_tier()], ede: Vec::new(), repeats: false };
    let entry = positive.entry(b"\0\0\x01", Arc::default());
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..1_000_000 {
                    entry.take_position();
                }
            });
        }
    });
    assert_eq!(entry.position(), 4_000_000);
}
