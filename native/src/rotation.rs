//! The orders that an RRset cycles through, and which comes at each position.
//!
//! Rules: pure; no position is past its end, and none of what was read aims outside the orders.

use std::borrow::Cow;

/// The orders that an RRset cycles through, and which comes at each position.
#[derive(Default)]
pub struct Rotation {
    indices: Box<[u32]>,
    ends: Box<[u32]>,
    sequence: Sequence,
    /// Start and end in `indices`, in turn; `ends` then ends the orders in here: they share their places.
    spans: Option<Box<[u32]>>,
}

/// Cycles run to thousands and there is one for each shape of service: two bytes a place where they do.
enum Sequence {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl Default for Sequence {
    fn default() -> Self {
        Sequence::Narrow(Box::default())
    }
}

impl Sequence {
    fn of(orders: &[u32]) -> Sequence {
        let narrow: Result<Vec<u16>, _> = orders.iter().map(|order| u16::try_from(*order)).collect();
        match narrow {
            Ok(narrow) => Sequence::Narrow(narrow.into()),
            Err(_) => Sequence::Wide(orders.into()),
        }
    }
}

impl Rotation {
    pub fn new<'a>(orders: impl IntoIterator<Item = &'a [u32]>, sequence: &[u32]) -> Rotation {
        let (mut indices, mut ends) = (Vec::new(), Vec::new());
        for order in orders {
            indices.extend_from_slice(order);
            ends.push(indices.len() as u32);
        }
        Rotation { indices: indices.into(), ends: ends.into(), sequence: Sequence::of(sequence), spans: None }
    }

    /// One whose orders are runs of spans of the same indices; None where these aim past them.
    pub fn spliced(indices: Vec<u32>, spans: Vec<u32>, ends: Vec<u32>, sequence: &[u32]) -> Option<Rotation> {
        let sound = spans.chunks(2).all(|s| s.len() == 2 && s[0] <= s[1] && s[1] as usize <= indices.len())
            && ends.is_sorted()
            && ends.iter().all(|end| end % 2 == 0 && *end as usize <= spans.len())
            && sequence.iter().all(|order| (*order as usize) < ends.len());
        sound.then(|| Rotation {
            indices: indices.into(),
            ends: ends.into(),
            sequence: Sequence::of(sequence),
            spans: Some(spans.into()),
        })
    }

    /// How many numbers it is made of.
    pub fn numbers(&self) -> usize {
        let sequence = match &self.sequence {
            Sequence::Narrow(sequence) => sequence.len(),
            Sequence::Wide(sequence) => sequence.len(),
        };
        let spans = self.spans.as_ref().map_or(0, |spans| spans.len());
        self.indices.len() + self.ends.len() + spans + sequence
    }

    #[inline]
    pub fn order(&self, position: u64) -> Cow<'_, [u32]> {
        let order = match &self.sequence {
            Sequence::Narrow(sequence) => sequence[place(position, sequence.len())] as usize,
            Sequence::Wide(sequence) => sequence[place(position, sequence.len())] as usize,
        };
        let from = if order == 0 { 0 } else { self.ends[order - 1] };
        let run = from as usize..self.ends[order] as usize;
        match &self.spans {
            None => Cow::Borrowed(&self.indices[run]),
            Some(spans) => Cow::Owned(self.join(&spans[run])),
        }
    }

    #[cold]
    fn join(&self, spans: &[u32]) -> Vec<u32> {
        spans.chunks_exact(2).flat_map(|s| &self.indices[s[0] as usize..s[1] as usize]).copied().collect()
    }
}

/// A 32-bit division is a third of the price, and covers the first four thousand million positions.
#[inline]
fn place(position: u64, length: usize) -> usize {
    match (u32::try_from(position), u32::try_from(length)) {
        (Ok(position), Ok(length)) => (position % length) as usize,
        _ => (position % length as u64) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deal_gives_its_orders_in_sequence_for_ever() {
        let orders: [&[u32]; 3] = [&[0, 1], &[1, 0], &[]];
        let rotation = Rotation::new(orders, &[0, 1, 2, 1]);
        let seen: Vec<Vec<u32>> = (0..5).map(|n| rotation.order(n).into_owned()).collect();
        assert_eq!(seen, [&[0, 1][..], &[1, 0], &[], &[1, 0], &[0, 1]]);
        assert_eq!(*rotation.order((1 << 40) + 1), [1, 0]);
        let many: Vec<[u32; 1]> = (0..70_000).map(|n| [n]).collect();
        let sequence: Vec<u32> = (0..70_000).rev().collect();
        let rotation = Rotation::new(many.iter().map(|o| &o[..]), &sequence);
        assert_eq!(*rotation.order(1), [69_998]);
    }

    #[test]
    fn orders_may_be_spans_of_one_run_and_aim_nowhere_else() {
        let made = |spans: &[u32], ends: &[u32]| {
            Rotation::spliced(vec![0, 1, 2, 0, 1, 2], spans.to_vec(), ends.to_vec(), &[1, 0])
        };
        let rotation = made(&[0, 3, 2, 3, 3, 5], &[2, 6]).unwrap();
        assert_eq!(*rotation.order(0), [2, 0, 1]);
        assert_eq!(*rotation.order(1), [0, 1, 2]);
        for (spans, ends) in [
            (&[0, 7][..], &[0, 2][..]),
            (&[3, 0], &[0, 2]),
            (&[0, 3, 1], &[0, 2]),
            (&[0, 3], &[2, 4]),
            (&[0, 3], &[2, 0]),
            (&[0, 3], &[1, 2]),
            (&[0, 3], &[2]),
        ] {
            assert!(made(spans, ends).is_none(), "{spans:?} {ends:?}");
        }
    }
}
