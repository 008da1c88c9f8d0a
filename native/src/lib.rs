//! The native engine of zkdns: answers the plain case from a table that Python publishes.
//!
//! Reading order: `table`, `entry`, `rotation`, `respond`, `worker`; then `query`, `wire`, `subnet`,
//! `clients`, `index`, `prefix`, `batch`, `handover`, `line`, `sampler`, `counters`, `socket`, `peer`,
//! `slices`; for TCP `connection`, `tcp`, `asker`, `streams`, `leaving`, `threads`, `places`; what upstreams
//! answered is `stored`, `cache` and `eviction`; who was told is `told` and `numbers`; `running` starts and
//! ends it all; `python` and `kept` are the face, `convert` and `prepared` read for it. It knows no policy,
//! no zone rule, no registry and no upstream: all that is in the tables.

pub mod asker;
pub mod batch;
pub mod cache;
pub mod clients;
pub mod connection;
#[cfg(feature = "python")]
mod convert;
pub mod counters;
pub mod entry;
pub mod eviction;
pub mod handover;
pub mod index;
#[cfg(feature = "python")]
mod kept;
pub mod line;
pub mod numbers;
mod peer;
pub mod places;
pub mod prefix;
#[cfg(feature = "python")]
mod prepared;
#[cfg(feature = "python")]
mod python;
pub mod query;
pub mod respond;
pub mod rotation;
pub mod running;
pub mod sampler;
pub mod slices;
pub mod socket;
pub mod stored;
pub mod streams;
pub mod subnet;
pub mod table;
pub mod tcp;
pub mod threads;
pub mod told;
pub mod wall;
pub mod wire;
pub mod worker;
