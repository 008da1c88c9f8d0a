//! One client's stream of messages over TCP (RFC 7766): bytes in, queries out; replies in, bytes out.
//!
//! Rules: no I/O, no clock. Each message has its length before it in two bytes. What waits here, in
//! and out, is bounded: nothing more is taken while a client leaves its replies unread, and at most
//! one message is kept in part. What carries the bytes, a socket or TLS above one, is the caller's.

/// Queries of one connection answered before others have their turn.
pub const TURN: usize = 64;
/// Bytes of replies after which a turn ends.
const TURN_BYTES: usize = 32 << 10;
/// Queries of one connection that Python may have to answer at a time: more than the forwarder takes
/// of one client, so that past its limit each is told so at once.
const MAX_WAITING: usize = 128;
/// Messages of one turn that ask nothing, empty ones and what is no query, past which the next turn is put off:
/// no reply waits to be read, so nothing else would slow who sends them, and it would take all that a core has.
const MAX_IDLE: usize = 64;
/// Bytes of replies that may wait for one client: some that came late, of the longest kind.
pub const MAX_UNSENT: usize = 512 << 10;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The reply was appended.
    Replied,
    /// There will be one, through `Connection::reply`.
    Later,
    /// It is no query: nothing will be said, and it is no sign of life.
    Nothing,
    /// Nobody can take it now. It is asked again.
    Busy,
}

/// What a connection needs to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Bytes of the client's.
    Bytes,
    /// Another turn: whole messages are here.
    Turn,
    /// Another turn, a little later.
    Pause,
    /// That the client reads what is unsent.
    Room,
    /// Replies that others owe it.
    Replies,
    /// To be closed: all that was asked is answered and sent.
    Close,
}

#[derive(Default)]
pub struct Connection {
    /// Came and not taken: a part of a message, or whole ones that wait for their turn.
    unread: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    waiting: usize,
    whole: bool,
    busy: bool,
    ended: bool,
    asked: bool,
}

impl Connection {
    pub fn need(&self) -> Need {
        match self {
            _ if !self.unsent().is_empty() => Need::Room,
            _ if self.waiting >= MAX_WAITING => Need::Replies,
            _ if self.busy => Need::Pause,
            _ if self.whole => Need::Turn,
            _ if !self.ended => Need::Bytes,
            _ if self.waiting > 0 => Need::Replies,
            _ => Need::Close,
        }
    }

    /// Whether there was a query, ever.
    pub fn has_asked(&self) -> bool {
        self.asked
    }

    /// Queries whose replies others owe.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes that wait here, in and out.
    pub fn held(&self) -> usize {
        self.unread.len() + self.unsent().len()
    }

    /// A turn: takes what came, and has queries answered by `ask`, which appends the reply. Returns
    /// whether there was a query. To be called with bytes where it needs some, else with none.
    pub fn receive(&mut self, came: &[u8], ask: impl FnMut(&[u8], &mut Vec<u8>) -> Fate) -> bool {
        debug_assert!(came.is_empty() || self.need() == Need::Bytes);
        if matches!(self.need(), Need::Room | Need::Replies) {
            return false;
        }
        if self.unread.is_empty() {
            let (taken, asked) = self.answer(came, ask);
            self.unread.extend_from_slice(&came[taken..]);
            return asked;
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(came);
        let (taken, asked) = self.answer(&unread, ask);
        match unread.len() - taken {
            0 => (),
            _ if taken == 0 => self.unread = unread,
            _ => self.unread = unread[taken..].to_vec(),
        }
        asked
    }

    /// How much of `stream` was taken, and whether there was a query in it.
    fn answer(&mut self, stream: &[u8], mut ask: impl FnMut(&[u8], &mut Vec<u8>) -> Fate) -> (usize, bool) {
        let (mut at, mut asked, mut left, mut idle) = (0, false, TURN, 0);
        (self.whole, self.busy) = (false, false);
        while let Some(head) = stream.get(at..at + 2) {
            let length = u16::from_be_bytes([head[0], head[1]]) as usize;
            if length == 0 {
                at += 2;
                idle += 1;
                continue;
            }
            let Some(message) = stream.get(at + 2..at + 2 + length) else { break };
            if left == 0 || self.out.len() >= TURN_BYTES || self.waiting >= MAX_WAITING {
                self.whole = true;
                break;
            }
            let start = self.out.len();
            self.out.extend_from_slice(&[0, 0]);
            let fate = ask(message, &mut self.out);
            match fate {
                Fate::Replied => self.frame(start),
                _ => self.out.truncate(start),
            }
            if fate == Fate::Busy {
                (self.whole, self.busy) = (true, true);
                break;
            }
            self.waiting += usize::from(fate == Fate::Later);
            asked |= fate != Fate::Nothing;
            idle += usize::from(fate == Fate::Nothing);
            at += 2 + length;
            left -= 1;
        }
        self.busy |= idle >= MAX_IDLE;
        self.asked |= asked;
        (at, asked)
    }

    /// Puts the length before what was appended behind it.
    fn frame(&mut self, start: usize) {
        let length = (self.out.len() - start - 2) as u16;
        self.out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// One of the replies that it waits for.
    pub fn reply(&mut self, message: &[u8]) {
        self.waiting = self.waiting.saturating_sub(1);
        if message.len() <= usize::from(u16::MAX) {
            let start = self.out.len();
            self.out.extend_from_slice(&[0, 0]);
            self.out.extend_from_slice(message);
            self.frame(start);
        }
    }

    /// The client sends no more, or is not listened to any more: what is here whole is answered. It
    /// may still read (RFC 7766, section 6.2.4).
    pub fn finish(&mut self) {
        self.ended = true;
    }

    pub fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// The first `count` bytes of what was unsent are on their way.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.out.len());
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// Takes room to write replies into, which all connections of a thread share.
    pub fn borrow(&mut self, room: &mut Vec<u8>) {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, room);
            self.out.clear();
        }
    }

    /// Gives the room back; what is unsent gets room of its own, of its size.
    pub fn give_back(&mut self, room: &mut Vec<u8>) {
        let lent = room.capacity() == 0;
        let rest = match self.unsent() {
            [] => Vec::new(), // an idle connection keeps no memory
            _ if !lent && self.sent == 0 => return,
            unsent => unsent.to_vec(),
        };
        let used = std::mem::replace(&mut self.out, rest);
        self.sent = 0;
        if lent {
            *room = used;
            room.clear();
        }
    }
}
