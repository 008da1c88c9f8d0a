//! The wall round what an answering thread does beside the answer to a packet: a panic there costs what was under
//! way, and the thread goes on. One that ended would leave its part of the port to nobody, and nobody would know.

use crate::counters::Counters;
use crate::handover::Fault;
use crate::worker::Shared;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `work` returns; after a panic, which is counted and told, nothing. What it worked on is then the caller's to
/// make anew or to let go.
#[inline]
pub fn within<T>(shared: &Shared, counters: &Counters, work: impl FnOnce() -> T) -> Option<T> {
    let tell = |panic: Box<dyn Any + Send>| {
        counters.panics.add(1);
        shared.handover.report(Fault::Elsewhere(describe(panic.as_ref())));
    };
    catch_unwind(AssertUnwindSafe(work)).map_err(tell).ok()
}

/// What a panic said.
pub fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
