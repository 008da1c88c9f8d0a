//! The native engine of zkdns: answers the plain case from a table that Python publishes.
//!
//! Reading order: `table`, `entry`, `respond`, `worker`; then `query`, `index`, `handover`, `sampler`, `socket`;
//! `python` is the face, and `convert` reads for it. It knows no policy, no zone rule and no registry:
//! all that is in the table.

#[cfg(feature = "python")]
mod convert;
pub mod counters;
pub mod entry;
pub mod handover;
pub mod index;
pub mod prefix;
#[cfg(feature = "python")]
mod python;
pub mod query;
pub mod respond;
pub mod sampler;
pub mod socket;
pub mod table;
pub mod worker;
