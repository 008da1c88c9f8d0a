//! What a map of networks says of an IPv4 client with an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).

use std::net::{IpAddr, Ipv4Addr};
use zkdns_native::prefix::Prefixes;

#[test]
fn an_ipv4_mapped_client_is_of_the_same_network_for_as_much_around_it() {
    let networks = [("10.0.0.0", 8, 1), ("10.1.0.0", 16, 2), ("fd00::", 8, 3)];
    let map = Prefixes::new(&networks.map(|(network, bits, value)| (network.parse().unwrap(), bits, value)));
    for text in ["10.1.2.3", "10.2.0.1", "192.0.2.1"] {
        let client: Ipv4Addr = text.parse().unwrap();
        let (value, bits) = map.find(IpAddr::V4(client));
        assert_eq!(map.find(IpAddr::V6(client.to_ipv6_mapped())), (value, bits + 96), "{text}");
    }
}
