//! One reply that an upstream gave, ready to be given again: the Rust twin of `Stored` in
//! `zkdns/forward/stored.py`.
//!
//! Rules: no I/O; the clock is an argument; never written once it is kept, but for how often it was
//! asked for, and that it is given no more. A body stands behind any spelling of its question: pointers aim at the question or
//! inside the body, and a question's length is its key's.

use crate::entry::TooLong;
use crate::index::Keyed;
use crate::query::DO;
use crate::wire::{TC, UDP_LIMIT, UDP_PLAIN, push_header, push_opt};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

/// How long an expired answer is kept (RFC 8767, section 5, suggests one to three days).
pub const KEEP: f64 = 86_400.0;
/// RFC 8767, section 4.
const STALE_TTL: u32 = 30;
/// Stale Answer (RFC 8914), with its text.
const STALE: &[u8] = b"\0\x0f\0\x15\0\x03no upstream answers";

/// Times an answer must have been asked for, to be fetched anew before it ends.
const OFTEN: u8 = 3;
/// As high as a frequency counts (S3-FIFO: two bits).
const FREQUENT: u8 = 3;

const AD: u8 = 0x20;
/// Bytes of an OPT record without options.
const OPT: usize = 11;
const MARK: usize = 4;

/// One reply body. All that is said of its bytes stands in one run: the key, for each record where
/// its TTL stands and where it ends, the other names that it speaks of, and the body.
#[derive(Debug)]
pub struct Stored {
    run: Box<[u8]>,
    key: u16,
    /// Where the body begins.
    body: u16,
    counts: [u16; 3],
    /// Bytes 2 and 3 of a reply, but for RD.
    flags: [u8; 2],
    /// How many bytes of errors stand before the body.
    errors: u8,
    pub stored_at: f64,
    pub expires: f64,
    pub renew_at: f64,
    /// Where the ledger has it.
    pub place: AtomicU32,
    frequency: AtomicU8,
    hits: AtomicU8,
    renewed: AtomicBool,
    forgotten: AtomicBool,
}

/// What Python says of a reply.
pub struct Given<'a> {
    pub key: &'a [u8],
    pub body: &'a [u8],
    /// For each record where its TTL stands in the body, and where it ends.
    pub records: &'a [(u16, u16)],
    pub counts: [u16; 3],
    pub flags: [u8; 2],
    /// Names beside its own that it says something of, one behind the other, in lower case.
    pub others: &'a [u8],
    /// Extended DNS Errors of an upstream that is trusted, whole options.
    pub errors: &'a [u8],
    pub stored_at: f64,
    pub expires: f64,
    pub renew_at: f64,
}

/// A query as far as a reply depends on it. `end`: where its question ends. `size`: what its EDNS
/// allows, none without EDNS.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub packet: &'a [u8],
    pub end: usize,
    pub size: Option<u16>,
    pub limit: usize,
}

impl Keyed for Stored {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.run[..self.key as usize]
    }

    #[inline]
    fn touch(&self) -> u64 {
        u64::from(self.run[0])
            ^ self.run.get(64).map_or(0, |byte| u64::from(*byte))
            ^ u64::from(self.counts[0])
    }
}

impl Stored {
    pub fn new(given: &Given) -> Result<Stored, TooLong> {
        let total: usize = given.counts.iter().map(|n| *n as usize).sum();
        let length = given.body.len();
        let mut from = 0;
        for (ttl, end) in given.records {
            let (ttl, end) = (*ttl as usize, *end as usize);
            // The TTL, and the length of rdata that may be empty.
            if ttl < from || ttl + 6 > end || end > length {
                return Err(TooLong);
            }
            from = end;
        }
        if total != given.records.len() || from != length || given.key.len() < 6 {
            return Err(TooLong);
        }
        let mut run = Vec::with_capacity(given.key.len() + MARK * total + given.others.len() + length);
        run.extend_from_slice(given.key);
        for (ttl, end) in given.records {
            run.extend_from_slice(&ttl.to_le_bytes());
            run.extend_from_slice(&end.to_le_bytes());
        }
        run.extend_from_slice(given.others);
        run.extend_from_slice(given.errors);
        let body = run.len();
        run.extend_from_slice(given.body);
        Ok(Stored {
            run: run.into(),
            key: u16::try_from(given.key.len()).map_err(|_| TooLong)?,
            body: u16::try_from(body).map_err(|_| TooLong)?,
            counts: given.counts,
            flags: given.flags,
            errors: u8::try_from(given.errors.len()).map_err(|_| TooLong)?,
            stored_at: given.stored_at,
            expires: given.expires,
            renew_at: given.renew_at,
            place: AtomicU32::new(0),
            frequency: AtomicU8::new(0),
            hits: AtomicU8::new(0),
            renewed: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
        })
    }

    /// All names that it says something of, its own first.
    pub fn spoken_of(&self) -> impl Iterator<Item = &[u8]> {
        let records: usize = self.counts.iter().map(|n| *n as usize).sum();
        let others = self.key as usize + MARK * records..self.body as usize - self.errors as usize;
        std::iter::once(&self.key()[..self.key as usize - 5]).chain(Names(&self.run[others]))
    }

    /// Bytes of memory, its place in index and ledger among them.
    pub fn weight(&self) -> usize {
        // A slot of the index, a node of the ledger, a ghost to come, and what an allocator and growing
        // tables leave unused; measured, as resident memory of a cache that is full and goes round.
        const PLACE: usize = 16 + 56 + 64 + 48;
        size_of::<Stored>() + 2 * size_of::<usize>() + self.run.len() + PLACE
    }

    #[inline]
    pub fn rcode(&self) -> u8 {
        self.flags[1] & 0x0F
    }

    /// How often it was asked for since it was last asked, and no more than `FREQUENT`.
    pub fn frequency(&self) -> u8 {
        self.frequency.load(Relaxed)
    }

    pub fn set_frequency(&self, frequency: u8) {
        self.frequency.store(frequency, Relaxed);
    }

    /// Counts that it was given while it was fresh; whether it is time to fetch it anew, so that
    /// nobody waits for what is asked often. Told once.
    #[inline]
    pub fn hit(&self, now: f64) -> bool {
        let frequency = self.frequency.load(Relaxed);
        if frequency < FREQUENT {
            self.frequency.store(frequency + 1, Relaxed);
        }
        // Both stop counting, so that what is asked most is not written to by every thread.
        let hits = self.hits.load(Relaxed);
        if hits <= OFTEN {
            self.hits.store(hits + 1, Relaxed);
        }
        now >= self.renew_at && hits >= OFTEN && !self.renewed.swap(true, Relaxed)
    }

    /// Nobody is given this any more, wherever it stands. Whether that is new.
    pub fn forget(&self) -> bool {
        !self.forgotten.swap(true, Relaxed)
    }

    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Relaxed)
    }

    /// Nobody could be told.
    pub fn tell_again(&self) {
        self.renewed.store(false, Relaxed);
    }

    #[inline]
    fn record(&self, n: usize) -> (usize, usize) {
        let mark = &self.run[self.key as usize + MARK * n..][..MARK];
        (u16::from_le_bytes([mark[0], mark[1]]).into(), u16::from_le_bytes([mark[2], mark[3]]).into())
    }

    /// Appends the reply: whole records, as many as there is room for.
    #[inline]
    pub fn reply(&self, ask: &Ask, now: f64, out: &mut Vec<u8>) {
        let limit = match ask.size {
            _ if ask.limit > UDP_LIMIT => ask.limit,
            Some(size) => (size as usize).max(UDP_PLAIN).min(ask.limit),
            None => UDP_PLAIN.min(ask.limit),
        };
        let stale = now >= self.expires;
        let (before, body) = self.run.split_at(self.body as usize);
        let mut option = if stale { STALE } else { &before[before.len() - self.errors as usize..] };
        if !stale && ask.end + OPT + option.len() + body.len() > limit {
            option = &[]; // what is said of an answer goes before any of it
        }
        let opt = if ask.size.is_some() { OPT + option.len() } else { 0 };
        let wanted = self.key()[self.key as usize - 1] & DO | ask.packet[3] & AD;
        let low = if wanted == 0 { self.flags[1] & !AD } else { self.flags[1] }; // RFC 6840, section 5.8
        let room = limit.saturating_sub(ask.end + opt);
        let mut counts = self.counts;
        let mut records = counts.iter().map(|n| *n as usize).sum();
        let mut high = self.flags[0];
        let mut end = body.len();
        if end > room {
            (counts, records, end) = self.fit(room);
            if counts[..2] != self.counts[..2] {
                high |= TC;
            }
        }
        counts[2] += u16::from(ask.size.is_some());
        push_header(out, ask.packet, [high, low], counts);
        out.extend_from_slice(&ask.packet[12..ask.end]);
        let from = out.len();
        out.extend_from_slice(&body[..end]);
        let age = (now - self.stored_at) as u32;
        if stale || age > 0 {
            let spelled = &mut out[from..];
            for n in 0..records {
                let ttl: &mut [u8] = &mut spelled[self.record(n).0..][..4];
                let left = match stale {
                    true => STALE_TTL,
                    false => u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]).saturating_sub(age),
                };
                ttl.copy_from_slice(&left.to_be_bytes());
            }
        }
        if ask.size.is_some() {
            push_opt(out, self.key()[self.key as usize - 1] & DO != 0, [option, &[], &[]]);
        }
    }

    /// The counts, the records and the bytes that `room`, which is too small for all, holds. Additional records go first, all of
    /// them: of a cut RRset among them nobody could tell that it is one (RFC 2181, section 9).
    #[cold]
    fn fit(&self, room: usize) -> ([u16; 3], usize, usize) {
        let total = self.counts.iter().map(|n| *n as usize).sum::<usize>();
        let wanted = self.counts[0] as usize + self.counts[1] as usize;
        let kept = (0..total).take_while(|n| self.record(*n).1 <= room).count().min(wanted);
        let mut left = kept;
        let counts = self.counts.map(|n| {
            let n = left.min(n as usize);
            left -= n;
            n as u16
        });
        (counts, kept, if kept > 0 { self.record(kept - 1).1 } else { 0 })
    }
}

/// The names that stand in a run, one behind the other.
struct Names<'a>(&'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut end = 0;
        loop {
            let length = *self.0.get(end)? as usize;
            end += 1 + length;
            if length == 0 {
                let (name, rest) = self.0.split_at(end);
                self.0 = rest;
                return Some(name);
            }
        }
    }
}
