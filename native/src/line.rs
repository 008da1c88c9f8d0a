//! Whose packet is next: clients take turns, however many one of them has waiting.
//!
//! Rules: pure; bounded. When too many wait, who has more than a part as large as any other's gets no more in.
//! Who has nothing waiting comes before those that have, and those that wait have one turn in a few all the
//! same. `zkdns/line.py` is the same.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Newcomers whose turn comes before the next of those that wait.
const FAVOURS: u32 = 3;

pub struct Line<K, T> {
    /// So many wait before clients are held to their part; twice that many never do.
    most: usize,
    waiting: HashMap<K, VecDeque<T>>,
    /// Clients that had no turn since they had nothing waiting, in the order of their turns.
    new: VecDeque<K>,
    /// The others.
    others: VecDeque<K>,
    favours: u32,
    length: usize,
}

impl<K: Copy + Eq + Hash, T> Line<K, T> {
    pub fn new(most: usize) -> Line<K, T> {
        let (new, others) = (VecDeque::new(), VecDeque::new());
        Line { most, waiting: HashMap::new(), new, others, favours: 0, length: 0 }
    }

    /// Whether there is room for one more of this client's, beside so many that count for nobody.
    pub fn has_room(&self, client: &K, beside: usize) -> bool {
        let length = self.length - beside;
        let own = self.waiting.get(client).map(VecDeque::len);
        let part = (self.most / self.waiting.len().max(1)).max(1);
        length < self.most || (length < 2 * self.most && own.is_none_or(|own| own < part))
    }

    pub fn put(&mut self, client: K, one: T) {
        self.waiting
            .entry(client)
            .or_insert_with(|| {
                self.new.push_back(client);
                VecDeque::new()
            })
            .push_back(one);
        self.length += 1;
    }

    /// The next.
    pub fn take(&mut self) -> Option<T> {
        let favours_newcomers = !self.new.is_empty() && (self.favours < FAVOURS || self.others.is_empty());
        let client = match favours_newcomers {
            true => self.new.pop_front(),
            false => self.others.pop_front(),
        }?;
        self.favours = if favours_newcomers { self.favours + 1 } else { 0 };
        let own = self.waiting.get_mut(&client)?;
        let one = own.pop_front();
        match own.is_empty() {
            true => drop(self.waiting.remove(&client)),
            false => self.others.push_back(client),
        }
        self.length -= usize::from(one.is_some());
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(clients: &str) -> Line<char, char> {
        let mut line = Line::new(100);
        clients.chars().for_each(|client| line.put(client, client));
        line
    }

    fn all(line: &mut Line<char, char>) -> String {
        std::iter::from_fn(|| line.take()).collect()
    }

    #[test]
    fn clients_take_turns_however_many_one_has_waiting() {
        assert_eq!(all(&mut of("aaaaabbc")), "abcabaaa");
    }

    #[test]
    fn who_has_nothing_waiting_comes_before_those_that_have() {
        let mut line = of("aaabbbccc");
        for expected in "abca".chars() {
            assert_eq!(line.take(), Some(expected));
        }
        line.put('x', 'x');
        assert_eq!(line.take(), Some('x'));
    }

    #[test]
    fn newcomers_however_many_leave_those_that_wait_every_fourth_turn() {
        let mut line = of("wwwww");
        line.take();
        ('a'..'m').for_each(|client| line.put(client, client));
        assert_eq!(all(&mut line), "abwcdewfghwijkwl");
    }

    #[test]
    fn who_has_more_than_a_part_gets_no_more_in_and_others_do() {
        let mut line = Line::new(10);
        let mut offer = |client: u32| {
            let room = line.has_room(&client, 0);
            if room {
                line.put(client, ());
            }
            room
        };
        assert_eq!((0..12).filter(|_| offer(0)).count(), 10);
        assert!(offer(1) && !offer(0));
        assert_eq!((2..100).filter(|client| offer(*client)).count(), 9);
        assert_eq!(line.length, 20);
    }

    proptest! {
        #[test]
        fn each_clients_own_come_in_their_order_and_none_is_lost(
            steps in prop::collection::vec(prop::option::of(0..5usize), 0..200),
            most in 1..20usize,
        ) {
            let mut line = Line::new(most);
            let mut kept: [VecDeque<usize>; 5] = Default::default();
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Some(client) if line.has_room(&client, 0) => {
                        line.put(client, (client, n));
                        kept[client].push_back(n);
                    }
                    Some(_) => (),
                    None => {
                        if let Some((client, n)) = line.take() {
                            prop_assert_eq!(kept[client].pop_front(), Some(n));
                        }
                    }
                }
                prop_assert_eq!(line.length, kept.iter().map(VecDeque::len).sum::<usize>());
                prop_assert!(line.length <= 2 * most);
            }
            while let Some((client, n)) = line.take() {
                prop_assert_eq!(kept[client].pop_front(), Some(n));
            }
            prop_assert!(kept.iter().all(VecDeque::is_empty));
        }
    }
}
