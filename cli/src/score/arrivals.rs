//! Which files of a watched folder are there as a whole.
//!
//! A file is whole once whoever wrote it closed it, or renamed it into place: the system says so where it can
//! (inotify on a local disk). Elsewhere (network shares, macOS, Windows) it is whole once it has stayed the
//! same for [`SETTLE`]. So is a link to a file that lies elsewhere: nobody closes it
//! under this name.

use super::journal::Stamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a file must stay the same where nobody says that it was closed: the times of FAT have steps of
/// two seconds.
pub const SETTLE: Duration = Duration::from_secs(2);

/// How long a file may stay cut short, where nobody says that it was closed, before it is called damaged: a
/// copy over a network that takes a break.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is new under this name: somebody is about to write it, or linked it.
    Made,
    /// Somebody writes it.
    Written,
    /// Whoever wrote it closed it, or it got its name.
    Whole,
    /// It has another name, or none.
    Gone,
}

struct Pending {
    stamp: Stamp,
    since: Instant,
    writing: bool,
    whole: bool,
    /// Whether all that is known is that it is new.
    made: bool,
    /// Whether it looked cut short as it is now.
    tried: bool,
}

impl Pending {
    fn new(stamp: Stamp, since: Instant, tried: bool) -> Self {
        Self { stamp, since, writing: false, whole: false, made: false, tried }
    }

    /// Whether somebody writes it, or has yet to begin: of what is written the system says more.
    fn is_written(&self) -> bool {
        self.writing || (self.made && self.stamp.size == 0)
    }
}

/// A file that may be read.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub path: PathBuf,
    pub stamp: Stamp,
    /// Since when it is as it is.
    since: Instant,
    /// Whether it will not change any more as far as anybody can tell.
    pub last_chance: bool,
}

/// Files that were seen and not handed out.
pub struct Arrivals {
    pending: HashMap<PathBuf, Pending>,
    /// Whether the system says when a file is closed.
    closes: bool,
}

/// Files that are on their way under another name, by the habits of those that copy: they get their name, and
/// their turn, once they are whole.
pub fn is_on_its_way(path: &Path) -> bool {
    const SUFFIXES: [&str; 7] = [".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~"];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.starts_with('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

impl Arrivals {
    pub fn new(closes: bool) -> Self {
        Self { pending: HashMap::new(), closes }
    }

    /// Files that were seen and not handed out.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// A file is there with this content.
    pub fn seen(&mut self, path: &Path, stamp: Stamp, now: Instant) {
        match self.pending.get_mut(path) {
            Some(file) if file.stamp == stamp => {}
            Some(file) => {
                (file.stamp, file.since) = (stamp, now);
                (file.whole, file.tried) = (false, false);
            }
            None => {
                self.pending.insert(path.to_owned(), Pending::new(stamp, now, false));
            }
        }
    }

    /// What the system says of a file; `stamp` where it is there.
    pub fn heard(&mut self, path: &Path, news: News, stamp: Option<Stamp>, now: Instant) {
        let (News::Made | News::Written | News::Whole, Some(stamp)) = (news, stamp) else {
            self.pending.remove(path);
            return;
        };
        self.seen(path, stamp, now);
        if let Some(file) = self.pending.get_mut(path) {
            file.whole = news == News::Whole;
            file.writing = news == News::Written && self.closes;
            file.made = news == News::Made && self.closes;
        }
    }

    /// The system lost count: what it said of open files may be out of date.
    pub fn forget_news(&mut self) {
        for file in self.pending.values_mut() {
            (file.writing, file.made) = (false, false);
        }
    }

    /// Takes the files that are whole, sorted by path.
    pub fn ready(&mut self, now: Instant) -> Vec<Arrived> {
        let mut ready = Vec::new();
        self.pending.retain(|path, file| {
            let settled = now.saturating_duration_since(file.since);
            let wait = if file.tried { PATIENCE } else { SETTLE };
            let is_ready = file.whole || (!file.is_written() && settled >= wait);
            if is_ready {
                let last_chance = file.whole || settled >= PATIENCE;
                let (stamp, since) = (file.stamp, file.since);
                ready.push(Arrived { path: path.clone(), stamp, since, last_chance });
            }
            !is_ready
        });
        ready.sort_by(|a, b| a.path.cmp(&b.path));
        ready
    }

    /// Puts back a file that looked cut short: it is handed out again when it has changed, or at last.
    pub fn put_back(&mut self, file: Arrived) {
        let Arrived { path, stamp, since, .. } = file;
        // What was heard of it in between is newer.
        self.pending.entry(path).or_insert(Pending::new(stamp, since, true));
    }

    /// Files that somebody has been writing for longer than [`PATIENCE`].
    pub fn slow(&self, now: Instant) -> impl Iterator<Item = &Path> {
        let slow = move |f: &Pending| f.is_written() && now.saturating_duration_since(f.since) >= PATIENCE;
        self.pending.iter().filter(move |(_, f)| slow(f)).map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64) -> Stamp {
        Stamp { size, changed: 1, number: 5 }
    }

    fn names(arrived: &[Arrived]) -> Vec<&str> {
        arrived.iter().map(|a| a.path.to_str().unwrap()).collect()
    }

    #[test]
    fn a_file_is_whole_once_it_is_closed() {
        let (mut arrivals, start) = (Arrivals::new(true), Instant::now());
        let a = Path::new("a.png");
        arrivals.heard(a, News::Written, Some(stamp(10)), start);
        // However long it stays the same: whoever writes it takes a break.
        assert!(arrivals.ready(start + 10 * PATIENCE).is_empty());
        assert_eq!(arrivals.slow(start + 10 * PATIENCE).collect::<Vec<_>>(), [a]);
        arrivals.heard(a, News::Whole, Some(stamp(20)), start);
        let ready = arrivals.ready(start);
        assert_eq!((names(&ready), ready[0].stamp, ready[0].last_chance), (vec!["a.png"], stamp(20), true));
        assert!(arrivals.ready(start + PATIENCE).is_empty(), "once");
        arrivals.heard(a, News::Written, Some(stamp(30)), start);
        arrivals.heard(a, News::Gone, None, start);
        assert!(arrivals.ready(start + 10 * PATIENCE).is_empty());
        // The system lost count: the file has to settle.
        arrivals.heard(a, News::Written, Some(stamp(30)), start);
        arrivals.forget_news();
        assert_eq!(names(&arrivals.ready(start + SETTLE)), ["a.png"]);
    }

    #[test]
    fn a_link_is_whole_once_it_stays_the_same() {
        let (mut arrivals, start) = (Arrivals::new(true), Instant::now());
        let (a, b, second) = (Path::new("a.png"), Path::new("b.png"), Duration::from_secs(1));
        arrivals.heard(a, News::Made, Some(stamp(10)), start);
        arrivals.seen(a, stamp(20), start + second);
        assert!(arrivals.ready(start + SETTLE).is_empty(), "its file was written elsewhere");
        let ready = arrivals.ready(start + second + SETTLE);
        assert_eq!((names(&ready), ready[0].last_chance), (vec!["a.png"], false));
        // A link to a file that has its first bytes later.
        arrivals.heard(a, News::Made, Some(stamp(0)), start);
        arrivals.seen(a, stamp(10), start + second);
        assert_eq!(names(&arrivals.ready(start + second + SETTLE)), ["a.png"]);
        // No link: whoever makes it takes a break before the first byte, and after it.
        arrivals.heard(b, News::Made, Some(stamp(0)), start);
        assert!(arrivals.ready(start + 10 * PATIENCE).is_empty());
        arrivals.heard(b, News::Written, Some(stamp(10)), start);
        assert!(arrivals.ready(start + 10 * PATIENCE).is_empty());
        arrivals.heard(b, News::Whole, Some(stamp(10)), start);
        assert_eq!(names(&arrivals.ready(start)), ["b.png"]);
    }

    #[test]
    fn without_news_a_file_is_whole_once_it_stays_the_same() {
        let (mut arrivals, start) = (Arrivals::new(false), Instant::now());
        let (a, second) = (Path::new("a.png"), Duration::from_secs(1));
        arrivals.seen(a, stamp(10), start);
        arrivals.seen(a, stamp(20), start + second);
        // No system here says when it was closed, so that it was written says no more than that it changed.
        arrivals.heard(a, News::Written, Some(stamp(20)), start + second);
        assert!(arrivals.ready(start + SETTLE).is_empty());
        let ready = arrivals.ready(start + second + SETTLE);
        assert_eq!((names(&ready), ready[0].last_chance), (vec!["a.png"], false));
        // It looked cut short: when it grows it has its turn again, else at last.
        arrivals.put_back(ready[0].clone());
        arrivals.seen(a, stamp(20), start + 3 * SETTLE);
        assert!(arrivals.ready(start + 3 * SETTLE).is_empty());
        let last = arrivals.ready(start + second + PATIENCE);
        assert_eq!((names(&last), last[0].last_chance), (vec!["a.png"], true));
        arrivals.put_back(ready[0].clone());
        arrivals.seen(a, stamp(40), start + 3 * SETTLE);
        assert_eq!(names(&arrivals.ready(start + 4 * SETTLE)), ["a.png"]);
    }

    #[test]
    fn files_on_their_way_wait_for_their_name() {
        for name in [".x.png", "x.png.part", "x.TMP", "x.png~", "d/x.jpg.filepart"] {
            assert!(is_on_its_way(Path::new(name)), "{name}");
        }
        assert!(!is_on_its_way(Path::new(".hidden/x.png")) && !is_on_its_way(Path::new("part.png")));
    }
}
