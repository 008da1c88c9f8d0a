//! One client's connection: its socket, its stream, and what a thread remembers of it.
//!
//! Rules: never waits.

use crate::connection::Connection;
use crate::places::Token;
use crate::socket::{Happened, Interest};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub struct Peer {
    pub token: Token,
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub connection: Connection,
    pub interest: Interest,
    pub active: u64,
    pub held: usize,
    /// It stands among those that are ready or paused.
    pub queued: bool,
    /// All is sent, and the client knows; what it still sends is read and not heeded, so that no RST
    /// overtakes the last replies.
    pub parting: bool,
}

impl Peer {
    /// Reads and forgets, until the client has said that it is gone.
    pub fn part(&mut self, chunk: &mut [u8], event: Happened) -> io::Result<()> {
        if !event.readable {
            return Ok(());
        }
        match self.stream.read(chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends what the kernel takes of what is unsent.
    pub fn send(&mut self) -> io::Result<()> {
        while !self.connection.unsent().is_empty() {
            match self.stream.write(self.connection.unsent()) {
                Ok(count) => self.connection.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
