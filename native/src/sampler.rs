//! Which packets the query log gets: one of each N that follow one another, at a place drawn anew.
//!
//! Rules: knows no clock and no chance from outside. Every N-th would do, if clients did not ask in
//! a rhythm of their own: of one that asks A and AAAA in turn, it would only ever show one of the two.

pub struct Sampler {
    every: u32,
    /// Packets until the next N begin.
    left: u32,
    place: u32,
    state: u64,
}

impl Sampler {
    pub fn new(seed: u64) -> Sampler {
        Sampler { every: 0, left: 0, place: 0, state: seed }
    }

    /// Whether this packet is the one of its N. `every` is above 0, and may change.
    pub fn is_due(&mut self, every: u32) -> bool {
        if self.left == 0 || self.every != every {
            (self.every, self.left) = (every, every);
            self.place = (self.draw() % u64::from(every)) as u32;
        }
        self.left -= 1;
        self.left == self.place
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_n_is_due_and_its_place_moves() {
        for every in [1, 2, 10, 1000] {
            let mut sampler = Sampler::new(7);
            let mut places = std::collections::HashSet::new();
            for _ in 0..50 {
                let due: Vec<u32> = (0..every).filter(|_| sampler.is_due(every)).collect();
                assert_eq!(due.len(), 1);
                places.insert(due[0]);
            }
            assert!(places.len() as u32 >= every.min(2), "an even N must not fall in step with A and AAAA");
        }
    }

    #[test]
    fn another_n_holds_at_once() {
        let mut sampler = Sampler::new(0);
        sampler.is_due(1_000_000);
        assert_eq!((0..30).filter(|_| sampler.is_due(3)).count(), 10);
    }
}
