//! The threads that answer over TCP: each has its own listeners and connections, and waits for all at once.
//!
//! Rules: nobody waits for somebody else. A connection has a turn of so many queries and bytes, then the
//! next has one, and who asks now comes before those that had theirs and go on; what a client sends too slowly or
//! leaves unread waits in its own bounded memory. A round is answered from one table. A panic costs its own query,
//! or elsewhere its own connection.

#[path = "leaving.rs"]
mod leaving;
#[cfg(test)]
#[path = "step_tests.rs"]
mod steps;
#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;

use crate::asker::{Asker, Round};
use crate::connection::{Connection, MAX_UNSENT, Need};
use crate::counters::Counters;
use crate::handover::{Fault, Way};
use crate::peer::Peer;
use crate::places::{Leaver, Token, Why};
use crate::slices::take_short_slices;
use crate::socket::{Happened, Interest, Poller, are_scarce, forget_unsent};
use crate::streams::{Letter, Phase, Streams};
use crate::wall;
use crate::worker::Shared;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Bytes read of one connection at a turn.
const CHUNK: usize = 16 << 10;
/// Connections taken of one listener before others have their turn.
const ACCEPTED: usize = 16;
/// Those that have a turn more in one round, and of the paused in one `PAUSE`: between two it is looked who asks now.
const TURNS: usize = 16;
// Microseconds.
const MILLISECOND: u64 = 1000;
/// How often idle connections are looked for.
const SWEEP: u64 = 1000 * MILLISECOND;
/// A reply that Python owes keeps a connection for so long past its query.
const OWED: u64 = 30_000 * MILLISECOND;
/// When what could not be taken is tried again, and who sends what asks nothing is read from again.
const PAUSE: u64 = 5 * MILLISECOND;
/// How long no connection is taken after the machine had no descriptor for one.
const LACK: u64 = 100 * MILLISECOND;
/// How long connections make room for each other after descriptors were scarce: those that did leave numbers
/// behind that the next ones take.
const SHORT: u64 = 1000 * MILLISECOND;
/// Between two words to Python of it, which tells people more seldom: at the edge of the limit it comes and goes
/// all the time.
const TELL_LACK: u64 = 1000 * MILLISECOND;

const READ: Interest = Interest { read: true, write: false };
const WRITE: Interest = Interest { read: false, write: true };
const NEITHER: Interest = Interest { read: false, write: false };

/// Tokens from here up are not connections': the bell, then the listeners.
const BELL: u64 = u64::MAX - 1024;
const LISTENERS: u64 = BELL + 1;

pub struct Server<'a> {
    shared: &'a Shared,
    streams: &'a Streams,
    counters: &'a Counters,
    number: usize,
    poller: Poller,
    listeners: Vec<TcpListener>,
    /// By the number of their place.
    peers: Box<[Option<Box<Peer>>]>,
    open: usize,
    /// Those that have more to do than one turn, and those whose next is put off.
    ready: VecDeque<Token>,
    paused: VecDeque<Token>,
    /// When the first of those have it.
    resume: u64,
    asker: Asker<'a>,
    chunk: Box<[u8]>,
    room: Vec<u8>,
    now: u64,
    swept: u64,
    lacking: Option<u64>,
    told_lack: Option<u64>,
    short_until: u64,
    phase: Phase,
    since: u64,
    told: bool,
}

/// What a thread waits for: its bell and its listeners.
pub struct Watch {
    poller: Poller,
    listeners: Vec<TcpListener>,
}

impl Watch {
    pub fn new(streams: &Streams, number: usize, listeners: Vec<TcpListener>) -> io::Result<Watch> {
        let poller = Poller::new()?;
        poller.add(streams.bell(number), BELL, READ)?;
        for (k, listener) in listeners.iter().enumerate() {
            poller.add(listener.as_raw_fd(), LISTENERS + k as u64, READ)?;
        }
        Ok(Watch { poller, listeners })
    }
}

/// Serves until all is closed.
pub fn serve(shared: &Shared, streams: &Streams, counters: &Counters, number: usize, watch: Watch) {
    take_short_slices();
    Server::new(shared, streams, counters, number, watch).run();
}

impl<'a> Server<'a> {
    fn new(
        shared: &'a Shared,
        streams: &'a Streams,
        counters: &'a Counters,
        number: usize,
        watch: Watch,
    ) -> Server<'a> {
        Server {
            shared,
            streams,
            counters,
            number,
            poller: watch.poller,
            listeners: watch.listeners,
            peers: (0..streams.places.count()).map(|_| None).collect(),
            open: 0,
            ready: VecDeque::new(),
            paused: VecDeque::new(),
            resume: 0,
            asker: Asker::new(shared, counters, number),
            chunk: vec![0; CHUNK].into(),
            room: Vec::with_capacity(CHUNK),
            now: 0,
            swept: 0,
            lacking: None,
            told_lack: None,
            short_until: 0,
            phase: Phase::Serving,
            since: 0,
            told: false,
        }
    }

    fn run(&mut self) {
        while !(self.phase == Phase::Closing && self.is_over()) {
            let happened = match self.poller.wait(self.patience()) {
                Ok(happened) => happened,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(_) => return, // the poller itself is broken: there is nothing to wait with
            };
            self.within_walls(happened);
        }
    }

    /// A panic outside the turn of a connection costs what is left of this round; who was ready asks anew or idles.
    fn within_walls(&mut self, happened: usize) {
        let (shared, counters) = (self.shared, self.counters);
        wall::within(shared, counters, || self.round(happened));
    }

    /// Milliseconds until something is due that no descriptor tells of; -1: never.
    fn patience(&self) -> i32 {
        let wait = match (self.lacking, self.open) {
            _ if !self.ready.is_empty() => 0,
            _ if !self.paused.is_empty() => self.resume.saturating_sub(self.streams.now()),
            _ if self.phase > Phase::Serving => PAUSE,
            (Some(_), _) => LACK,
            (None, 0) => return -1,
            (None, _) => self.sweep_every() + MILLISECOND,
        };
        wait.div_ceil(MILLISECOND) as i32
    }

    fn sweep_every(&self) -> u64 {
        SWEEP.min(self.streams.idle.as_micros() as u64 / 2)
    }

    fn round(&mut self, happened: usize) {
        self.now = self.streams.now();
        let shared = self.shared;
        let table = shared.table.load();
        let mut round = self.asker.begin(&table);
        let had: Vec<Token> = self.ready.drain(..self.ready.len().min(TURNS)).collect();
        let resumed = if self.now < self.resume { 0 } else { self.paused.len().min(TURNS) };
        let paused: Vec<Token> = self.paused.drain(..resumed).collect();
        if resumed > 0 {
            self.resume = self.now + PAUSE;
        }
        for i in 0..happened {
            let event = self.poller.happened(i);
            match event.token {
                BELL => self.read_letters(&mut round),
                token if token >= LISTENERS => self.accept((token - LISTENERS) as usize),
                token => self.turn(&mut round, Token::from_bits(token), event),
            }
        }
        for token in had.into_iter().chain(paused) {
            if let Some(peer) = self.peek(token) {
                peer.queued = false;
                self.turn(&mut round, token, Happened::default());
            }
        }
        self.follow(&mut round);
        self.asker.end(round);
        drop(table);
        if self.now >= self.swept + self.sweep_every() {
            self.sweep();
        }
        if self.lacking.is_some_and(|since| self.now >= since + LACK) {
            self.lacking = None;
            self.listen_for(READ);
        }
    }

    // --- connections -------------------------------------------------------------------------------

    fn accept(&mut self, k: usize) {
        for _ in 0..ACCEPTED {
            let Some(listener) = self.listeners.get(k) else { return };
            match listener.accept() {
                Ok((stream, address)) => self.welcome(stream, address),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => match error.raw_os_error() {
                    // The client has gone already; others may wait behind it.
                    Some(libc::ECONNABORTED | libc::EINTR) => (),
                    _ => return self.lack(&error),
                },
            }
        }
    }

    /// No descriptor or no memory for one more: to try again at once would only spin.
    #[cold]
    fn lack(&mut self, error: &io::Error) {
        let text = error.to_string();
        self.tell_lack(text.split(" (os error").next().unwrap_or(&text).to_owned());
        self.lacking = Some(self.now);
        self.listen_for(NEITHER);
    }

    fn tell_lack(&mut self, what: String) {
        if self.told_lack.is_none_or(|at| self.now >= at + TELL_LACK) {
            self.told_lack = Some(self.now);
            self.shared.handover.report(Fault::Lack(what));
        }
    }

    fn listen_for(&self, interest: Interest) {
        for (k, listener) in self.listeners.iter().enumerate() {
            let _ = self.poller.change(listener.as_raw_fd(), LISTENERS + k as u64, interest);
        }
    }

    fn welcome(&mut self, stream: TcpStream, address: SocketAddr) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if are_scarce(stream.as_raw_fd()) {
            self.tell_lack("too many open files".to_owned());
            self.short_until = self.now + SHORT;
        }
        let short = self.now < self.short_until;
        let (token, leaver) = self.streams.places.take_where(short, address.ip(), self.number, self.now);
        if let Some(leaver) = leaver {
            self.dismiss(leaver);
        }
        let raw = stream.as_raw_fd();
        let peer = Peer {
            token,
            stream,
            address,
            connection: Connection::default(),
            interest: READ,
            active: self.now,
            held: 0,
            queued: false,
            parting: false,
        };
        if self.poller.add(raw, token.to_bits(), READ).is_err() {
            self.streams.places.release(token, 0);
            return;
        }
        self.open += 1;
        if let Some(older) = self.peers[token.place as usize].replace(Box::new(peer)) {
            self.end(*older, None); // another thread had its place meanwhile; the letter is under way
        }
    }

    fn dismiss(&mut self, leaver: Leaver) {
        match leaver.thread == self.number {
            true => self.let_go(leaver.token),
            false => self.streams.end(leaver),
        }
    }

    /// The place that it had is another's.
    fn let_go(&mut self, token: Token) {
        if let Some(peer) = self.find(token) {
            self.end(*peer, None);
        }
    }

    fn peek(&mut self, token: Token) -> Option<&mut Peer> {
        self.peers.get_mut(token.place as usize)?.as_deref_mut().filter(|peer| peer.token == token)
    }

    /// Takes it out; who finds it puts it back, or lets it go by `end`.
    fn find(&mut self, token: Token) -> Option<Box<Peer>> {
        self.peers.get_mut(token.place as usize)?.take_if(|peer| peer.token == token)
    }

    /// Closes it. `why`: what is unsent is lost on purpose, and that is counted. Who had lost its place
    /// counts as such, however it ends.
    fn end(&mut self, peer: Peer, why: Option<Why>) {
        if let Some(why) = self.streams.places.release(peer.token, peer.held).or(why) {
            self.streams.count_closed(why);
            forget_unsent(&peer.stream);
        }
        self.open -= 1;
    }

    fn turn(&mut self, round: &mut Round, token: Token, event: Happened) {
        let Some(mut peer) = self.find(token) else { return };
        if event.over {
            return self.end(*peer, None); // the client has gone
        }
        let (shared, counters) = (self.shared, self.counters);
        match wall::within(shared, counters, || self.serve(round, &mut peer, event)) {
            Some(Ok(())) => self.put_back(peer),
            Some(Err(_)) | None => self.end(*peer, None),
        }
    }

    fn serve(&mut self, round: &mut Round, peer: &mut Peer, event: Happened) -> io::Result<()> {
        if event.writable {
            peer.send()?;
        }
        if peer.parting {
            return peer.part(&mut self.chunk, event);
        }
        match peer.connection.need() {
            Need::Bytes if event.readable => match peer.stream.read(&mut self.chunk) {
                Ok(0) => peer.connection.finish(),
                Ok(length) => self.answer(round, peer, length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            },
            Need::Turn | Need::Pause => self.answer(round, peer, 0),
            _ => (),
        }
        peer.send()?;
        peer.connection.give_back(&mut self.room);
        Ok(())
    }

    fn answer(&mut self, round: &mut Round, peer: &mut Peer, length: usize) {
        peer.connection.borrow(&mut self.room);
        let offered = round.offers(peer.address.ip());
        let way = Way::Stream { thread: self.number, token: peer.token, peer: peer.address };
        let (asker, came) = (&mut self.asker, &self.chunk[..length]);
        let asked = peer.connection.receive(came, |query, out| asker.ask(round, query, way, offered, out));
        if asked {
            peer.active = self.now;
            self.streams.places.touch(peer.token, self.now);
        }
    }

    /// Where it goes on from here.
    fn put_back(&mut self, mut peer: Box<Peer>) {
        let need = peer.connection.need();
        if peer.connection.unsent().len() > MAX_UNSENT {
            return self.end(*peer, Some(Why::Backlog));
        }
        let interest = match need {
            Need::Close if self.phase < Phase::Finishing => return self.end(*peer, None),
            Need::Close => {
                peer.parting = true;
                let _ = peer.stream.shutdown(Shutdown::Write);
                READ
            }
            Need::Bytes => READ,
            Need::Room => WRITE,
            Need::Turn | Need::Pause | Need::Replies => NEITHER,
        };
        if interest != peer.interest {
            let told = self.poller.change(peer.stream.as_raw_fd(), peer.token.to_bits(), interest);
            if told.is_err() {
                return self.end(*peer, None);
            }
            peer.interest = interest;
        }
        match need {
            _ if peer.queued => (),
            Need::Turn => self.ready.push_back(peer.token),
            Need::Pause => {
                if self.paused.is_empty() {
                    self.resume = self.now + PAUSE;
                }
                self.paused.push_back(peer.token);
            }
            _ => (),
        }
        peer.queued |= matches!(need, Need::Turn | Need::Pause);
        let (before, held) = (peer.held, peer.connection.held());
        peer.held = held;
        let token = peer.token;
        self.peers[token.place as usize] = Some(peer);
        let weigh = || self.streams.places.weigh(token, before, held);
        if let Some(leaver) = (held != before).then(weigh).flatten() {
            self.dismiss(leaver);
        }
    }

    fn read_letters(&mut self, round: &mut Round) {
        let mut replied = Vec::new();
        for letter in self.streams.take_letters(self.number) {
            match letter {
                Letter::End(token) => self.let_go(token),
                Letter::Reply(token, reply) => {
                    if let Some(peer) = self.peek(token) {
                        peer.connection.reply(&reply);
                        replied.push(token);
                    }
                }
            }
        }
        for token in replied {
            self.turn(round, token, Happened::default());
        }
    }

    fn sweep(&mut self) {
        self.swept = self.now;
        let idle = self.streams.idle.as_micros() as u64;
        for place in 0..self.peers.len() {
            let over = |peer: &mut Box<Peer>| {
                let kept = if peer.connection.waiting() > 0 { OWED } else { 0 };
                self.now >= peer.active + idle + kept
            };
            if let Some(peer) = self.peers[place].take_if(over) {
                self.end(*peer, Some(Why::Idle));
            }
        }
    }
}
