//! Threads of Mesa's software driver.

const VARIABLE: &str = "LP_NUM_THREADS";

/// Gives llvmpipe two threads a core where it has two to four, unless the environment says how many.
///
/// It cuts a dispatch into a piece a thread, and takes a thread a core. Where the operating system lets two of them
/// wait for one core, the other one idles through dispatch after dispatch: one image then takes 45 ms instead of 30
/// (docs/measurements.md). With more cores it is not known whether waking twice as many threads pays.
///
/// To be called before there is another thread, as the environment is the process's.
pub fn for_software_driver() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if (2..=4).contains(&cores) && std::env::var_os(VARIABLE).is_none() {
        // SAFETY: `main` calls this first, when there is no other thread that could read the environment.
        unsafe { std::env::set_var(VARIABLE, (2 * cores).to_string()) };
    }
}
