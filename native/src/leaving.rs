//! How a thread that answers over TCP comes to its end, so that no query is lost: new clients are left to
//! others, those that had begun are taken and answered, and what is answered is sent.
//!
//! Rules: each phase of `streams` is done once, and told.

use crate::asker::Round;
use crate::socket::{Happened, forget_unsent, refuse_new};
use crate::streams::Phase;

use super::{MILLISECOND, Server};

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;

/// Microseconds that a handshake which had begun may take to end.
const SETTLE: u64 = 20 * MILLISECOND;
/// What a new connection has for its first query when we are about to end, and a client to take its
/// last replies.
const GRACE: u64 = 500 * MILLISECOND;

impl Server<'_> {
    /// Does what the phase asks of this thread, and says so when it is done.
    pub(super) fn follow(&mut self, round: &mut Round) {
        let phase = self.streams.phase();
        if phase != self.phase {
            (self.phase, self.since, self.told) = (phase, self.now, false);
            match phase {
                Phase::Serving => (),
                Phase::Leaving => self.listeners.iter().for_each(|listener| drop(refuse_new(listener))),
                Phase::Finishing | Phase::Closing => self.finish(round),
            }
        }
        if phase == Phase::Leaving && !self.listeners.is_empty() && self.now >= self.since + SETTLE {
            self.close_listeners();
        }
        let done = match phase {
            Phase::Serving => true,
            Phase::Leaving => self.listeners.is_empty() && (self.have_all_asked() || self.is_late()),
            Phase::Finishing | Phase::Closing => self.ready.is_empty() || self.is_late(),
        };
        if phase > Phase::Serving && done && !self.told {
            self.told = true;
            self.streams.tell_done();
        }
    }

    /// Those that the kernel has accepted for us are ours still.
    fn close_listeners(&mut self) {
        for k in 0..self.listeners.len() {
            while let Ok((stream, address)) = self.listeners[k].accept() {
                self.welcome(stream, address);
            }
        }
        self.listeners.clear();
    }

    fn have_all_asked(&self) -> bool {
        self.peers.iter().flatten().all(|peer| peer.connection.has_asked())
    }

    fn is_late(&self) -> bool {
        self.now >= self.since + GRACE
    }

    /// Reads what is here, and has no connection take more.
    fn finish(&mut self, round: &mut Round) {
        self.close_listeners();
        for place in 0..self.peers.len() {
            let Some(token) = self.peers[place].as_ref().map(|peer| peer.token) else { continue };
            self.turn(round, token, Happened { readable: true, ..Happened::default() });
            if let Some(mut peer) = self.find(token) {
                peer.connection.finish();
                self.put_back(peer);
            }
        }
    }

    /// Whether nothing is left to send, or it took too long.
    pub(super) fn is_over(&mut self) -> bool {
        if self.open > 0 && !self.is_late() {
            return false;
        }
        for place in 0..self.peers.len() {
            if let Some(peer) = self.peers[place].take() {
                forget_unsent(&peer.stream);
                self.end(*peer, None);
            }
        }
        true
    }
}
