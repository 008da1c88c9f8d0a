//! What the engine asks of the kernel, tried on sockets on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;
use zkdns_native::batch::Batch;
use zkdns_native::socket::{Happened, Interest, Poller, Socket, forget_unsent, listen, refuse_new};

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
fn a_reply_that_can_not_go_and_one_that_was_not_ended_take_nothing_from_the_others() {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for packet in [b"one", b"two", b"six"] {
        client.send_to(packet, socket.udp.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new(false, 512);
    assert_eq!(batch.receive(&socket, libc::MSG_WAITFORONE).unwrap(), 3);
    let long = vec![0; 70_000]; // no datagram carries it
    for (n, reply) in [b"one", &long[..], b"six"].into_iter().enumerate() {
        batch.packet_and_out(n).1.extend_from_slice(b"what was begun");
        batch.unwrite();
        batch.packet_and_out(n).1.extend_from_slice(reply);
        batch.end_reply(n);
    }
    assert_eq!(batch.send(&socket), 1);
    for expected in [b"one", b"six"] {
        let mut got = [0; 3];
        client.recv(&mut got).unwrap();
        assert_eq!(&got, expected);
    }
}

#[test]
fn a_socket_of_ipv6_is_none_of_ipv4() {
    let Ok(socket) = Socket::bind("[::]:0".parse().unwrap(), 1 << 16) else { return };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.connect(("127.0.0.1", socket.udp.local_addr().unwrap().port())).unwrap();
    client.send(b"one").unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let listener = listen("[::]:0".parse().unwrap(), 1).unwrap();
    let at = ("127.0.0.1", listener.local_addr().unwrap().port());
    assert_eq!(TcpStream::connect(at).unwrap_err().kind(), ErrorKind::ConnectionRefused);
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

#[test]
fn a_listener_that_is_to_end_begins_no_connection_and_gives_those_that_had_begun() {
    let old = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let at = old.local_addr().unwrap();
    let mut early = TcpStream::connect(at).unwrap();
    refuse_new(&old).unwrap();
    let late = std::thread::spawn(move || TcpStream::connect_timeout(&at, Duration::from_secs(30)));
    let hears = TcpStream::connect_timeout(&at, Duration::from_millis(300));
    assert_eq!(hears.unwrap_err().kind(), ErrorKind::TimedOut);
    let (mut accepted, _) = old.accept().unwrap();
    early.write_all(b"one").unwrap();
    let mut got = [0; 3];
    accepted.set_nonblocking(false).unwrap();
    accepted.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one");
    assert_eq!(old.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let new = listen(at, 16).unwrap();
    drop(old);
    let late = late.join().unwrap().unwrap();
    new.set_nonblocking(false).unwrap();
    assert_eq!(new.accept().unwrap().1, late.local_addr().unwrap(), "it tried again, and came to another");
}

#[test]
fn what_a_client_leaves_unread_is_forgotten_and_it_is_told() {
    let listener = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
    for reads in [true, false] {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        if reads {
            stream.write_all(b"all").unwrap();
            client.read_exact(&mut [0; 3]).unwrap();
        } else {
            while stream.write(&[0; 1 << 16]).is_ok() {}
        }
        forget_unsent(&stream);
        drop(stream);
        let end = loop {
            match client.read(&mut [0; 1 << 16]) {
                Ok(0) => break None,
                Ok(_) => (),
                Err(error) => break Some(error.kind()),
            }
        };
        assert_eq!(end, (!reads).then_some(ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_poller_tells_what_can_be_done_and_what_is_over() {
    let listener = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let mut poller = Poller::new().unwrap();
    let (read, write) = (Interest { read: true, write: false }, Interest { read: false, write: true });
    poller.add(listener.as_raw_fd(), 7, read).unwrap();
    assert_eq!(poller.wait(0).unwrap(), 0);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(poller.wait(-1).unwrap(), 1);
    let happened = Happened { token: 7, readable: true, writable: false, over: false };
    assert_eq!(poller.happened(0), happened);
    let (stream, _) = listener.accept().unwrap();
    poller.add(stream.as_raw_fd(), u64::MAX, read).unwrap();
    assert_eq!(poller.wait(0).unwrap(), 0);
    poller.change(stream.as_raw_fd(), u64::MAX, write).unwrap();
    client.write_all(b"not asked for").unwrap();
    assert_eq!(poller.wait(-1).unwrap(), 1);
    let happened = Happened { token: u64::MAX, readable: false, writable: true, over: false };
    assert_eq!(poller.happened(0), happened);
    poller.change(stream.as_raw_fd(), u64::MAX, Interest::default()).unwrap();
    assert_eq!(poller.wait(0).unwrap(), 0);
    stream.shutdown(Shutdown::Write).unwrap();
    drop(client); // with bytes of ours unread it is a reset
    assert_eq!(poller.wait(-1).unwrap(), 1);
    assert!(poller.happened(0).over);
    drop(stream);
    assert_eq!(poller.wait(0).unwrap(), 0, "what is closed has left");
}
