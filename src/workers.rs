//! Short work on several threads of its own, for callers that hold a lock: a thread of a pool that waits takes
//! up other work meanwhile, which may want the same lock.

use std::sync::{Mutex, PoisonError};

/// Threads at most; what they do is bound by memory before long.
const MOST: usize = 8;
/// Microseconds of work that a thread is worth: to start one takes a tenth of it.
const WORTH: u64 = 200;

/// Does `one` to all `tasks`, which take this thread about so many microseconds together: here, and on other
/// threads where that is sooner.
///
/// # Panics
/// Where `one` does.
pub(crate) fn share<T: Send>(tasks: Vec<T>, microseconds: u64, one: impl Fn(T) + Sync) {
    let threads = MOST.min(rayon::current_num_threads()).min(tasks.len());
    let threads = threads.min((microseconds / WORTH) as usize);
    let tasks = Mutex::new(tasks.into_iter());
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(task) = next() {
            one(task);
        }
    };
    std::thread::scope(|scope| {
        // Where there is no other thread to be had, this one does it.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        work();
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_is_done_once() {
        for (count, microseconds) in [(0, 0), (1, 1_000_000), (100, 0), (1000, 1_000_000)] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            let mut results = vec![0; count];
            share(results.iter_mut().enumerate().collect(), microseconds, |(i, result)| {
                done[i].fetch_add(1, Ordering::Relaxed);
                *result = i + 1;
            });
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
            assert!(results.iter().copied().eq(1..=count));
        }
    }

    #[test]
    fn a_panic_is_the_callers() {
        let panicked = std::panic::catch_unwind(|| {
            share((0..64).collect(), 1_000_000, |i: i32| {
                // Each thread has some.
                std::thread::sleep(std::time::Duration::from_millis(1));
                assert!(i < 40, "on purpose");
            });
        });
        let message = *panicked.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(message, "on purpose");
    }
}
