//! Laws of the cache of what upstreams answered: for whom, how long, and how much of it.
//!
//! Rules: times are the test's own; bytes are judged beside Python, in `tests/native`.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use zkdns_native::cache::{Cache, Reading};
use zkdns_native::query::{Asked, CD, DO};
use zkdns_native::respond::Outcome;
use zkdns_native::stored::{Ask, Given, KEEP, Stored};
use zkdns_native::wire::UDP_LIMIT;

const WWW: &[u8] = b"\x03www\x07example\0";
const REVERSE: &[u8] = b"\x011\x012\x010\x03192\x07in-addr\x04arpa\0";

fn key(name: &[u8], qtype: u16, flags: u8) -> Vec<u8> {
    [name, &qtype.to_be_bytes(), &[0, 1, flags]].concat()
}

/// One A record: its last byte is `mark`.
fn stored(key: &[u8], ttl: u32, now: f64, mark: u8) -> Stored {
    stored_with(key, ttl, now, mark, &[])
}

/// One that says something of these names, too.
fn stored_with(key: &[u8], ttl: u32, now: f64, mark: u8, others: &[u8]) -> Stored {
    let mut body = vec![0xC0, 0x0C, 0, 1, 0, 1];
    body.extend(ttl.to_be_bytes());
    body.extend([0, 4, 192, 0, 2, mark]);
    let expires = now + f64::from(ttl);
    let given = Given {
        key,
        body: &body,
        records: &[(6, 16)],
        counts: [1, 0, 0],
        others,
        errors: &[],
        flags: [0x80, 0x80],
        stored_at: now,
        expires,
        renew_at: expires - 1.0,
    };
    Stored::new(&given).unwrap()
}

fn query(name: &[u8], qtype: u16, flags: u8) -> Vec<u8> {
    let edns = flags & DO != 0;
    let head = [7, 7, 1, (flags & CD) << 3, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    let opt: &[u8] = if edns { &[0, 0, 41, 4, 0xD0, 0, 0, 0x80, 0, 0, 0] } else { &[] };
    [&head, name, &qtype.to_be_bytes(), &[0, 1], opt].concat()
}

fn ask(cache: &Cache, packet: &[u8], now: f64) -> Option<(Vec<u8>, bool)> {
    let (mut asked, mut out) = (Asked::default(), Vec::new());
    asked.read(packet);
    let (outcome, due) = Reading::new(cache, Some(now)).give(packet, &asked, UDP_LIMIT, &mut out)?;
    assert!(matches!(outcome, Outcome::Reply { rcode: 0, search_miss: false, .. }));
    Some((out, due))
}

/// TTL and mark of the one record.
fn read(reply: &[u8], name: &[u8]) -> (u32, u8) {
    let at = 12 + name.len() + 4;
    (u32::from_be_bytes(reply[at + 6..at + 10].try_into().unwrap()), reply[at + 15])
}

#[test]
fn a_reply_weighs_all_that_it_holds_and_its_place() {
    let one = stored(&key(WWW, 1, 0), 60, 0.0, 1).weight();
    let more = stored_with(&key(WWW, 1, 0), 60, 0.0, 1, REVERSE).weight();
    assert_eq!(more - one, REVERSE.len());
    assert!(one > size_of::<Stored>() + 200, "an index and a ledger have it as well");
}

#[test]
fn what_is_said_of_an_answer_goes_before_any_of_it_but_that_it_is_stale() {
    let packet = query(WWW, 1, DO);
    let end = packet.len() - 11;
    let given = |length: usize, now: f64| {
        let mut body = vec![0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 60];
        body.extend((length as u16).to_be_bytes());
        body.resize(body.len() + length, 7);
        let stored = Stored::new(&Given {
            key: &key(WWW, 1, DO),
            body: &body,
            records: &[(6, body.len() as u16)],
            counts: [1, 0, 0],
            others: &[],
            errors: b"\0\x0f\0\x02\0\x16", // No Reachable Authority
            flags: [0x80, 0x80],
            stored_at: 0.0,
            expires: 60.0,
            renew_at: 60.0,
        });
        let mut out = Vec::new();
        stored.unwrap().reply(
            &Ask { packet: &packet, end, size: Some(512), limit: UDP_LIMIT },
            now,
            &mut out,
        );
        (out.len(), out[2] & 2 > 0)
    };
    let (whole, stale) = (512 - end - 11 - 12, 25);
    assert_eq!(given(whole - 6, 0.0), (512, false));
    assert_eq!(given(whole - 5, 0.0), (512 - 5, false));
    assert_eq!(given(whole, 0.0), (512, false));
    assert_eq!(given(whole + 1, 0.0), (end + 11, true));
    assert_eq!(given(whole - stale, 60.0), (512, false));
    assert_eq!(given(whole - stale + 1, 60.0), (end + 11 + stale, true));
}

#[test]
fn what_is_asked_often_is_told_once_when_it_is_about_to_end() {
    let cache = Cache::new(1 << 20, 1000, 0.0);
    cache.put(stored(&key(WWW, 1, 0), 60, 0.0, 1), 0, 0.0);
    let packet = query(WWW, 1, 0);
    let due = |now: f64| ask(&cache, &packet, now).unwrap().1;
    assert_eq!([10.0, 59.0, 59.0, 59.0, 59.5].map(due), [false, false, false, true, false]);
    assert_eq!(cache.take_due(), [key(WWW, 1, 0).into_boxed_slice()]);
    assert!(cache.take_due().is_empty());
    cache.put(stored(&key(WWW, 1, 0), 60, 59.5, 2), 0, 59.5);
    assert!(!ask(&cache, &packet, 119.0).unwrap().1); // it must be asked for often again
}

#[test]
fn what_is_asked_hundreds_of_times_is_asked_often() {
    let cache = Cache::new(1 << 20, 1000, 0.0);
    for times in [255, 256, 257, 258, 300] {
        cache.put(stored(&key(WWW, 1, 0), 60, 0.0, 1), 0, 0.0);
        let packet = query(WWW, 1, 0);
        assert!((0..times).all(|_| !ask(&cache, &packet, 1.0).unwrap().1));
        assert!(ask(&cache, &packet, 59.0).unwrap().1);
    }
}

#[test]
fn where_nobody_could_be_told_the_next_who_asks_tells() {
    let cache = Cache::new(1 << 20, 10_000, 0.0);
    let names: Vec<Vec<u8>> = (0..1001).map(|n| format!("\x04{n:04}\0").into_bytes()).collect();
    for name in &names {
        cache.put(stored(&key(name, 1, 0), 60, 0.0, 1), 0, 0.0);
        let told: Vec<bool> = (0..4).map(|_| ask(&cache, &query(name, 1, 0), 59.0).unwrap().1).collect();
        assert_eq!(told, [false, false, false, name != &names[1000]]);
    }
    assert_eq!(cache.take_due().len(), 1000);
    assert!(ask(&cache, &query(&names[1000], 1, 0), 59.0).unwrap().1);
}

#[test]
fn a_name_that_becomes_ours_is_forgotten_with_all_its_types_and_what_is_below_where_that_is_said() {
    let below: Vec<u8> = [b"\x01a", WWW].concat();
    let beside: Vec<u8> = [b"\x04xwww", &WWW[4..]].concat();
    let all = [key(WWW, 1, 0), key(WWW, 28, DO), key(&below, 1, CD), key(&beside, 1, 0), key(REVERSE, 12, 0)];
    let left = |names: &[&[u8]], deep: bool| {
        let cache = Cache::new(1 << 20, 1000, 0.0);
        all.iter().for_each(|key| cache.put(stored(key, 60, 0.0, 1), 0, 0.0));
        cache.forget(names, deep);
        let left = all.iter().map(|key| cache.get(key, 1.0).is_some()).collect::<Vec<_>>();
        assert_eq!(cache.len(), left.iter().filter(|kept| **kept).count());
        left
    };
    assert_eq!(left(&[WWW], false), [false, false, true, true, true]);
    assert_eq!(left(&[WWW], true), [false, false, false, true, true]);
    assert_eq!(left(&[REVERSE], false), [true, true, true, true, false]);
    assert_eq!(left(&[&REVERSE[6..]], true), [true, true, true, true, false]);
    assert_eq!(left(&[b"\x0210\x07in-addr\x04arpa\0"], true), [true; 5]);
    assert_eq!(left(&[REVERSE, WWW], false), [false, false, true, true, false]);
    assert_eq!(left(&[b"\0"], true), [false; 5]);
}

#[test]
fn reverse_names_are_found_by_name_however_others_come_and_go() {
    let cache = Cache::new(3000, 1000, 0.0); // room for a handful
    for round in 0..50u8 {
        for qtype in 0..10 {
            cache.put(stored(&key(REVERSE, qtype, 0), 60, 0.0, round), 0, 0.0);
            cache.put(stored(&key(&[1, round, 0], qtype, 0), 60, 0.0, round), 1, 0.0);
        }
        let kept = (0..10).filter(|qtype| cache.get(&key(REVERSE, *qtype, 0), 1.0).is_some()).count();
        assert!(kept > 0);
        cache.forget(&[REVERSE], false);
        assert!((0..10).all(|qtype| cache.get(&key(REVERSE, qtype, 0), 1.0).is_none()));
    }
}

#[test]
fn of_thousands_that_speak_of_one_name_few_go_in_a_row_and_none_is_given_again() {
    let cache = Cache::new(64 << 20, 100_000, 0.0);
    let keys: Vec<Vec<u8>> = (0..5000u16).map(|qtype| key(REVERSE, qtype, 0)).collect();
    keys.iter().for_each(|key| cache.put(stored(key, 60, 0.0, 1), 0, 0.0));
    cache.forget(&[REVERSE], false);
    assert_eq!(cache.len(), 4000);
    cache.forget(&[REVERSE], false);
    assert_eq!(cache.len(), 3000);
    assert!(keys.iter().all(|key| cache.get(key, 1.0).is_none()));
    assert!((0..5000).all(|qtype| ask(&cache, &query(REVERSE, qtype, 0), 1.0).is_none()));
    // What is said anew is not what was forgotten, and stays.
    for (turn, left) in [2000, 1000].into_iter().enumerate() {
        cache.put(stored(&keys[1], 60, 1.0, turn as u8), 0, 1.0);
        assert_eq!(cache.len(), left);
        assert_eq!(read(&ask(&cache, &query(REVERSE, 1, 0), 1.0).unwrap().0, REVERSE).1, turn as u8);
    }
    for _ in 0..2 {
        cache.put(stored(&key(WWW, 1, 0), 60, 1.0, 1), 0, 1.0);
        assert_eq!(cache.len(), 2);
        assert_eq!(read(&ask(&cache, &query(REVERSE, 1, 0), 1.0).unwrap().0, REVERSE).1, 1);
    }
    assert!(cache.used() < 2000);
}

#[test]
fn whoever_stands_where_one_stood_that_spoke_of_a_reverse_name_does_not_go_with_it() {
    let www = || stored(&key(WWW, 1, 0), 60, 0.0, 1);
    let is_kept = |cache: &Cache| {
        cache.forget(&[REVERSE], false);
        cache.get(&key(WWW, 1, 0), 1.0).is_some()
    };
    let cache = Cache::new(1 << 20, 1, 0.0); // room for one
    cache.put(stored(&key(REVERSE, 12, 0), 60, 0.0, 1), 0, 0.0);
    cache.put(www(), 0, 0.0);
    assert!(is_kept(&cache), "one that had to go");
    cache.put(stored_with(&key(WWW, 1, 0), 60, 0.0, 1, REVERSE), 0, 0.0);
    assert!(!is_kept(&cache));
    cache.put(stored_with(&key(WWW, 1, 0), 60, 0.0, 1, REVERSE), 0, 0.0);
    cache.put(www(), 0, 0.0);
    assert!(is_kept(&cache), "one that was replaced");
}

#[test]
fn where_all_was_let_go_of_nothing_is_left_to_be_taken_out() {
    let cache = Cache::new(64 << 20, 100_000, 0.0);
    for qtype in 0..3000 {
        cache.put(stored(&key(REVERSE, qtype, 0), 60, 0.0, 1), 0, 0.0);
    }
    cache.forget(&[REVERSE], false);
    cache.put(stored(&key(REVERSE, 12, 0), 60, 0.0, 1), 0, 0.0);
    cache.clear();
    cache.put(stored(&key(WWW, 1, 0), 60, 0.0, 1), 0, 0.0);
    cache.forget(&[REVERSE], false);
    assert!(cache.get(&key(WWW, 1, 0), 1.0).is_some());
}

#[test]
fn bytes_and_number_are_bounded_and_an_expired_one_is_kept_for_a_day() {
    for (bytes, entries) in [(1 << 20, 50), (10_000, 1000)] {
        let cache = Cache::new(bytes, entries, 0.0);
        for n in 0..200u8 {
            cache.put(stored(&key(&[1, n, 0], 1, 0), 60, 0.0, n), n, 0.0);
            assert!(cache.used() <= bytes && cache.len() as u64 <= entries);
            assert!(cache.get(&key(&[1, n, 0], 1, 0), 1.0).is_some());
        }
        let last = key(&[1, 199, 0], 1, 0);
        let asked = query(&[1, 199, 0], 1, 0);
        assert!(ask(&cache, &asked, 59.9).is_some() && ask(&cache, &asked, 60.0).is_none());
        assert!(cache.get(&last, 59.0 + KEEP).is_some() && cache.get(&last, 60.0 + KEEP).is_none());
        cache.clear();
        assert_eq!((cache.len(), cache.used()), (0, 0));
    }
}

#[test]
fn readers_see_whole_replies_of_their_own_name_while_others_are_put_and_dropped() {
    let cache = Arc::new(Cache::new(20_000, 1000, 0.0));
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (cache, stop) = (cache.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut given = 0;
                while !stop.load(Relaxed) || given == 0 {
                    for n in 0..60u8 {
                        let name = [1, n, 0];
                        if let Some((reply, _)) = ask(&cache, &query(&name, 1, 0), 1.0) {
                            assert_eq!((&reply[12..15], read(&reply, &name)), (&name[..], (59, n)));
                            given += 1;
                        }
                    }
                }
            })
        })
        .collect();
    for round in 0..20 {
        for n in 0..60u8 {
            cache.put(stored(&key(&[1, n, 0], 1, 0), 60, 0.0, n), n, 0.0);
        }
        if round % 5 == 4 {
            cache.forget(&[&[1, 7, 0]], true);
        }
    }
    stop.store(true, Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn what_does_not_add_up_is_not_kept() {
    let good = Given {
        key: &key(WWW, 1, 0),
        body: &[0; 30],
        records: &[(2, 14), (16, 30)],
        counts: [1, 0, 1],
        others: &[],
        errors: &[],
        flags: [0x80, 0x80],
        stored_at: 0.0,
        expires: 1.0,
        renew_at: 1.0,
    };
    assert!(Stored::new(&good).is_ok());
    for records in [
        &[(2, 14), (16, 31)][..],
        &[(9, 14), (16, 30)],
        &[(2, 14), (13, 30)],
        &[(2, 14), (16, 29)],
        &[(2, 14)],
        &[],
    ] {
        assert!(Stored::new(&Given { records, ..good }).is_err());
    }
    assert!(Stored::new(&Given { counts: [1, 1, 1], ..good }).is_err());
    assert!(Stored::new(&Given { key: b"\0", ..good }).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_the_newest_of_its_key_within_its_ttl_or_none(
        steps in vec((any::<bool>(), 0u8..4, 0u16..3, 0u8..4, 1u32..20, 0.0f64..3.0), 1..120),
    ) {
        let cache = Cache::new(1 << 20, 1000, 0.0);
        let mut model: HashMap<Vec<u8>, (u8, u32, f64)> = HashMap::new();
        let mut now = 0.0;
        for (n, (put, name, qtype, flags, ttl, pause)) in steps.into_iter().enumerate() {
            now += pause;
            let (name, qtype) = ([1, b'a' + name, 0], 1 + qtype);
            let key = key(&name, qtype, flags);
            if put {
                cache.put(stored(&key, ttl, now, n as u8), 0, now);
                model.insert(key, (n as u8, ttl, now));
                continue;
            }
            let spoken = [1, name[1].to_ascii_uppercase(), 0];
            let given = ask(&cache, &query(&spoken, qtype, flags), now);
            let due = model.get(&key).filter(|(_, ttl, at)| now < at + f64::from(*ttl));
            prop_assert_eq!(given.is_some(), due.is_some());
            if let (Some((reply, _)), Some((mark, ttl, at))) = (given, due) {
                prop_assert_eq!(&reply[12..15], &spoken);
                prop_assert_eq!(read(&reply, &spoken), (ttl - (now - at) as u32, *mark));
                prop_assert_eq!(&reply[..4], &[7, 7, 0x81, 0x80]);
            }
        }
    }
}
