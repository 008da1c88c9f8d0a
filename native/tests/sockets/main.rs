//! What the engine asks of the kernel, tried on sockets on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use zkdns_native::socket::{Batch, Socket};

fn exchange(bound: &str, asked: &str) {
    let socket = Socket::bind(bound.parse().unwrap(), 1 << 16).unwrap();
    let mut at: SocketAddr = asked.parse().unwrap();
    at.set_port(socket.udp.local_addr().unwrap().port());
    let client = UdpSocket::bind(if at.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(b"one", at).unwrap();
    let mut batch = Batch::new(socket.wildcard, 512);
    assert_eq!(batch.receive(&socket, libc::MSG_WAITFORONE).unwrap(), 1);
    assert_eq!(batch.packet(0), b"one");
    assert_eq!(batch.origin(0).peer, client.local_addr().unwrap());
    batch.packet_and_out(0).1.extend_from_slice(b"two");
    batch.end_reply(0);
    assert_eq!(batch.send(&socket), 0);
    socket.send(b"three", &batch.origin(0)).unwrap();
    for expected in [&b"two"[..], b"three"] {
        let mut got = [0; 16];
        let (length, from) = client.recv_from(&mut got).unwrap();
        assert_eq!((&got[..length], from), (expected, at));
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    exchange("127.0.0.1:0", "127.0.0.1:0");
    exchange("0.0.0.0:0", "127.0.0.7:0");
}

#[test]
fn a_reply_leaves_from_the_ipv6_address_that_was_asked() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    exchange("[::1]:0", "[::1]:0");
    exchange("[::]:0", "[::1]:0");
}

#[test]
fn what_the_buffer_has_no_room_for_is_counted() {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 12).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..500 {
        client.send_to(&[0; 100], socket.udp.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new(false, 512);
    let mut taken = 0;
    while let Ok(got) = batch.receive(&socket, libc::MSG_DONTWAIT) {
        taken += got as u64;
    }
    assert!(taken > 0 && socket.missed() > 0);
    assert_eq!(taken + socket.missed(), 500);
}

#[test]
fn a_retired_socket_keeps_what_has_come_and_gets_no_more() {
    let old = Socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    let at = old.udp.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"early", at).unwrap();
    let new = Socket::bind(at, 1 << 16).unwrap();
    old.retire().unwrap();
    for n in 0..50 {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[n], at).unwrap();
    }
    let mut batch = Batch::new(false, 512);
    assert_eq!(batch.receive(&old, libc::MSG_DONTWAIT).unwrap(), 1);
    assert_eq!(batch.packet(0), b"early");
    batch.packet_and_out(0).1.extend_from_slice(b"late");
    batch.end_reply(0);
    assert_eq!(batch.send(&old), 0);
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 4);
    assert!(batch.receive(&old, libc::MSG_DONTWAIT).is_err());
    assert_eq!(batch.receive(&new, libc::MSG_DONTWAIT).unwrap(), 50);
}
