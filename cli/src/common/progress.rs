//! Progress bars on a terminal.

use super::interrupt::interrupted;
use super::log;
use indicatif::{ProgressBar, ProgressStyle};
use softpatch::detector::{Progress, Stage};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress on a terminal, nothing elsewhere; notices as lines; how long each stage took.
pub struct Bars {
    quiet: bool,
    /// Whether ctrl-c ends the job.
    hears: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    current: Option<(Stage, Instant, ProgressBar)>,
    finished: Vec<(Stage, Duration)>,
}

impl Bars {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, hears: true, state: RefCell::default() }
    }

    /// Nothing but errors, for a job that is short and finished whatever happens.
    pub fn of_short_job() -> Self {
        Self { hears: false, ..Self::new(true) }
    }

    /// Whether nothing but errors is said.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Ends the last stage.
    pub fn finish(&self) {
        self.state.borrow_mut().end();
    }

    /// Seconds a stage, in order.
    pub fn times(&self) -> Vec<(Stage, Duration)> {
        self.finish();
        self.state.borrow().finished.clone()
    }

    /// Runs `f`, which prints, without a bar in its way.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        let bar = self.state.borrow().current.as_ref().map(|(_, _, bar)| bar.clone());
        match bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }
}

impl State {
    fn end(&mut self) {
        if let Some((stage, started, bar)) = self.current.take() {
            bar.finish_and_clear();
            self.finished.push((stage, started.elapsed()));
        }
    }
}

impl Progress for Bars {
    fn update(&self, stage: Stage, done: u64, total: u64) {
        let mut state = self.state.borrow_mut();
        if state.current.as_ref().is_none_or(|(current, _, _)| *current != stage) {
            state.end();
            tracing::info!("{} ({total})", stage.name());
            state.current = Some((stage, Instant::now(), bar(self.quiet, stage.name(), total)));
        }
        if let Some((_, _, bar)) = &state.current {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn notice(&self, message: &str) {
        if !self.quiet {
            self.suspend(|| log::note(message));
        }
    }

    fn cancelled(&self) -> bool {
        self.hears && interrupted()
    }
}

/// A progress bar with the time left, seen on a terminal only.
pub fn bar(quiet: bool, name: &'static str, total: u64) -> ProgressBar {
    if quiet || log::is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{prefix:>10} [{bar:32}] {human_pos}/{human_len}  {elapsed} spent, {eta} left",
    );
    let bar = ProgressBar::new(total).with_prefix(name);
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
