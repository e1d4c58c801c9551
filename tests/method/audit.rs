//! Contaminated training pictures come first.

use crate::common::{direct, turn};
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{ImageSource, MemorySource, OwnedImage, Roi, WithRoi};
use softpatch::detector::{Audit, AuditImage, Group, Progress, Stage};
use softpatch::{Backbone, Discriminator, Error, FitOptions, Quiet, Size};

const SIDE: u32 = 96;

/// Sixteen good parts and two with flaws, of which the masks are.
fn parts() -> (Vec<OwnedImage>, Vec<Option<Vec<bool>>>) {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for i in 0..18 {
        let defect = match i {
            5 => Some(Defect::Stain),
            11 => Some(Defect::Scratch),
            _ => None,
        };
        let (image, mask) = render(Material::Metal, defect, i, SIDE).unwrap();
        images.push(image);
        masks.push(defect.map(|_| mask));
    }
    (images, masks)
}

fn options() -> FitOptions {
    FitOptions { size: Size::Shorter(SIDE), ..FitOptions::default() }
}

fn audit(source: &dyn ImageSource, options: &FitOptions) -> softpatch::Result<Audit> {
    let (_, device) = direct();
    Audit::of(device, &Backbone::embedded()?, source, options, &Quiet)
}

/// Whether a place is on the flaw, or within a patch or two of it.
fn near(mask: &[bool], [x, y]: [u32; 2]) -> bool {
    let reach = SIDE as i64 / 6;
    let close = |at: usize| {
        let (u, v) = (at as i64 % i64::from(SIDE), at as i64 / i64::from(SIDE));
        (u - i64::from(x)).abs() <= reach && (v - i64::from(y)).abs() <= reach
    };
    (0..mask.len()).any(|at| mask[at] && close(at))
}

#[test]
fn planted_pictures_come_first() {
    let _turn = turn();
    let (images, masks) = parts();
    for group in [Group::Position, Group::Window] {
        let audit = audit(&MemorySource(&images), &FitOptions { group, ..options() }).unwrap();
        assert_eq!(audit.images.len(), images.len());
        let mut first: Vec<usize> = audit.images[..2].iter().map(|i| i.index).collect();
        first.sort_unstable();
        assert_eq!(first, [5, 11], "{group}: {:?}", summary(&audit));
        assert!(audit.images.windows(2).all(|w| w[0].suspicion >= w[1].suspicion));
        for image in &audit.images[..2] {
            let mask = masks[image.index].as_ref().unwrap();
            assert!(image.suspect && near(mask, image.peak), "{group} {}: {:?}", image.index, image.peak);
            let on_flaw = |[x, y, w, h]: [u32; 4]| near(mask, [x + w / 2, y + h / 2]);
            let limit = audit.contaminated.limit.unwrap();
            assert!(image.regions.iter().any(|r| r.peak > limit && on_flaw(r.bbox)));
            // A region's box holds its outline and lies in the picture.
            for region in &image.regions {
                let [x, y, w, h] = region.bbox;
                assert!(x + w <= SIDE && y + h <= SIDE && region.patches > 0);
                let inside = |c: &[u32; 2]| (x..=x + w).contains(&c[0]) && (y..=y + h).contains(&c[1]);
                assert!(region.contour.iter().all(inside));
            }
        }
        let found = &audit.contaminated;
        assert!((2..=4).contains(&found.count), "{found:?}");
        assert!(found.at_least <= found.count && found.count <= found.at_most);
        assert_eq!(found.count, audit.images.iter().filter(|i| i.suspect).count());
        // What is dropped of all pictures is the share that a fit drops.
        let dropped = audit.images.iter().map(|i| f64::from(i.dropped)).sum::<f64>() / images.len() as f64;
        assert!((dropped - options().tau).abs() < 1e-3, "{dropped}");
    }
}

fn summary(audit: &Audit) -> Vec<(usize, f32)> {
    audit.images.iter().map(|i| (i.index, i.suspicion)).collect()
}

#[test]
fn what_is_not_looked_at_is_not_suspicious() {
    let _turn = turn();
    let mut images: Vec<OwnedImage> =
        (0..10).map(|i| render(Material::Metal, None, i, SIDE).unwrap().0).collect();
    // A black bar on the right of the fourth.
    for row in images[3].pixels.chunks_exact_mut(3 * SIDE as usize) {
        row[3 * 80..].fill(0);
    }
    let of = |audit: &Audit| -> AuditImage { audit.images.iter().find(|i| i.index == 3).unwrap().clone() };
    let all = audit(&MemorySource(&images), &options()).unwrap();
    assert_eq!(all.images[0].index, 3);
    assert!(of(&all).peak[0] > 64);
    let left = Roi::new(4, 2, [true, true, false, false].repeat(2)).unwrap();
    let left = audit(&WithRoi::new(MemorySource(&images), Some(left)), &options()).unwrap();
    let image = of(&left);
    assert!(image.peak[0] < SIDE / 2 && image.suspicion < of(&all).suspicion / 2.0, "{:?}", summary(&left));
    let columns = left.grid[1] as usize;
    assert!(image.patches.iter().enumerate().all(|(i, v)| (i % columns < columns / 2) == v.is_finite()));
}

#[test]
fn what_judges_nothing_is_refused_and_copies_say_nothing() {
    let _turn = turn();
    let (images, _) = parts();
    let none = FitOptions { discriminator: Discriminator::None, ..options() };
    let error = audit(&MemorySource(&images), &none).unwrap_err();
    assert!(matches!(error, Error::InvalidOption(_)) && error.to_string().contains("take lof"), "{error}");
    let copies = vec![images[0].clone(); 4];
    let audit = audit(&MemorySource(&copies), &options()).unwrap();
    assert_eq!((audit.contaminated.limit, audit.contaminated.count), (None, 0));
    assert!(audit.images.iter().all(|i| i.suspicion == 0.0 && !i.suspect), "{:?}", summary(&audit));
}

/// Ends a job in the search for distances, the last long step of an audit.
#[derive(Default)]
struct EndsLate(std::cell::Cell<bool>);

impl Progress for EndsLate {
    fn update(&self, stage: Stage, _: u64, _: u64) {
        self.0.set(stage == Stage::Distances);
    }

    fn cancelled(&self) -> bool {
        self.0.get()
    }
}

#[test]
fn an_audit_can_be_ended_to_the_last() {
    let _turn = turn();
    let (_, device) = direct();
    let images = parts().0;
    for group in [Group::Position, Group::Window] {
        let (options, ends) = (FitOptions { group, ..options() }, EndsLate::default());
        let audit =
            Audit::of(device, &Backbone::embedded().unwrap(), &MemorySource(&images), &options, &ends);
        assert!(matches!(audit, Err(Error::Cancelled)), "{group}");
    }
}
