//! Threads of Mesa's software driver.

const VARIABLE: &str = "LP_NUM_THREADS";

/// Tells llvmpipe how many threads to take, unless the environment does.
///
/// It cuts a dispatch into a piece a thread. Left alone it takes a thread for every core of the machine, also where a
/// container may use few of them. And where the operating system lets both of two threads wait for one core, the other
/// core idles through dispatch after dispatch: one image then takes 45 ms instead of 30 (docs/measurements.md). Twice
/// as many threads as cores keep both busy. With more than four cores it is not known whether waking so many pays.
///
/// To be called before there is another thread, as the environment is the process's.
pub fn for_software_driver() {
    let threads = match std::thread::available_parallelism().map_or(1, usize::from) {
        // It then computes in the thread that submits, which is best. It sees for itself that the process may use one
        // core, but not that it may use one core's time.
        1 => 0,
        cores @ 2..=4 => 2 * cores,
        cores => cores,
    };
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: `main` calls this first, when there is no other thread that could read the environment.
        unsafe { std::env::set_var(VARIABLE, threads.to_string()) };
    }
}
