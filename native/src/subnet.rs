//! The client's network as a resolver tells it (RFC 7871): the Rust twin of `zkdns/dns/subnet.py`.
//!
//! Rules: never panics; a malformed option is None, and Python's to refuse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CODE: [u8; 2] = [0, 8];
const MAX_DATA: usize = 4 + 16;

/// What a query bears of it, and what its reply will.
#[derive(Clone, Copy)]
pub struct Subnet {
    /// None where the client wants to be unknown.
    pub address: Option<IpAddr>,
    option: [u8; 4 + MAX_DATA],
    length: u8,
}

impl Subnet {
    /// Of the option's data.
    pub fn read(data: &[u8]) -> Option<Subnet> {
        let (&[hi, lo, bits, scope], octets) = data.split_first_chunk::<4>()?;
        let size = match u16::from_be_bytes([hi, lo]) {
            0 => 0,
            1 => 4,
            2 => 16,
            _ => return None,
        };
        let bits = usize::from(bits);
        if scope != 0 || bits > 8 * size || octets.len() != bits.div_ceil(8) {
            return None;
        }
        if bits % 8 > 0 && octets[octets.len() - 1] & (0xFF >> (bits % 8)) != 0 {
            return None;
        }
        let mut whole = [0; 16];
        whole[..octets.len()].copy_from_slice(octets);
        let address = match (bits, size) {
            (0, _) => None,
            (_, 4) => Some(IpAddr::V4(Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]))),
            _ => Some(IpAddr::V6(Ipv6Addr::from(whole))),
        };
        let mut option = [0; 4 + MAX_DATA];
        option[..2].copy_from_slice(&CODE);
        option[3] = data.len() as u8;
        option[4..4 + data.len()].copy_from_slice(data);
        Some(Subnet { address, option, length: 4 + data.len() as u8 })
    }

    /// SCOPE PREFIX-LENGTH: for how many bits the answer holds.
    pub fn set_scope(&mut self, scope: u8) {
        self.option[7] = scope;
    }

    /// The whole option as the reply bears it.
    #[inline]
    pub fn option(&self) -> &[u8] {
        &self.option[..self.length as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_option_is_whole_or_nothing() {
        let address = |data: &[u8]| Subnet::read(data).map(|subnet| subnet.address);
        assert_eq!(address(&[0, 1, 24, 0, 10, 1, 2]), Some(Some([10, 1, 2, 0].into())));
        assert_eq!(address(&[0, 1, 0, 0]), Some(None));
        assert_eq!(address(&[0, 0, 0, 0]), Some(None));
        for bad in [
            &[0, 1, 24][..],
            &[0, 1, 24, 1, 10, 1, 2],
            &[0, 1, 24, 0, 10, 1],
            &[0, 1, 24, 0, 10, 1, 2, 0],
            &[0, 1, 20, 0, 10, 1, 0x1F],
            &[0, 1, 33, 0, 10, 1, 2, 3, 0],
            &[0, 3, 0, 0],
            &[0, 0, 8, 0, 10],
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in prop::collection::vec(any::<u8>(), 0..30)) {
            if let Some(mut subnet) = Subnet::read(&data) {
                subnet.set_scope(17);
                prop_assert_eq!(&subnet.option()[..4], [0, 8, 0, data.len() as u8]);
                prop_assert_eq!(&subnet.option()[4..7], &data[..3]);
                prop_assert_eq!(subnet.option()[7], 17);
            }
        }
    }
}
