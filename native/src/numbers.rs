//! Names by number: what a thread notes of an answer is two numbers, and no text is touched for it.
//!
//! Rules: a number is never given twice, so that whoever still holds one of a name that was let go of finds
//! nothing, and never another name. Names that nobody uses are let go of now and then.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;

/// Names that may lie unused before they are looked for: to look costs as much as there are.
const SPARE: usize = 1 << 14;

#[derive(Default)]
pub struct Numbers {
    numbers: HashMap<Arc<str>, u32>,
    names: HashMap<u32, Arc<str>>,
    latest: u32,
    used: usize,
}

impl Numbers {
    /// The number of a name; 0, which stands for none, where there are no more.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let Some(number) = self.latest.checked_add(1) else { return 0 };
        self.latest = number;
        let name: Arc<str> = name.into();
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name);
        number
    }

    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub fn name(&self, number: u32) -> Option<&Arc<str>> {
        self.names.get(&number)
    }

    pub fn is_sweep_due(&self) -> bool {
        self.names.len() > 2 * self.used + SPARE
    }

    /// Lets go of all but these.
    pub fn sweep(&mut self, used: &Used) {
        self.names.retain(|number, _| used.numbers.contains(number));
        self.numbers.retain(|_, number| used.numbers.contains(number));
        self.used = self.names.len();
    }
}

/// Numbers that are in use. What clients of hundreds of zones are given is one run of them, or some few:
/// each is walked once, however many hold it.
#[derive(Default)]
pub struct Used<'a> {
    numbers: HashSet<u32>,
    /// By where they stand; they are borrowed, so that no other can stand there.
    runs: HashSet<*const u32>,
    borrowed: PhantomData<&'a [u32]>,
}

impl<'a> Used<'a> {
    /// Returns how many were walked.
    pub fn add_run(&mut self, run: &'a [u32]) -> usize {
        if !self.runs.insert(run.as_ptr()) {
            return 0;
        }
        self.numbers.extend(run);
        run.len()
    }
}

impl Extend<u32> for Used<'_> {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        self.numbers.extend(numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn using(numbers: impl IntoIterator<Item = u32>) -> Used<'static> {
        let mut used = Used::default();
        used.extend(numbers);
        used
    }

    #[test]
    fn a_number_is_never_given_to_another_name() {
        let mut numbers = Numbers::default();
        let (a, b) = (numbers.number("a"), numbers.number("b"));
        assert_eq!((a, b, numbers.number("a")), (1, 2, 1));
        numbers.sweep(&using([b]));
        assert_eq!((numbers.name(a), numbers.find("a"), numbers.find("b")), (None, None, Some(b)));
        assert_eq!(numbers.number("a"), 3);
    }

    #[test]
    fn names_that_come_and_go_do_not_fill_the_memory() {
        let mut numbers = Numbers::default();
        let mut most = 0;
        for n in 0..200_000 {
            let number = numbers.number(&format!("instance-{n}"));
            if numbers.is_sweep_due() {
                numbers.sweep(&using([number]));
            }
            most = most.max(numbers.names.len());
        }
        assert!(most <= SPARE + 3, "{most}");
    }
}
