//! Laws of a client's stream and of the places that connections take, tried on what chance makes up.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::net::IpAddr;
use zkdns_native::connection::{Connection, Fate, MAX_UNSENT, Need, TURN};
use zkdns_native::places::{Leaver, Places, Why};

const CHUNK: usize = 16 << 10;

fn few() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn unframe(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let (head, rest) = stream.split_first_chunk().expect("a length");
        let (message, rest) = rest.split_at(u16::from_be_bytes(*head).into());
        messages.push(message.to_vec());
        stream = rest;
    }
    messages
}

/// What a message of the law asks for: its first byte says how it is answered, the next two by how much.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        6 => (0u8..10, 0u16..300, 0usize..200).prop_map(|(kind, size, more)| {
            [&[kind][..], &size.to_be_bytes(), &vec![7; more]].concat()
        }),
        1 => (0u8..10, 0u16..60_000, 0usize..65_000).prop_map(|(kind, size, more)| {
            [&[kind][..], &size.to_be_bytes(), &vec![7; more]].concat()
        }),
    ]
}

const NOTHING: u8 = 0;
const LATER: u8 = 1;

/// A client and a server round one connection: all that may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// So many bytes come.
    Come(usize),
    /// The client takes so many.
    Read(usize),
    /// One reply that was owed comes.
    Owed,
    /// For a while nobody can take what is handed over.
    Busy(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![1usize..9, 1..CHUNK].prop_map(Step::Come),
        4 => prop_oneof![1usize..9, 1..200_000usize].prop_map(Step::Read),
        2 => Just(Step::Owed),
        1 => any::<bool>().prop_map(Step::Busy),
    ]
}

#[derive(Default)]
struct Served {
    connection: Connection,
    room: Vec<u8>,
    owed: VecDeque<Vec<u8>>,
    received: Vec<u8>,
    busy: bool,
}

fn reply_to(query: &[u8]) -> Vec<u8> {
    let size = u16::from_be_bytes([query[1], query[2]]) as usize;
    [&query[..3], &vec![query.len() as u8; size]].concat()
}

impl Served {
    fn turn(&mut self, came: &[u8]) {
        self.connection.borrow(&mut self.room);
        let (owed, busy) = (&mut self.owed, self.busy);
        self.connection.receive(came, |query, out| match query[0] {
            _ if query.len() < 3 => Fate::Nothing,
            NOTHING => {
                out.extend_from_slice(b"half a reply");
                Fate::Nothing
            }
            LATER if busy => Fate::Busy,
            LATER => {
                owed.push_back(reply_to(query));
                Fate::Later
            }
            _ => {
                out.extend(reply_to(query));
                Fate::Replied
            }
        });
        self.connection.give_back(&mut self.room);
    }

    fn read(&mut self, most: usize) {
        let unsent = self.connection.unsent();
        let count = most.min(unsent.len());
        self.received.extend_from_slice(&unsent[..count]);
        self.connection.sent(count);
    }

    fn pay(&mut self) {
        if let Some(reply) = self.owed.pop_front() {
            self.connection.reply(&reply);
        }
    }
}

fn judge(messages: &[Vec<u8>], steps: &[Step], partial: usize) -> Result<(), TestCaseError> {
    let mut stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
    let mut expected: Vec<_> =
        messages.iter().filter(|m| m.len() >= 3 && m[0] != NOTHING).map(|m| reply_to(m)).collect();
    stream.extend(&frame(&[7; 100])[..partial]); // and what never comes whole
    let mut served = Served { room: Vec::with_capacity(64), ..Served::default() };
    let mut at = 0;
    // Then it is busy no more, and everything comes, is paid and is read.
    let rest = [Step::Busy(false), Step::Come(CHUNK), Step::Owed, Step::Read(200_000)];
    let enough = stream.len() / CHUNK + 40 * messages.len() + 40;
    let mut ended = false;
    for step in steps.iter().chain(std::iter::repeat_n(&rest, enough).flatten()) {
        match step {
            Step::Come(count) => match served.connection.need() {
                Need::Bytes if at == stream.len() => {
                    ended = true;
                    served.connection.finish();
                }
                Need::Bytes => {
                    let until = (at + count).min(stream.len());
                    served.turn(&stream[at..until]);
                    at = until;
                }
                Need::Turn | Need::Pause => served.turn(&[]),
                _ => (),
            },
            Step::Read(count) => served.read(*count),
            Step::Owed => served.pay(),
            Step::Busy(busy) => served.busy = *busy,
        }
        let (connection, owed) = (&served.connection, &served.owed);
        prop_assert_eq!(connection.waiting(), owed.len());
        let unsent = connection.unsent().len();
        prop_assert!(connection.held() - unsent <= 2 + 65_535 + CHUNK, "in: a message and what came with it");
        prop_assert!(served.room.capacity() > 0, "the room came back");
        prop_assert!(unsent == 0 || connection.need() == Need::Room, "who does not read is not read from");
    }
    prop_assert!(ended);
    prop_assert_eq!(served.connection.need(), Need::Close);
    prop_assert_eq!(served.connection.has_asked(), !expected.is_empty());
    let mut received = unframe(&served.received);
    expected.sort();
    received.sort();
    prop_assert!(received == expected, "each query has its reply, once: {received:?} {expected:?}");
    Ok(())
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn every_query_has_one_reply_however_it_comes_and_memory_is_bounded(
        messages in vec(message(), 0..40), steps in vec(step(), 0..200), partial in 0usize..100,
    ) {
        judge(&messages, &steps, partial)?;
    }

    #[test]
    fn places_are_given_to_all_and_taken_from_who_has_most(
        count in 1usize..30, clients in vec((0u8..4, any::<bool>(), 0u8..4, 0u64..50), 1..200),
    ) {
        judge_places(count, &clients)?;
    }
}

fn client(network: u8, six: bool) -> IpAddr {
    host(network, six, 1)
}

fn host(network: u8, six: bool, number: u8) -> IpAddr {
    match six {
        false => IpAddr::from([10, 0, network, number]),
        true => format!("2001:db8:0:{network}0{number:x}::{network}").parse().unwrap(),
    }
}

fn judge_places(count: usize, clients: &[(u8, bool, u8, u64)]) -> Result<(), TestCaseError> {
    let places = Places::new(count, usize::MAX);
    let mut open: Vec<(Leaver, (u8, bool), u8, u64)> = Vec::new();
    for (number, (network, six, host_number, active)) in clients.iter().enumerate() {
        let newcomer = ((*network, *six), *host_number);
        let (token, leaver) = places.take(host(*network, *six, *host_number), number, *active);
        prop_assert_eq!(leaver.is_some(), open.len() == count);
        if let Some(leaver) = leaver {
            let (_, of, one, idle_since) = *open.iter().find(|held| held.0 == leaver).expect("it was open");
            let in_network = |of: (u8, bool)| {
                open.iter().filter(|held| held.1 == of).count() + usize::from(of == newcomer.0)
            };
            let of_client = |of: (u8, bool), one: u8| {
                open.iter().filter(|held| (held.1, held.2) == (of, one)).count()
                    + usize::from((of, one) == newcomer)
            };
            if open.iter().any(|held| held.1 == newcomer.0) && in_network(newcomer.0) == in_network(of) {
                prop_assert_eq!(of, newcomer.0, "of equals the newcomer's own");
            }
            for (_, network, other, active) in &open {
                prop_assert!(in_network(*network) <= in_network(of), "of a network with the most");
                if *network == of {
                    prop_assert!(of_client(of, *other) <= of_client(of, one), "of a client with the most");
                    if (of, *other) == newcomer && of_client(of, *other) == of_client(of, one) {
                        prop_assert_eq!(one, *other, "of equal clients the newcomer's own");
                    }
                    prop_assert!(*other != one || *active >= idle_since, "its idlest");
                }
            }
            open.retain(|held| held.0 != leaver);
        }
        open.push((Leaver { token, thread: number }, newcomer.0, newcomer.1, *active));
        prop_assert_eq!(places.taken(), open.len());
    }
    for (leaver, ..) in open {
        places.release(leaver.token, 0);
    }
    prop_assert_eq!(places.taken(), 0);
    Ok(())
}

#[test]
fn a_hundred_megabytes_of_empty_messages_cost_nothing() {
    let mut connection = Connection::default();
    let zeroes = vec![0; CHUNK + 1]; // odd: a length of which half has come
    for _ in 0..6400 {
        assert!(!connection.receive(&zeroes, |_, _| panic!("nothing was asked")));
        assert_eq!(connection.need(), Need::Pause);
        assert!(!connection.receive(&[], |_, _| panic!("nothing was asked")));
        assert_eq!(connection.need(), Need::Bytes);
        assert!(connection.held() < 2);
    }
}

proptest! {
    #![proptest_config(few())]

    /// No reply waits to be read of what asks nothing: from 64 of it in a turn on, the next turn comes later.
    #[test]
    fn who_sends_what_asks_nothing_is_slowed(empty in 0usize..100, junk in 0usize..64, asked in 0usize..3) {
        let mut connection = Connection::default();
        let messages = [vec![Vec::new(); empty], vec![vec![NOTHING]; junk], vec![vec![9]; asked]].concat();
        let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
        connection.receive(&stream, |query, _| match query[0] {
            NOTHING => Fate::Nothing,
            _ => Fate::Later,
        });
        let left = junk + asked > 64;
        let need = if empty + junk >= 64 { Need::Pause } else if left { Need::Turn } else { Need::Bytes };
        prop_assert_eq!(connection.need(), need);
    }
}

#[test]
fn replies_for_one_that_does_not_read_pass_the_bound_soon_enough_to_be_dropped() {
    let mut connection = Connection::default();
    let mut stream = frame(&[9, 9, 9]);
    stream.extend(std::iter::repeat_n(frame(&[LATER, 0, 0]), 1000).flatten());
    let mut later = 0;
    connection.receive(&stream, |query, out| match query[0] {
        LATER => {
            later += 1;
            Fate::Later
        }
        _ => {
            out.push(1);
            Fate::Replied
        }
    });
    let left = connection.held();
    connection.receive(&[], |_, _| panic!("it does not read what it has"));
    assert_eq!(connection.held(), left);
    for n in 1..=later {
        connection.reply(&[0; 65_535]);
        if connection.unsent().len() > MAX_UNSENT {
            assert!(n * 65_535 <= MAX_UNSENT + 65_535);
            return;
        }
    }
    panic!("it may ask for more than the bound at a time");
}

#[test]
fn a_turn_is_of_so_many_queries_and_bytes_and_no_more_wait_for_others_than_may() {
    let (mut connection, mut asked) = (Connection::default(), 0);
    let mut turn = |connection: &mut Connection, came: &[u8], fate: Fate, size: usize| {
        let before = asked;
        connection.receive(came, |_, out| {
            asked += 1;
            out.resize(out.len() + size, 0);
            fate
        });
        connection.sent(connection.unsent().len());
        asked - before
    };
    let many = frame(&[1, 2, 3]).repeat(1000);
    assert_eq!(turn(&mut connection, &many, Fate::Replied, 1), TURN);
    assert_eq!(turn(&mut connection, &[], Fate::Replied, 16 << 10), 2);
    assert_eq!(turn(&mut connection, &[], Fate::Replied, 32 << 10), 1);
    for (fate, count) in [(Fate::Later, TURN), (Fate::Replied, TURN), (Fate::Later, TURN), (Fate::Later, 0)] {
        assert_eq!(turn(&mut connection, &[], fate, 1), count);
    }
    assert_eq!((connection.waiting(), connection.need()), (2 * TURN, Need::Replies));
    connection.reply(&[1]);
    connection.sent(3);
    assert_eq!(turn(&mut connection, &[], Fate::Later, 1), 1, "one has come");
}

#[test]
fn one_network_can_not_take_the_places_of_others() {
    let places = Places::new(10, usize::MAX);
    let (mine, none) = places.take(client(1, false), 0, 0);
    assert!(none.is_none());
    for n in 1..100 {
        let (_, leaver) = places.take(client(2, false), 0, n);
        assert!(leaver.is_none_or(|leaver| leaver.token != mine));
    }
    let six: IpAddr = "::ffff:10.0.1.9".parse().unwrap();
    let (_, leaver) = places.take(six, 0, 0);
    assert_ne!(leaver.unwrap().token, mine, "2 is the larger still");
}

#[test]
fn where_descriptors_are_short_who_has_the_most_makes_room_though_there_are_places() {
    let places = Places::new(10, usize::MAX);
    let (mine, none) = places.take_where(true, client(1, false), 0, 0);
    assert!(none.is_none(), "there is nobody to make room");
    places.take(client(2, false), 0, 1);
    places.take(client(2, false), 0, 2);
    for n in 3..9 {
        let leaver = places.take_where(true, client(2, false), 0, n).1.unwrap();
        assert_ne!(leaver.token, mine);
    }
    assert_eq!(places.taken(), 3);
}

#[test]
fn alone_a_network_loses_its_idlest() {
    let places = Places::new(3, usize::MAX);
    let tokens: Vec<_> = (0..3).map(|n| places.take(client(1, true), n, n as u64).0).collect();
    places.touch(tokens[0], 9);
    let leaver = places.take(client(1, true), 7, 10).1.unwrap();
    assert_eq!((leaver.token, leaver.thread), (tokens[1], 1));
}

#[test]
fn past_the_bytes_of_all_the_network_that_keeps_the_most_loses_its_largest() {
    let places = Places::new(8, 1000);
    let one = places.take(client(1, false), 3, 0).0;
    let many: Vec<_> = (0..4).map(|_| places.take(client(2, false), 5, 0).0).collect();
    assert!(places.weigh(one, 0, 400).is_none());
    for (k, token) in many.iter().enumerate() {
        let leaver = places.weigh(*token, 0, 150 + k);
        assert_eq!(leaver.map(|leaver| leaver.token), (k == 3).then_some(*token));
    }
    assert_eq!(places.taken(), 4, "it has lost its place at once");
    places.release(many[3], 153);
    assert_eq!((places.taken(), places.bytes()), (4, 853));
}

#[test]
fn whose_bytes_are_too_many_loses_no_more_than_that_takes_before_its_thread_is_told() {
    let places = Places::new(20, 1000);
    let many: Vec<_> = (0..10).map(|_| places.take(client(1, false), 1, 0).0).collect();
    assert!(many.iter().all(|token| places.weigh(*token, 0, 100).is_none()));
    let (lone, _) = places.take(client(2, false), 0, 0);
    let leaver = places.weigh(lone, 0, 50).expect("too many");
    assert!(many.contains(&leaver.token));
    assert_eq!(places.bytes(), 950);
    assert!((50..100).all(|held| places.weigh(lone, held, held + 1).is_none()));
    let next = places.weigh(lone, 100, 101).expect("too many again");
    assert!(many.contains(&next.token) && next.token != leaver.token);
    places.weigh(leaver.token, 100, 130); // its thread has not heard
    assert_eq!(places.release(leaver.token, 130), Some(Why::Backlog));
    assert_eq!(places.release(next.token, 100), Some(Why::Backlog));
    assert_eq!(places.bytes(), 901);
    for token in many.into_iter().filter(|token| ![leaver.token, next.token].contains(token)) {
        assert_eq!(places.release(token, 100), None);
    }
    assert_eq!(places.release(lone, 101), None);
    assert_eq!((places.bytes(), places.taken()), (0, 0));
}

#[test]
fn what_waited_for_one_that_had_the_place_before_is_not_another_ones() {
    let places = Places::new(3, 1000);
    let (first, _) = places.take(client(1, false), 0, 0);
    assert!(places.weigh(first, 0, 900).is_none());
    places.release(first, 900);
    let [next, some, most] = [0; 3].map(|_| places.take(client(1, false), 0, 0).0);
    assert_eq!(next.place, first.place);
    assert!(places.weigh(some, 0, 500).is_none());
    assert_eq!(places.weigh(most, 0, 600).map(|leaver| leaver.token), Some(most));
}

#[test]
fn who_takes_some_of_what_waits_for_it_costs_nobody_a_place() {
    let places = Places::new(20, 1000);
    let many: Vec<_> = (0..10).map(|_| places.take(client(1, false), 1, 0).0).collect();
    assert!(many.iter().all(|token| places.weigh(*token, 0, 100).is_none()));
    let (lone, _) = places.take(client(2, false), 0, 0);
    assert!(places.weigh(lone, 0, 300).is_some());
    assert_eq!(places.bytes(), 1200);
    assert!(places.weigh(lone, 300, 250).is_none());
    assert!(places.weigh(lone, 250, 251).is_some());
}
