//! What answers queries over TCP, and counts them: from the tables of a round, or by handing them over.
//!
//! Rules: no I/O but for the queue to Python. A panic costs its own query.

use crate::cache::Reading;
use crate::connection::Fate;
use crate::counters::Counters;
use crate::handover::{Fault, Handed, Way};
use crate::query::Asked;
use crate::query::Read;
use crate::respond::{Client, Desk, Outcome, answer};
use crate::sampler::Sampler;
use crate::socket::wall_clock;
use crate::table::Table;
use crate::told::Note;
use crate::wall::describe;
use crate::worker::{Shared, TIMED};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The most that a message carries (RFC 1035, section 4.2.2).
const LIMIT: usize = 65_535;

/// What a round is answered from.
pub struct Round<'t> {
    table: &'t Table,
    outside: Reading<'t>,
    started: Option<Instant>,
}

impl Round<'_> {
    /// Whether a client may have names forwarded.
    #[inline]
    pub fn offers(&self, client: IpAddr) -> bool {
        !self.table.recursion.is_empty() && self.table.recursion.get(client).is_some()
    }
}

pub struct Asker<'a> {
    shared: &'a Shared,
    counters: &'a Counters,
    desk: Desk,
    asked: Asked,
    sampler: Sampler,
    passed: Vec<Handed>,
    notes: Vec<Note>,
    replies: u64,
    rounds: u64,
    took: u64,
}

impl<'a> Asker<'a> {
    pub fn new(shared: &'a Shared, counters: &'a Counters, number: usize) -> Asker<'a> {
        Asker {
            shared,
            counters,
            desk: Desk::default(),
            asked: Asked::default(),
            sampler: Sampler::new(number as u64),
            passed: Vec::new(),
            notes: Vec::new(),
            replies: 0,
            rounds: 0,
            took: 0,
        }
    }

    pub fn begin<'t>(&mut self, table: &'t Table) -> Round<'t>
    where
        'a: 't,
    {
        let started = (self.rounds % TIMED == 0).then(Instant::now);
        self.rounds += 1;
        Round { table, outside: Reading::new(&self.shared.cache, None), started }
    }

    /// Hands over what Python has to answer, and counts what was answered.
    pub fn end(&mut self, round: Round) {
        self.shared.handover.put(&mut self.passed);
        self.counters.told.take(&mut self.notes, wall_clock);
        if let Some(started) = round.started {
            self.took = started.elapsed().as_nanos() as u64;
        }
        if self.replies > 0 {
            self.counters.took(self.took, self.replies);
            self.replies = 0;
        }
        self.counters.rounds.add(1);
    }

    /// Appends the reply to `out`, or hands the query over. `offered`: its client may have names forwarded.
    #[inline]
    pub fn ask(
        &mut self,
        round: &mut Round,
        query: &[u8],
        way: Way,
        offered: bool,
        out: &mut Vec<u8>,
    ) -> Fate {
        self.asked.read(query);
        if matches!(self.asked.read, Read::Drop) {
            self.counters.dropped.add(1);
            return Fate::Nothing;
        }
        let every = self.shared.sample.load(Ordering::Relaxed);
        if every != 0 && self.sampler.is_due(every) && self.has_room(way) {
            return self.hand_over(query, way, true);
        }
        let start = out.len();
        let client = Client { address: way.peer().ip(), limit: LIMIT, offered };
        let run = AssertUnwindSafe(|| self.answer(round, query, client, out));
        match catch_unwind(run) {
            Ok(true) => {
                self.replies += 1;
                return Fate::Replied;
            }
            Ok(false) => (),
            Err(panic) => {
                out.truncate(start);
                self.desk = Desk::default();
                self.counters.panics.add(1);
                self.shared.handover.report(Fault::Packet(query.into(), describe(panic.as_ref())));
            }
        }
        if self.has_room(way) { self.hand_over(query, way, false) } else { Fate::Busy }
    }

    /// Whether there was an answer here.
    fn answer(&mut self, round: &mut Round, query: &[u8], client: Client, out: &mut Vec<u8>) -> bool {
        let Asker { asked, desk, counters, notes, .. } = self;
        match answer(query, asked, None, client, round.table, desk, out) {
            Outcome::Reply { qtype, rcode, search_miss } => {
                counters.reply(qtype, rcode);
                if desk.told.service > 0 {
                    notes.push(Note { client: client.address, told: desk.told });
                }
                if search_miss {
                    counters.note_search_miss(client.address);
                }
                true
            }
            Outcome::Pass | Outcome::Drop => false,
            Outcome::Outside => {
                let given = if client.offered { round.outside.give(query, asked, LIMIT, out) } else { None };
                let Some((Outcome::Reply { qtype, rcode, .. }, due)) = given else { return false };
                counters.reply(qtype, rcode);
                counters.cached.add(1);
                if due {
                    self.shared.handover.ring();
                }
                true
            }
        }
    }

    fn has_room(&self, way: Way) -> bool {
        self.shared.handover.has_room_for_streams(self.passed.len(), way.peer().ip())
    }

    #[cold]
    fn hand_over(&mut self, query: &[u8], way: Way, sampled: bool) -> Fate {
        self.passed.push(Handed { packet: query.into(), way, sampled, since: Instant::now() });
        self.counters.passed.add(1);
        Fate::Later
    }
}
