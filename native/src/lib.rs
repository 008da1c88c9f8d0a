//! The native engine of zkdns: answers the plain case from a table that Python publishes.
//!
//! Reading order: `table`, `respond`, `worker`; then `query`, `index`, `handover`, `socket`, and
//! `python`, the face. It knows no policy, no zone rule and no registry: all that is in the table.

pub mod counters;
pub mod handover;
pub mod index;
#[cfg(feature = "python")]
mod python;
pub mod query;
pub mod respond;
pub mod socket;
pub mod table;
pub mod worker;
