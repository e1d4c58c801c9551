//! What a plan says of a fit, against what the fit then takes.

use crate::common::{direct, fresh, turn};
use softpatch::data::synth::{Material, render};
use softpatch::data::{FileSource, ImageSource, MemorySource, OwnedImage, TrainSet};
use softpatch::detector::{Compat, Discriminator, Group, Stage, Want};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::{Backbone, Detector, Error, FitOptions, Progress, Quiet, Size};
use std::cell::RefCell;
use std::time::Instant;

/// How far a plan may be from what is measured.
const WITHIN: f64 = 0.25;

fn is_near(planned: u64, measured: u64) -> bool {
    (planned as f64 / measured.max(1) as f64 - 1.0).abs() <= WITHIN
}

/// The stage at hand, and the most bytes of each so far.
type Most = RefCell<(Stage, Vec<(Stage, u64)>)>;

/// Most bytes of the device that each stage had.
struct Peaks<'a>(&'a Device, Most);

impl Progress for Peaks<'_> {
    fn update(&self, stage: Stage, _: u64, _: u64) {
        let (now, all) = &mut *self.1.borrow_mut();
        let most = self.0.take_peak();
        match all.iter_mut().find(|(known, _)| known == now) {
            Some((_, known)) => *known = most.max(*known),
            None => all.push((*now, most)),
        }
        *now = stage;
    }
    fn notice(&self, _: &str) {}
}

/// Bytes of the device in every stage, and of temporary files, planned and taken.
#[test]
fn plans_are_what_a_fit_takes() {
    let _turn = turn();
    let (_, device) = direct();
    let backbone = Backbone::embedded().unwrap();
    let images: Vec<OwnedImage> = (0..9).map(|i| render(Material::Metal, None, i, 96).unwrap().0).collect();
    let base = FitOptions::default().size(Size::Shorter(96)).batch(4);
    let auto = base.clone().discriminator(Discriminator::Auto);
    for (what, options) in [
        ("all in memory", base.clone()),
        ("embeddings on disk", base.clone().memory(1_400_000)),
        ("auto, all on disk", auto.memory(620_000).coreset_ratio(0.05)),
        ("windows", base.clone().group(Group::Window).window(3)),
        ("everywhere", base.clone().group(Group::Global).coreset_ratio(0.3)),
        ("official", base.clone().compat(Compat::Official).size(Size::Shorter(64))),
        ("bands", base.clone().size(Size::Shorter(512)).memory(128 << 20).coreset_ratio(0.01)),
    ] {
        let source = MemorySource(&images);
        let plan = Detector::plan(device, &backbone, &source, &options, &Quiet).unwrap();
        let device = fresh(device);
        let peaks = Peaks(&device, RefCell::new((Stage::Features, Vec::new())));
        let detector = Detector::fit(&device, &backbone, &source, &options, &peaks).unwrap();
        peaks.update(Stage::Score, 0, 0);
        let images: Vec<_> = images.iter().take(plan.batch as usize).map(|i| i.as_image().unwrap()).collect();
        detector.score_with(&images, Want::Maps).unwrap();
        peaks.update(Stage::Score, 0, 0);
        let info = detector.info();
        for (stage, taken) in peaks.1.into_inner().1 {
            let planned = plan.stages.iter().find(|planned| planned.stage == stage).unwrap().device;
            println!("{what}, {}: {planned} planned, {taken} taken", stage.name());
            // What else there is depends on what the images show.
            assert!(planned.abs_diff(taken) < taken / 50, "{what}, {}: {planned}, {taken}", stage.name());
        }
        assert_eq!(plan.disk, device.spooled_bytes(), "{what}");
        assert_eq!((plan.frame, plan.grid, plan.rows), (info.frame, info.grid, info.rows), "{what}");
        let bytes = detector.model().to_bytes().unwrap().len() as u64;
        assert!(is_near(plan.model, bytes), "{what}: a model of {bytes} bytes, {} planned", plan.model);
    }
}

/// Whatever the budget is, a fit keeps to it, or is refused.
#[test]
fn budgets_are_kept_to() {
    let _turn = turn();
    let (_, device) = direct();
    let backbone = Backbone::embedded().unwrap();
    let image = render(Material::Metal, None, 1, 96).unwrap().0;
    let images = vec![image; 40];
    let base = FitOptions::default().size(Size::Shorter(192)).coreset_ratio(0.05);
    let (mut kept, mut large) = (0, 0);
    for options in [
        base.clone().discriminator(Discriminator::Auto).group(Group::Window),
        base.clone().size(Size::Shorter(448)).batch(64).coreset_ratio(0.01),
        base.clone().target_fpr(0.1).group(Group::Global).coreset_ratio(0.2),
        // Banks beside which nothing else counts.
        base.clone().size(Size::Shorter(256)).coreset_ratio(0.5),
        base.clone().size(Size::Shorter(256)).coreset_ratio(1.0).discriminator(Discriminator::None),
    ] {
        for mib in [2, 16, 48, 96, 128, 160, 200, 400] {
            let options = options.clone().memory(mib << 20);
            match Detector::plan(device, &backbone, &MemorySource(&images), &options, &Quiet) {
                Ok(plan) => {
                    kept += 1;
                    large += u32::from(plan.rows > 40_000);
                    assert!(plan.counted() <= plan.memory, "{mib} MiB, {} counted: {plan:?}", plan.counted());
                }
                Err(Error::Limit(says)) => assert!(says.contains("raise --memory"), "{says}"),
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(kept > 20 && large > 0, "{kept} fits were not refused, {large} of large banks");
}

/// Scores are the same in every bit whatever they are made within, and what does not do is refused with what
/// does.
#[test]
fn scores_do_not_depend_on_the_budget() {
    let _turn = turn();
    let (_, device) = direct();
    let backbone = Backbone::embedded().unwrap();
    let images: Vec<OwnedImage> = (0..4).map(|i| render(Material::Circuit, None, i, 96).unwrap().0).collect();
    let options = FitOptions::default().size(Size::Shorter(320)).coreset_ratio(0.05);
    let fitted = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
    let model = fitted.model().clone();
    let views: Vec<_> = images.iter().map(|image| image.as_image().unwrap()).collect();
    let want = [Want::Maps, Want::Source].map(|want| fitted.score_with(&views, want).unwrap());
    drop(fitted);
    let peak = |memory: u64| {
        let device = fresh(device);
        let detector = Detector::within(&device, &backbone, model.clone(), memory).unwrap();
        let got = [Want::Maps, Want::Source].map(|want| detector.score_with(&views, want).unwrap());
        assert!(got == want, "within {memory}");
        device.peak_bytes()
    };
    let (most, little) = (peak(1 << 30), peak(1 << 20));
    assert!(little < most && little < 72 << 20, "{little} of {most} bytes");
    // A bank that alone passes what comes on top.
    let mut large = model.clone();
    let bank = &mut large.bank;
    let times = 30_000 / bank.weights.len();
    (bank.rows, bank.weights) = (bank.rows.repeat(times), bank.weights.repeat(times));
    (bank.provenance, bank.index) = (bank.provenance.repeat(times), None);
    large.info.rows *= times as u32;
    let refused =
        |memory| Detector::within(device, &backbone, large.clone(), memory).err().map(|e| e.to_string());
    let says = refused(1 << 20).unwrap();
    let least = says.split("--memory ").nth(1).and_then(|rest| rest.split("MiB").next()).unwrap();
    let least: u64 = least.parse().unwrap();
    println!("{says}");
    assert!(says.contains("does not fit 1.0 MiB") && (2..200).contains(&least), "{says}");
    assert_eq!(refused(least << 20), None);
}

/// A field of Linux's account of this process, in bytes.
fn account(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// From now on the most that is resident counts from what is.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most of this process that was resident in each stage.
struct Resident(Most);

impl Resident {
    fn enter(&self, stage: Stage) {
        let (now, all) = &mut *self.0.borrow_mut();
        let most = account("VmHWM:");
        match all.iter_mut().find(|(known, _)| known == now) {
            Some((_, known)) => *known = most.max(*known),
            None => all.push((*now, most)),
        }
        *now = stage;
        forget_peak();
    }
}

impl Progress for Resident {
    fn update(&self, stage: Stage, _: u64, _: u64) {
        self.enter(stage);
    }
    fn notice(&self, _: &str) {}
}

/// One line of the table of docs/measurements.md: the set of `SOFTPATCH_PLAN_SET` with the settings of
/// `SOFTPATCH_PLAN_OPTIONS`, as `name=value` with commas between. On a driver that computes on the CPU, device
/// buffers are the process's own, and device and host are compared together. tools/plan_check.sh runs it.
#[test]
#[ignore = "takes minutes, and a set"]
fn planned_and_measured() {
    let _turn = turn();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let dir = std::env::var("SOFTPATCH_PLAN_SET").unwrap();
    let mut options = FitOptions::default();
    for pair in
        std::env::var("SOFTPATCH_PLAN_OPTIONS").unwrap_or_default().split(',').filter(|p| !p.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap();
        options.set(name, value).unwrap();
    }
    let device = Device::open(&DeviceOptions::default()).unwrap();
    let backbone = Backbone::embedded().unwrap();
    let paths = TrainSet::open(&dir).unwrap().paths;
    let source = |count: usize| FileSource::new(paths[..count].to_vec(), options.decode());
    // The driver's kernels are there once, whatever is fitted.
    let few = Detector::fit(&device, &backbone, &source(paths.len().min(9)), &options, &Quiet).unwrap();
    few.score_source(&source(1), Want::Maps, &Quiet, |_, _| Ok(())).unwrap();
    drop(few);
    let all = source(paths.len());
    let began = Instant::now();
    let plan = Detector::plan(&device, &backbone, &all, &options, &Quiet).unwrap();
    let planning = began.elapsed().as_secs_f64();
    let device = fresh(&device);
    let resident = Resident(RefCell::new((Stage::Features, Vec::new())));
    forget_peak();
    let base = account("VmRSS:");
    let began = Instant::now();
    let detector = Detector::fit(&device, &backbone, &all, &options, &resident).unwrap();
    let fitting = began.elapsed().as_secs_f64();
    resident.enter(Stage::Score);
    let some = source(all.len().min(2 * plan.batch as usize));
    detector.score_source(&some, Want::Maps, &Quiet, |_, _| Ok(())).unwrap();
    resident.enter(Stage::Score);
    let measured = resident.0.into_inner().1;
    for stage in &plan.stages {
        let most = measured.iter().find(|(known, _)| *known == stage.stage).map_or(0, |(_, most)| *most);
        println!(
            "  {:<10} {:>8.1} device + {:>7.1} host = {:>8.1} MiB planned, {:>8.1} resident beyond {:.1}",
            stage.stage.name(),
            mib(stage.device),
            mib(stage.host),
            mib(stage.together()),
            mib(most.saturating_sub(base)),
            mib(base)
        );
    }
    let most = measured.iter().map(|(_, most)| *most).max().unwrap().saturating_sub(base);
    let file = detector.model().to_bytes().unwrap().len() as u64;
    println!("planned in {planning:.2} s, fitted in {fitting:.1} s");
    let share = |planned: u64, taken: u64| format!("{:+.0} %", 100.0 * (planned as f64 / taken as f64 - 1.0));
    println!(
        "| {} | {} | {} of {}x{} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {:.1} |",
        dir.rsplit('/').next().unwrap_or_default(),
        std::env::var("SOFTPATCH_PLAN_OPTIONS").unwrap_or_default().replace(',', " "),
        plan.images,
        plan.largest[0],
        plan.largest[1],
        mib(plan.device()),
        mib(device.peak_bytes()),
        share(plan.device(), device.peak_bytes()),
        mib(plan.together()),
        mib(most),
        share(plan.together(), most),
        mib(plan.disk),
        mib(device.spooled_bytes()),
        mib(file)
    );
    assert!(is_near(plan.device(), device.peak_bytes()), "device");
    assert!(is_near(plan.together(), most), "device and host");
    assert_eq!(plan.disk, device.spooled_bytes());
    assert!(is_near(plan.model, file), "a model of {file} bytes, {} planned", plan.model);
}
