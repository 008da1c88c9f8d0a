//! Datagrams in batches: a round of packets in one system call, and their replies in another.
//!
//! Rules: with `socket` and `slices` the only file with `unsafe` in it. Nothing here reads what is in a packet.
#![allow(unsafe_code)]
// Lengths of control messages are size_t in glibc and socklen_t in musl.
#![allow(clippy::unnecessary_cast)]

use crate::socket::{Control, Origin, Socket, check, decode, read_target, spell_source};
use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_storage, socklen_t};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

pub const BATCH: usize = 64;
/// The longest query taken whole. No resolver sends one of a quarter of this.
pub const LONGEST: usize = 4096;

/// A round of packets, and the replies to them. All is allocated once; a round makes ready again
/// only what the last one used.
pub struct Batch {
    wildcard: bool,
    used: usize,
    replies: usize,
    packets: Box<[[u8; LONGEST]]>,
    peers: Box<[sockaddr_storage]>,
    targets: Box<[Control]>,
    iov_in: Box<[iovec]>,
    headers_in: Box<[mmsghdr]>,
    sources: Box<[Control]>,
    iov_out: Box<[iovec]>,
    headers_out: Box<[mmsghdr]>,
    out: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

fn many<T: Clone>(one: T) -> Box<[T]> {
    vec![one; BATCH].into()
}

impl Batch {
    pub fn new(wildcard: bool, reply: usize) -> Batch {
        // SAFETY: these are plain data of the C interface, and all zeroes is a value of each.
        let (peer, io, header): (sockaddr_storage, iovec, mmsghdr) =
            unsafe { (zeroed(), zeroed(), zeroed()) };
        Batch {
            wildcard,
            used: BATCH,
            replies: 0,
            packets: many([0; LONGEST]),
            peers: many(peer),
            targets: many(Control([0; 64])),
            iov_in: many(io),
            headers_in: many(header),
            sources: many(Control([0; 64])),
            iov_out: many(io),
            headers_out: many(header),
            out: Vec::with_capacity(BATCH * reply),
            ends: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for a first packet (unless `flags` say not to) and takes what else is there.
    pub fn receive(&mut self, socket: &Socket, flags: c_int) -> io::Result<usize> {
        for i in 0..self.used {
            self.iov_in[i] = iovec { iov_base: self.packets[i].as_mut_ptr().cast(), iov_len: LONGEST };
            let header = &mut self.headers_in[i].msg_hdr;
            header.msg_name = (&raw mut self.peers[i]).cast();
            header.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
            header.msg_iov = &raw mut self.iov_in[i];
            header.msg_iovlen = 1;
            if self.wildcard {
                header.msg_control = (&raw mut self.targets[i]).cast();
                header.msg_controllen = size_of::<Control>() as _;
            }
        }
        self.used = 0;
        self.replies = 0;
        self.out.clear();
        self.ends.clear();
        let headers = self.headers_in.as_mut_ptr();
        // SAFETY: BATCH headers, each pointing at buffers of its own that live in `self`'s boxes,
        // with their true lengths; nothing else touches them during the call.
        let got =
            unsafe { libc::recvmmsg(socket.udp.as_raw_fd(), headers, BATCH as _, flags as _, null_mut()) };
        self.used = check(got)? as usize;
        Ok(self.used)
    }

    #[inline]
    pub fn packet(&self, i: usize) -> &[u8] {
        &self.packets[i][..(self.headers_in[i].msg_len as usize).min(LONGEST)]
    }

    /// The i-th packet, and the run of bytes that replies are appended to.
    #[inline]
    pub fn packet_and_out(&mut self, i: usize) -> (&[u8], &mut Vec<u8>) {
        let length = (self.headers_in[i].msg_len as usize).min(LONGEST);
        (&self.packets[i][..length], &mut self.out)
    }

    /// Forgets what was written of a reply that was not ended.
    pub fn unwrite(&mut self) {
        self.out.truncate(self.ends.last().map_or(0, |(_, end)| *end));
    }

    /// What was written since the last reply ended is the reply to packet `i`.
    #[inline]
    pub fn end_reply(&mut self, i: usize) {
        self.ends.push((i, self.out.len()));
    }

    #[inline]
    pub fn client(&self, i: usize) -> IpAddr {
        decode(&self.peers[i]).ip()
    }

    pub fn origin(&self, i: usize) -> Origin {
        let local = match self.wildcard {
            true => read_target(&self.targets[i], self.headers_in[i].msg_hdr.msg_controllen as usize),
            false => None,
        };
        Origin { peer: decode(&self.peers[i]), local }
    }

    /// Sends the replies; returns how many the kernel would not take. Where there is no room for them it waits a
    /// moment, once: a link takes what it can at its pace, but what goes to a neighbour that says nothing keeps its
    /// room for seconds, and whoever sends queries in the names of some hundreds of those has all of it.
    pub fn send(&mut self, socket: &Socket) -> usize {
        let mut from = 0;
        for (k, (i, end)) in self.ends.iter().enumerate() {
            let (i, reply) = (*i, &mut self.out[from..*end]);
            from = *end;
            self.iov_out[k] = iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: reply.len() };
            let header = &mut self.headers_out[k].msg_hdr;
            header.msg_name = (&raw mut self.peers[i]).cast();
            header.msg_namelen = self.headers_in[i].msg_hdr.msg_namelen;
            header.msg_iov = &raw mut self.iov_out[k];
            header.msg_iovlen = 1;
            if self.wildcard {
                let control = self.headers_in[i].msg_hdr.msg_controllen as usize;
                header.msg_control = null_mut::<c_void>();
                header.msg_controllen = 0;
                if let Some(local) = read_target(&self.targets[i], control) {
                    header.msg_controllen = spell_source(&mut self.sources[k], local) as _;
                    header.msg_control = (&raw mut self.sources[k]).cast();
                }
            }
        }
        let (mut at, mut failed, mut waited) = (0, 0, false);
        while at < self.ends.len() {
            let headers = &mut self.headers_out[at..self.ends.len()];
            // SAFETY: as many headers as given, each pointing at a reply, an address and a control
            // message that live in `self` and that nothing else touches during the call.
            let sent = unsafe {
                let (first, count) = (headers.as_mut_ptr(), headers.len());
                libc::sendmmsg(socket.udp.as_raw_fd(), first, count as _, libc::MSG_DONTWAIT as _)
            };
            match check(sent) {
                Ok(sent) => at += sent as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if waited {
                        return failed + self.ends.len() - at;
                    }
                    waited = true;
                    socket.wait_for_room();
                }
                // The first of them could not go (a firewall, no route, port 0): the others can.
                Err(_) => (at, failed) = (at + 1, failed + 1),
            }
        }
        failed
    }
}
