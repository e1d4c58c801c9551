//! Measures which tile sizes an adapter likes best.

use super::{clock, median, once, repeats};
use crate::backbone::efficientnet_lite;
use crate::cases::{Case, Entry, Scale, network, products_of};
use crate::gpu::{Archetype, Device, Size, Tuning};
use crate::steps::tuning::{
    BIG_FROM, COOP_BIG_FROM, COOP_MIDDLE_FROM, DEPTHWISE_RUN, DIRECT_COLUMNS, DIRECT_ROWS, MIDDLE_FROM,
};
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What was measured on one adapter with one driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Adapter's name.
    pub adapter: String,
    /// Driver and version.
    pub driver: String,
    /// What suits it.
    #[serde(with = "crate::steps::tuning")]
    pub tuning: Tuning,
}

/// Measured tile sizes, adapter by adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Entries.
    pub adapters: Vec<Measured>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::InvalidOption`] where it is no table.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|e| Error::io(path, "reading the tuning table", e))?;
        let bad = |reason: String| {
            Error::InvalidOption(format!(
                "{}: {reason}; remove the file or make it anew with `softpatch tune`",
                path.display()
            ))
        };
        let table: Self = serde_json::from_slice(&text).map_err(|e| bad(format!("no tuning table ({e})")))?;
        table.adapters.iter().try_for_each(|e| e.tuning.validate()).map_err(|e| bad(e.to_string()))?;
        Ok(table)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        let fail = |e| Error::io(path, "writing the tuning table", e);
        let text = serde_json::to_vec_pretty(self).map_err(|e| fail(e.into()))?;
        files::replace(path, &text, files::Sync::System).map_err(fail)
    }

    /// What was measured for this device, if anything was.
    pub fn find(&self, device: &Device) -> Option<&Tuning> {
        let caps = device.caps();
        self.adapters.iter().find(|e| e.adapter == caps.adapter && e.driver == caps.driver).map(|e| &e.tuning)
    }

    /// Adds or replaces the entry of this device.
    pub fn set(&mut self, device: &Device, tuning: Tuning) {
        let caps = device.caps();
        let entry = Measured { adapter: caps.adapter.clone(), driver: caps.driver.clone(), tuning };
        self.adapters.retain(|e| e.adapter != entry.adapter || e.driver != entry.driver);
        self.adapters.push(entry);
    }
}

/// Sweeps what [`Tuning`] holds on this adapter and returns the fastest of it; `report` hears every
/// comparison in a line.
///
/// # Errors
/// [`Error::Device`] where the driver refuses the kernels as they are by default.
pub fn tune(device: &Device, report: &mut dyn FnMut(&str)) -> Result<Tuning> {
    let mut best = Tuning::default();
    match device.caps().archetype {
        Archetype::Tiled => {
            let coop = device.caps().coop.filter(|coop| !coop.emulated);
            let coop =
                coop.map(|coop| two_tiles("coop", true, coop.side, [&COOP_MIDDLE_FROM, &COOP_BIG_FROM]));
            let f32 = two_tiles("f32", false, 16, [&MIDDLE_FROM, &BIG_FROM]);
            for tiles in f32.into_iter().chain(coop.into_iter().flatten()) {
                best = best.with(tiles.from, threshold(device, &tiles, report)?);
            }
        }
        Archetype::Direct => {
            let cases = products_of(&[[3136, 152, 128], [784, 240, 80]], false);
            let candidates = [[4, 24], [4, 16], [2, 16], [4, 8], [8, 8], [8, 16]];
            let with = |tuning: &Tuning, &[rows, columns]: &[u32; 2]| {
                tuning.with(&DIRECT_ROWS, rows).with(&DIRECT_COLUMNS, columns)
            };
            let chosen = fastest(device, "direct rows, columns", &cases, &candidates, with, report)?;
            best = with(&best, &chosen);
        }
    }
    let scale = Scale { batch: 4, large: false };
    let lite = efficientnet_lite(0).with_taps(&["block10"])?;
    let mut depthwise = network(&lite, scale, false)?;
    depthwise.retain(|entry| entry.kernel == "depthwise");
    let with = |tuning: &Tuning, run: &u32| tuning.with(&DEPTHWISE_RUN, *run);
    let run = fastest(device, "depthwise run", &depthwise, &[0, 2, 4, 5, 7, 8, 14], with, report)?;
    Ok(with(&best, &run))
}

/// Runs of every tuning of a case.
const ROUNDS: usize = 15;

/// Seconds of `cases` under each of `tunings`; none where an answer is wrong or a kernel does not build.
fn compare(device: &Device, tunings: &[Tuning], cases: &[Entry]) -> Result<Vec<Option<f64>>> {
    let mut sums = vec![Some(0.0); tunings.len()];
    for entry in cases {
        let built: Vec<_> =
            tunings.iter().map(|tuning| build(device, tuning, entry)).collect::<Result<_>>()?;
        for (sum, seconds) in sums.iter_mut().zip(alternate(&built)?) {
            *sum = sum.zip(seconds).map(|(sum, seconds)| sum + seconds);
        }
    }
    Ok(sums)
}

/// The case under a tuning, run once and checked.
fn build(device: &Device, tuning: &Tuning, entry: &Entry) -> Result<Option<(Device, Case)>> {
    let device = device.with_tuning(tuning.clone())?;
    let run = || -> Result<Option<Case>> {
        let case = entry.make(&device)?;
        Ok(case.run(&device)?.passed().then_some(case))
    };
    match run() {
        Ok(case) => Ok(case.map(|case| (device, case))),
        Err(Error::Limit(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Seconds of each: the median of the first one that there is, times the median of what a run takes as a
/// multiple of that one's in the same round. Clocks and other work drift, and all runs of a round see about
/// the same of it.
fn alternate(built: &[Option<(Device, Case)>]) -> Result<Vec<Option<f64>>> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    let filling: Vec<usize> = built
        .iter()
        .flatten()
        .map(|(device, case)| repeats(device, clock(device), &case.plan))
        .collect::<Result<_>>()?;
    // The first round warms up.
    for round in 0..=ROUNDS {
        let seconds: Vec<f64> = built
            .iter()
            .flatten()
            .zip(&filling)
            .map(|((device, case), &repeats)| once(device, clock(device), &case.plan, repeats))
            .collect::<Result<_>>()?;
        if round > 0 {
            rounds.push(seconds);
        }
    }
    let Some(measured) = rounds[0].len().checked_sub(1) else { return Ok(vec![None; built.len()]) };
    let base = median(&mut rounds.iter().map(|r| r[0]).collect::<Vec<_>>());
    let mut seconds = (0..=measured)
        .map(|i| base * median(&mut rounds.iter().map(|r| r[i] / r[0].max(1e-9)).collect::<Vec<_>>()));
    Ok(built.iter().map(|case| case.as_ref().and_then(|_| seconds.next())).collect())
}

/// The first of `candidates`, which is the default, or another that is faster by more than noise.
fn fastest<T: Copy + std::fmt::Debug>(
    device: &Device,
    what: &str,
    cases: &[Entry],
    candidates: &[T],
    with: impl Fn(&Tuning, &T) -> Tuning,
    report: &mut dyn FnMut(&str),
) -> Result<T> {
    let tunings: Vec<_> = candidates.iter().map(|c| with(&Tuning::default(), c)).collect();
    let mut best: Option<(T, f64)> = None;
    for (candidate, seconds) in candidates.iter().zip(compare(device, &tunings, cases)?) {
        let Some(seconds) = seconds else {
            report(&format!("{what} {candidate:?}: not on this adapter"));
            continue;
        };
        report(&format!("{what} {candidate:?}: {:.3} ms", 1e3 * seconds));
        if best.is_none_or(|(_, least)| seconds < 0.97 * least) {
            best = Some((*candidate, seconds));
        }
    }
    best.map(|(candidate, _)| candidate).ok_or_else(|| {
        Error::Device(format!("{what}: no variant gives right answers; run `softpatch doctor`"))
    })
}

/// Two sizes of tiles, and the number of workgroups that decides between them.
struct Tiles {
    name: &'static str,
    f16: bool,
    from: &'static Size,
    /// Side of the larger ones.
    side: u32,
    /// What keeps all products at the smaller ones, and at the larger ones.
    only: [Tuning; 2],
}

/// The small and middle, and the middle and large tiles of kernels whose tiles have sides of 2, 4 and 8 times `side`,
/// and what decides between them.
fn two_tiles(name: &'static str, f16: bool, side: u32, [middle, big]: [&'static Size; 2]) -> [Tiles; 2] {
    let only = |large, few| Tuning::default().with(big, large).with(middle, few);
    let [smalls, middles, bigs] = [only(u32::MAX, u32::MAX), only(u32::MAX, 1), only(1, 1)];
    let tiles = |from, side, only| Tiles { name, f16, from, side, only };
    [tiles(middle, 4 * side, [smalls, middles.clone()]), tiles(big, 8 * side, [middles, bigs])]
}

/// From how many workgroups on the larger tile is faster: the threshold with the least time over all sizes.
fn threshold(device: &Device, tiles: &Tiles, report: &mut dyn FnMut(&str)) -> Result<u32> {
    let Tiles { name, side, .. } = *tiles;
    let mut times: Vec<(u32, f64, f64)> = Vec::new();
    for m in [196, 784, 1568, 3136, 6272, 12_544, 25_088] {
        for n in [128, 512] {
            let cases = products_of(&[[m, 512, n]], tiles.f16);
            let both = compare(device, &tiles.only, &cases)?;
            let [Some(small), Some(large)] = both[..] else { continue };
            let groups = (m as u32).div_ceil(side) * (n as u32).div_ceil(side);
            let (s, l) = (1e3 * small, 1e3 * large);
            report(&format!(
                "{name} {m}x512x{n}, {groups} tiles of {side}: smaller ones {s:.3} ms, these {l:.3} ms"
            ));
            times.push((groups, small, large));
        }
    }
    // Logarithms, so that small sizes count as much as large ones.
    let cost = |from: u32| -> f64 {
        times.iter().map(|(groups, small, large)| if *groups >= from { large.ln() } else { small.ln() }).sum()
    };
    let mut candidates: Vec<u32> = times.iter().map(|t| t.0).chain([u32::MAX]).collect();
    candidates.sort_unstable();
    candidates
        .into_iter()
        .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
        .ok_or_else(|| Error::Device("no matrix product gives right answers; run `softpatch doctor`".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_survive_a_round_trip_and_refuse_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuning.json");
        let tuning = Tuning::default().with(&DIRECT_ROWS, 8);
        let entry = Measured { adapter: "a".into(), driver: "d".into(), tuning };
        let table = Table { adapters: vec![entry] };
        table.save(&path).unwrap();
        assert_eq!(Table::load(&path).unwrap(), table);
        let of =
            |sizes: &str| format!(r#"{{"adapters":[{{"adapter":"a","driver":"d","tuning":{{{sizes}}}}}]}}"#);
        let cases = [
            (String::new(), "no tuning table"),
            ("{}".into(), "no tuning table"),
            (of(r#""direct-rows":99"#), "direct-rows must be 1 to 16"),
            (of(r#""direct-columns":12"#), "direct-columns must be 8, 16, 24 or 32"),
            (of(r#""depthwise-run":17"#), "depthwise-run must be 0 to 16"),
            (of(r#""direct-rows":-1"#), "no tuning table"),
            (of(r#""direct_rows":2"#), "unknown field `direct_rows`, expected one of `big-from`"),
        ];
        for (text, why) in cases {
            std::fs::write(&path, text).unwrap();
            let message = Table::load(&path).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("softpatch tune"), "{message}");
        }
        // What earlier versions wrote, and less of it.
        let written =
            r#""big-from":7,"coop-big-from":128,"direct-rows":4,"direct-columns":16,"depthwise-run":0"#;
        let want = Tuning::default().with(&BIG_FROM, 7);
        for (text, want) in [(written, want.clone().with(&DIRECT_COLUMNS, 16)), (r#""big-from":7"#, want)] {
            std::fs::write(&path, of(text)).unwrap();
            assert_eq!(Table::load(&path).unwrap().adapters[0].tuning, want);
        }
        assert!(serde_json::to_string(&table).unwrap().contains(r#""depthwise-run":0,"direct-columns":24"#));
    }
}
