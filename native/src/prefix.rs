//! Networks and what each means: the longest prefix that an address is in, found by one binary search.
//!
//! Rules: never written once it is built; an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2)
//! is the IPv4 address that it maps. Prefixes nest and never cross, so they cut the addresses of a family
//! into spans that each have one answer, and neighbours that differ; of two equal prefixes the later counts.

use std::net::IpAddr;

/// Where spans begin, ascending, the first at zero; and what is said of each.
#[derive(Clone)]
struct Spans<N, V> {
    starts: Box<[N]>,
    values: Box<[Option<V>]>,
}

/// An address as a number, of one family.
trait Number: Copy + Ord + Default {
    /// The first and the last address of a prefix.
    fn span(self, bits: u8) -> (Self, Self);
    fn next(self) -> Option<Self>;
    fn before(self) -> Self;
    /// How many leading bits tell it from another.
    fn parting(self, other: Self) -> u8;
}

macro_rules! number {
    ($kind:ty) => {
        impl Number for $kind {
            fn span(self, bits: u8) -> (Self, Self) {
                let host = <$kind>::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                (self & !host, self | host)
            }

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Self {
                self - 1
            }

            fn parting(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8 + 1
            }
        }
    };
}
number!(u32);
number!(u128);

impl<N: Number, V: Copy + PartialEq> Spans<N, V> {
    fn new(prefixes: impl Iterator<Item = (N, u8, V)>) -> Self {
        let mut spans: Vec<(N, N, V)> = prefixes
            .map(|(net, bits, value)| {
                let (first, last) = net.span(bits);
                (first, last, value)
            })
            .collect();
        // What holds others comes before them; the sort is stable, so a later equal one is inside.
        spans.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let (mut starts, mut values) = (vec![N::default()], vec![None]);
        let mut say = |at: N, value: Option<V>| {
            if starts.last() == Some(&at) {
                *values.last_mut().expect("as many as starts") = value;
            } else {
                starts.push(at);
                values.push(value);
            }
        };
        let mut open: Vec<(N, V)> = Vec::new();
        for (first, last, value) in spans {
            while let Some((end, _)) = open.last().copied().filter(|(end, _)| *end < first) {
                open.pop();
                if let Some(after) = end.next() {
                    say(after, open.last().map(|outer| outer.1));
                }
            }
            say(first, Some(value));
            open.push((last, value));
        }
        while let Some((end, _)) = open.pop() {
            if let Some(after) = end.next() {
                say(after, open.last().map(|outer| outer.1));
            }
        }
        let mut last = None;
        let differ: Vec<bool> = values.iter().map(|value| last.replace(*value) != Some(*value)).collect();
        let mut kept = differ.iter();
        starts.retain(|_| *kept.next().expect("as many"));
        let mut kept = differ.iter();
        values.retain(|_| *kept.next().expect("as many"));
        Spans { starts: starts.into(), values: values.into() }
    }

    /// The value at an address, and the length of the longest network around it that is all of it.
    fn find(&self, address: N) -> (Option<V>, u8) {
        let at = self.starts.partition_point(|start| *start <= address) - 1;
        let below = if at > 0 { address.parting(self.starts[at].before()) } else { 0 };
        let above = self.starts.get(at + 1).map_or(0, |next| address.parting(*next));
        (self.values[at], below.max(above))
    }

    #[inline]
    fn get(&self, address: N) -> Option<V> {
        self.values[self.starts.partition_point(|start| *start <= address) - 1]
    }
}

/// What each of some networks means, by the longest that holds an address.
#[derive(Clone)]
pub struct Prefixes<V> {
    v4: Spans<u32, V>,
    v6: Spans<u128, V>,
    networks: usize,
}

impl<V: Copy + PartialEq> Default for Prefixes<V> {
    fn default() -> Self {
        Prefixes::new(&[])
    }
}

impl<V: Copy + PartialEq> Prefixes<V> {
    pub fn new(networks: &[(IpAddr, u8, V)]) -> Self {
        let v4 = networks.iter().filter_map(|(net, bits, value)| match net {
            IpAddr::V4(net) => Some((net.to_bits(), *bits, *value)),
            IpAddr::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|(net, bits, value)| match net {
            IpAddr::V4(_) => None,
            IpAddr::V6(net) => Some((net.to_bits(), *bits, *value)),
        });
        Prefixes { v4: Spans::new(v4), v6: Spans::new(v6), networks: networks.len() }
    }

    #[inline]
    pub fn get(&self, address: IpAddr) -> Option<V> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }

    /// The same, and the length of the longest network around it for which it is the same.
    pub fn find(&self, address: IpAddr) -> (Option<V>, u8) {
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inside)) => {
                let (value, bits) = self.v4.find(inside.to_bits());
                (value, bits + 96)
            }
            (_, IpAddr::V4(address)) => self.v4.find(address.to_bits()),
            (_, IpAddr::V6(address)) => self.v6.find(address.to_bits()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.networks == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(said: &[(&str, u8, u16)]) -> Prefixes<u16> {
        let read = |(net, bits, value): &(&str, u8, u16)| (net.parse().unwrap(), *bits, *value);
        Prefixes::new(&said.iter().map(read).collect::<Vec<_>>())
    }

    #[test]
    fn the_longest_prefix_counts_and_beside_it_the_one_that_holds_it() {
        let map = networks(&[("10.0.0.0", 8, 1), ("10.1.0.0", 16, 2), ("10.1.2.0", 24, 3), ("::", 0, 4)]);
        let said = |ip: &str| map.get(ip.parse().unwrap());
        for (ip, value) in [
            ("9.255.255.255", None),
            ("10.0.255.255", Some(1)),
            ("10.1.0.0", Some(2)),
            ("10.1.2.255", Some(3)),
            ("10.1.3.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("11.0.0.0", None),
            ("::ffff:10.1.2.3", Some(3)),
            ("fe80::1", Some(4)),
        ] {
            assert_eq!(said(ip), value, "{ip}");
        }
    }

    #[test]
    fn prefixes_at_both_ends_of_a_family_hold_their_last_address() {
        let map = networks(&[("255.0.0.0", 8, 1), ("0.0.0.0", 32, 2), ("ffff::", 16, 3)]);
        let said = |ip: &str| map.get(ip.parse().unwrap());
        assert_eq!(said("255.255.255.255"), Some(1));
        assert_eq!((said("0.0.0.0"), said("0.0.0.1")), (Some(2), None));
        assert_eq!(said("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Some(3));
        assert!(networks(&[]).is_empty() && networks(&[]).get([127, 0, 0, 1].into()).is_none());
    }

    fn naive(prefixes: &[(u32, u8, u16)], address: u32) -> Option<u16> {
        let within = |(net, bits, _): &&(u32, u8, u16)| {
            *bits == 0 || (net ^ address).checked_shr(32 - u32::from(*bits)) == Some(0)
        };
        let fits = prefixes.iter().enumerate().filter(|(_, prefix)| within(prefix));
        fits.max_by_key(|(at, prefix)| (prefix.1, *at)).map(|(_, prefix)| prefix.2)
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_every_prefix_says(
            prefixes in prop::collection::vec((any::<u32>(), 0u8..=32, any::<u16>()), 0..40),
            near in prop::collection::vec((any::<prop::sample::Index>(), -2i64..3, any::<bool>()), 1..40),
        ) {
            // Close together, so that they nest.
            let prefixes: Vec<_> = prefixes.into_iter().map(|(net, bits, v)| (net & 0x0FFF_00FF, bits, v)).collect();
            let given: Vec<_> = prefixes.iter().map(|(n, b, v)| (IpAddr::V4((*n).into()), *b, *v)).collect();
            let map = Prefixes::new(&given);
            for (which, step, end) in near {
                let address = match prefixes.is_empty() {
                    true => 7,
                    false => {
                        let (net, bits, _) = prefixes[which.index(prefixes.len())];
                        let (first, last) = net.span(bits);
                        (if end { last } else { first }).wrapping_add(step as u32)
                    }
                };
                let said = naive(&prefixes, address);
                prop_assert_eq!(map.get(IpAddr::V4(address.into())), said);
                let (found, scope) = map.find(IpAddr::V4(address.into()));
                prop_assert_eq!(found, said);
                let (first, last) = address.span(scope);
                prop_assert_eq!((naive(&prefixes, first), naive(&prefixes, last)), (said, said));
                if scope > 0 {
                    let (first, last) = address.span(scope - 1);
                    let mut edges = vec![first, last];
                    edges.extend(prefixes.iter().flat_map(|(net, bits, _)| {
                        let (from, to) = net.span(*bits);
                        [from, to, from.wrapping_sub(1), to.wrapping_add(1)]
                    }));
                    edges.retain(|edge| (first..=last).contains(edge));
                    prop_assert!(edges.iter().any(|edge| naive(&prefixes, *edge) != said), "{scope} is too long");
                }
            }
        }
    }
}
