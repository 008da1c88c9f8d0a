//! The system calls: sockets that share a port, replies that leave from where they were asked, listeners
//! that end without a loss, and a poller for many streams.
//!
//! Rules: with `batch`, which receives and sends many datagrams at once, and `slices` the only file with
//! `unsafe` in it. Nothing here reads what is in a packet.
#![allow(unsafe_code)]
// Lengths of control messages are size_t in glibc and socklen_t in musl.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::addr_of;

use libc::{c_int, iovec, msghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

/// Of the numbers that SO_MEMINFO gives, how many there are and which counts drops (linux/sock_diag.h).
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// Room for one IPV6_PKTINFO message, the larger of the two kinds; aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control(pub(crate) [u8; 64]);

pub(crate) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T: Copy>(fd: c_int, level: c_int, name: c_int, value: T) -> io::Result<()> {
    let size = size_of::<T>() as socklen_t;
    // SAFETY: the pointer is to a live value of plain data, and the size is its own.
    check(unsafe { libc::setsockopt(fd, level, name, addr_of!(value).cast(), size) }).map(drop)
}

/// A socket that others may share its port with.
fn open(at: SocketAddr, kind: c_int) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the descriptor is ours alone from here on.
    let fd = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind | libc::SOCK_CLOEXEC, 0))?) };
    set(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    if at.is_ipv6() {
        set(fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    Ok(fd)
}

fn bind(fd: &OwnedFd, at: SocketAddr) -> io::Result<()> {
    let (address, length) = encode(at);
    // SAFETY: the address is a live sockaddr_storage of which `length` bytes are the address.
    check(unsafe { libc::bind(fd.as_raw_fd(), addr_of!(address).cast(), length) }).map(drop)
}

/// Milliseconds since the epoch, as of the kernel's last tick: a tenth of the price of now, and a few
/// milliseconds behind it.
pub fn wall_clock() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec. It fails for an unknown clock alone, and leaves 0 then.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Whether this new descriptor is beyond the part that there is for DNS clients' connections and what is before
/// them: the lowest number that is free is the next one's (open(2)), so it tells how many there are.
/// `zkdns/descriptors.py` says what the rest is for.
pub fn are_scarce(fd: RawFd) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    got == 0 && limit.rlim_cur != libc::RLIM_INFINITY && fd as u64 >= limit.rlim_cur / 4 * 3
}

/// Milliseconds that replies wait for room.
const ROOM: c_int = 2;

/// A bound UDP socket, one of several on its address. On a wildcard address each packet tells where
/// it was sent to, so that its reply can leave from there.
pub struct Socket {
    pub udp: UdpSocket,
    pub wildcard: bool,
}

impl Socket {
    pub fn bind(at: SocketAddr, buffer: c_int) -> io::Result<Socket> {
        let fd = open(at, libc::SOCK_DGRAM)?;
        let raw = fd.as_raw_fd();
        // A burst that comes while a thread is off its core waits here, and replies to neighbours that are
        // looked for. Past net.core.rmem_max and wmem_max only with CAP_NET_ADMIN; either way what the kernel
        // grants is good enough.
        let rooms = [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)];
        for (forced, asked) in rooms {
            if set(raw, libc::SOL_SOCKET, forced, buffer).is_err() {
                let _ = set(raw, libc::SOL_SOCKET, asked, buffer);
            }
        }
        let wildcard = at.ip().is_unspecified();
        match (wildcard, at.is_ipv6()) {
            (true, true) => set(raw, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?,
            (true, false) => set(raw, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
            _ => (),
        }
        bind(&fd, at)?;
        Ok(Socket { udp: UdpSocket::from(fd), wildcard })
    }

    /// New packets go to the others that share the port; what has come stays to be read, and whoever
    /// waits for more is woken. A connected socket is passed over when one is chosen from a
    /// SO_REUSEPORT group (Linux commit acdcecc61285, in 5.4), and its own address never asks us.
    pub fn retire(&self) -> io::Result<()> {
        let mut at = self.udp.local_addr()?;
        if at.ip().is_unspecified() {
            at.set_ip(if at.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let connected = self.udp.connect(at);
        // SAFETY: no pointers; the descriptor lives as long as `self`.
        let woken = check(unsafe { libc::shutdown(self.udp.as_raw_fd(), libc::SHUT_RD) });
        connected.and(woken.map(drop))
    }

    /// Packets that came faster than they were taken, so that the kernel had no room for them.
    pub fn missed(&self) -> u64 {
        let mut told = [0u32; MEMINFO_VARS];
        let mut size = size_of_val(&told) as socklen_t;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_MEMINFO);
        // SAFETY: the kernel writes at most `size` bytes, and `told` is as large as that.
        let got = check(unsafe {
            libc::getsockopt(self.udp.as_raw_fd(), level, name, told.as_mut_ptr().cast(), &raw mut size)
        });
        if got.is_ok() { told[MEMINFO_DROPS].into() } else { 0 } // before Linux 4.12
    }

    /// Until there is room for what is sent, and no longer than a link needs to make some.
    pub fn wait_for_room(&self) {
        let mut wanted = libc::pollfd { fd: self.udp.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: the pointer is to one live pollfd.
        unsafe { libc::poll(&raw mut wanted, 1, ROOM) };
    }

    /// One reply, from any thread; waits for nothing.
    pub fn send(&self, bytes: &[u8], origin: &Origin) -> io::Result<()> {
        let (mut address, length) = encode(origin.peer);
        let mut io = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut control = Control([0; 64]);
        // SAFETY: a msghdr is plain data, and all zeroes is one of its values.
        let mut header: msghdr = unsafe { zeroed() };
        header.msg_name = (&raw mut address).cast();
        header.msg_namelen = length;
        header.msg_iov = &raw mut io;
        header.msg_iovlen = 1;
        if let Some(local) = origin.local {
            header.msg_controllen = spell_source(&mut control, local) as _;
            header.msg_control = (&raw mut control).cast();
        }
        // SAFETY: name, data and control outlive the call, with the lengths given; data is only read.
        let sent = unsafe { libc::sendmsg(self.udp.as_raw_fd(), &header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Whom to answer, and the address and interface to answer from where the socket is a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub peer: SocketAddr,
    pub local: Option<(IpAddr, u32)>,
}

fn encode(at: SocketAddr) -> (sockaddr_storage, socklen_t) {
    // SAFETY: a sockaddr_storage is plain data, and all zeroes is one of its values.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    let length = match at {
        SocketAddr::V4(at) => {
            let spelled = sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: at.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(at.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage is as large and as aligned as every address there is.
            unsafe { (&raw mut storage).cast::<sockaddr_in>().write(spelled) };
            size_of::<sockaddr_in>()
        }
        SocketAddr::V6(at) => {
            let spelled = sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: at.port().to_be(),
                sin6_flowinfo: at.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: at.ip().octets() },
                sin6_scope_id: at.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<sockaddr_in6>().write(spelled) };
            size_of::<sockaddr_in6>()
        }
    };
    (storage, length as socklen_t)
}

pub(crate) fn decode(storage: &sockaddr_storage) -> SocketAddr {
    if c_int::from(storage.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says that this is what the kernel wrote; the storage is aligned for it.
        let at = unsafe { &*addr_of!(*storage).cast::<sockaddr_in6>() };
        let ip = Ipv6Addr::from(at.sin6_addr.s6_addr);
        SocketAddrV6::new(ip, u16::from_be(at.sin6_port), at.sin6_flowinfo, at.sin6_scope_id).into()
    } else {
        // SAFETY: our sockets are of two families only, and this is the other.
        let at = unsafe { &*addr_of!(*storage).cast::<sockaddr_in>() };
        let ip = Ipv4Addr::from(at.sin_addr.s_addr.to_ne_bytes());
        SocketAddrV4::new(ip, u16::from_be(at.sin_port)).into()
    }
}

const HEADER: usize = size_of::<libc::cmsghdr>();

/// The one control message that tells the kernel where a reply leaves from; returns its length.
pub(crate) fn spell_source(control: &mut Control, local: (IpAddr, u32)) -> usize {
    let mut info = [0; 20];
    let (level, kind, length) = match local {
        (IpAddr::V4(ip), _) => {
            // in_pktinfo: the interface is left to the routing table, as for any reply (RFC 1122).
            info[4..8].copy_from_slice(&ip.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        (IpAddr::V6(ip), interface) => {
            // in6_pktinfo: a link-local address says nothing without its link.
            let interface = if ip.is_unicast_link_local() { interface } else { 0 };
            info[..16].copy_from_slice(&ip.octets());
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    // SAFETY: a cmsghdr is plain data, and all zeroes is one of its values.
    let mut header: libc::cmsghdr = unsafe { zeroed() };
    header.cmsg_len = (HEADER + length) as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    // SAFETY: the buffer is larger than a header and aligned as one.
    unsafe { control.0.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
    control.0[HEADER..HEADER + length].copy_from_slice(&info[..length]);
    (HEADER + length).next_multiple_of(align_of::<libc::cmsghdr>())
}

/// The address that a packet was sent to, and the interface it came in by.
pub(crate) fn read_target(control: &Control, length: usize) -> Option<(IpAddr, u32)> {
    if length < HEADER + 12 {
        return None;
    }
    // SAFETY: the kernel wrote a header of this size, and the buffer is aligned as one.
    let header = unsafe { control.0.as_ptr().cast::<libc::cmsghdr>().read() };
    let data = &control.0[HEADER..];
    let word = |at: usize| u32::from_ne_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    match (header.cmsg_level, header.cmsg_type) {
        // ipi_spec_dst: for a packet to a broadcast or multicast address, our own address there.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            Some((Ipv4Addr::from([data[4], data[5], data[6], data[7]]).into(), word(0)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(&data[..16]).ok()?);
            (!ip.is_multicast()).then_some((ip.into(), word(16)))
        }
        _ => None,
    }
}

/// Bytes that the kernel takes of us beyond what a client's window has room for. It would take
/// megabytes for one that reads nothing, and there may be a thousand of those.
const UNSENT: c_int = 128 << 10;

/// One of several listeners on an address. What it accepts inherits its options.
pub fn listen(at: SocketAddr, backlog: c_int) -> io::Result<TcpListener> {
    let fd = open(at, libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
    let raw = fd.as_raw_fd();
    set(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set(raw, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(raw, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT)?;
    bind(&fd, at)?;
    // SAFETY: no pointers; the descriptor lives as long as `fd`.
    check(unsafe { libc::listen(raw, backlog) })?;
    Ok(TcpListener::from(fd))
}

/// From here on it begins no connection: a client that opens one hears nothing and tries again in a
/// second, when another has the port. Those that have begun can be accepted. A listener that is just
/// closed takes what its queue holds along (tcp_migrate_req is off unless an operator turned it on).
pub fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    // The packet begins with the TCP header; its byte 13 holds the flags. SYN without ACK is dropped.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 13),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0x12),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0x02),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: filter.len() as _, filter: filter.as_mut_ptr() };
    // The kernel copies the program, of the length given, while `filter` lives.
    set(listener.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Has the kernel forget what a client does not read, and tell it so (RST), when the stream is closed. It
/// would keep that for minutes behind a closed descriptor. A client that has read all sees the end.
pub fn forget_unsent(stream: &TcpStream) {
    let mut unsent: c_int = 0;
    // SAFETY: the pointer is to a live c_int, which is what this request writes.
    let asked = check(unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut unsent) });
    if asked.is_ok() && unsent > 0 {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, linger);
    }
}

/// What one look of a poller may find.
const EVENTS: usize = 64;

/// What a poller tells of one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// Nothing more can come or go.
    pub over: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

impl Interest {
    fn bits(self) -> u32 {
        let bit = |wanted: bool, flag: c_int| if wanted { flag as u32 } else { 0 };
        bit(self.read, libc::EPOLLIN) | bit(self.write, libc::EPOLLOUT)
    }
}

/// Waits for many descriptors at once. One that is closed leaves by itself.
pub struct Poller {
    fd: OwnedFd,
    events: Box<[libc::epoll_event]>,
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        // SAFETY: no pointers; the descriptor is ours alone from here on.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Poller { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS].into() })
    }

    pub fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub fn change(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(&self, what: c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: the event lives for the call, and is only read.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &raw mut event) }).map(drop)
    }

    /// How many things happened within so many milliseconds (-1: whenever that is).
    pub fn wait(&mut self, milliseconds: c_int) -> io::Result<usize> {
        let (events, most) = (self.events.as_mut_ptr(), self.events.len() as c_int);
        // SAFETY: the kernel writes at most `most` events, and there is room for as many.
        let got = check(unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events, most, milliseconds) })?;
        Ok(got as usize)
    }

    #[inline]
    pub fn happened(&self, i: usize) -> Happened {
        let libc::epoll_event { events, u64: token } = self.events[i];
        let any = |flags: c_int| events & flags as u32 != 0;
        Happened {
            token,
            readable: any(libc::EPOLLIN),
            writable: any(libc::EPOLLOUT),
            over: any(libc::EPOLLERR | libc::EPOLLHUP),
        }
    }
}

// What reads and writes memory as another type, without the kernel: miri runs these (`make miri`).
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_kernel_is_given_reads_back_as_it_was() {
        for text in ["127.0.0.1:53", "255.255.255.255:65535", "[::1]:53", "[ff02::fb%7]:5353"] {
            let at: SocketAddr = text.parse().unwrap();
            let (storage, length) = encode(at);
            assert_eq!(decode(&storage), at);
            assert!(length as usize <= size_of::<sockaddr_storage>());
        }
    }

    #[test]
    fn where_a_reply_is_to_leave_from_is_what_a_packet_would_have_come_to() {
        let mut control = Control([0xA5; 64]);
        for (text, interface, read) in [("192.0.2.7", 3, 0), ("2001:db8::7", 3, 0), ("fe80::7", 3, 3)] {
            let ip: IpAddr = text.parse().unwrap();
            let length = spell_source(&mut control, (ip, interface));
            // in_pktinfo bears the address as ipi_spec_dst both ways.
            assert_eq!(read_target(&control, length), Some((ip, read)));
            assert_eq!(length % align_of::<libc::cmsghdr>(), 0);
        }
    }

    #[test]
    fn a_reply_to_what_was_asked_of_all_nodes_leaves_from_where_routing_says() {
        let mut control = Control([0; 64]);
        let length = spell_source(&mut control, ("ff02::1".parse().unwrap(), 3));
        assert_eq!(read_target(&control, length), None);
    }

    #[test]
    fn a_control_message_that_is_cut_short_or_of_another_kind_names_no_address() {
        let mut control = Control([0; 64]);
        let length = spell_source(&mut control, ("192.0.2.7".parse().unwrap(), 1));
        for cut in 0..HEADER + 12 {
            assert_eq!(read_target(&control, cut), None);
        }
        control.0[HEADER - 4..HEADER].copy_from_slice(&libc::SO_TIMESTAMP.to_ne_bytes());
        assert_eq!(read_target(&control, length), None);
    }

    #[test]
    fn what_the_kernel_tells_of_a_descriptor_is_read_by_its_flags() {
        let wanted = Interest { read: true, write: true };
        assert_eq!(wanted.bits(), (libc::EPOLLIN | libc::EPOLLOUT) as u32);
        assert_eq!(Interest::default().bits(), 0);
    }
}
