//! How a thread that answers is scheduled beside those that compute.
//!
//! Rules: with `socket` and `batch` the only file with `unsafe` in it. What can't be had is done without.
#![allow(unsafe_code)]

/// What the kernel is told of a thread's scheduling (linux/sched/types.h, its first version).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Nanoseconds; the kernel knows none that is shorter.
const SHORTEST: u64 = 100_000;

fn scheduling() -> Option<Scheduling> {
    let mut now = Scheduling::default();
    let size = size_of::<Scheduling>() as u32;
    // SAFETY: the kernel writes at most `size` bytes, which `now` has; 0 is this thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, size, 0) };
    (got == 0).then_some(now)
}

/// Asks for short time slices for this thread. It needs its core at any moment, for some microseconds; one
/// that asks for a shorter slice than who has the core gets it at once, and not when that one's slice of
/// some milliseconds ends (Linux commits 857b158dc5e8 and 85e511df3cec, in 6.12; of no effect before). Its
/// part of the core stays what it was. Where an operator chose another policy, that holds.
pub fn take_short_slices() {
    let Some(mut wanted) = scheduling() else { return };
    if wanted.policy == libc::SCHED_OTHER as u32 {
        wanted.runtime = SHORTEST;
        // SAFETY: the kernel reads `size` bytes, which it set itself; 0 is this thread.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_takes_short_slices_is_scheduled_as_before_in_all_else() {
        let threads = std::thread::spawn(|| {
            let before = scheduling();
            take_short_slices();
            (before, scheduling())
        });
        let (Some(before), Some(after)) = threads.join().unwrap() else { return };
        assert_eq!(Scheduling { runtime: before.runtime, ..after }, before);
        // Before Linux 6.12 no slice is told of.
        assert!(before.runtime == 0 || after.runtime == SHORTEST, "{after:?}");
    }
}
