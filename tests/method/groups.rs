//! Outlier scores by patches of other images at other positions.

use crate::common::{
    DIVISION, assert_close, direct, distance_error, gamma, noise, of_each_kind, on_each, turn,
};
use rand::{Rng, SeedableRng};
use softpatch::data::Dataset;
use softpatch::data::synth::{Material, SynthOptions, generate};
use softpatch::detector::{Backbone, Discriminator, FitOptions, Group, Quiet};
use softpatch::eval::bench::{Bench, BenchOptions, Method};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference::outlier::lof::from_lists;
use softpatch::low_level::reference::outlier::others::{Among, others};
use softpatch::methods::fit_embeddings;
use softpatch::{Error, Progress};
use std::sync::Mutex;

fn outlier(device: &Device, x: &[f32], grid: [u32; 2], dim: usize, options: &FitOptions) -> Vec<f32> {
    fit_embeddings(device, x, grid, dim as u32, options, &Quiet).unwrap().outlier
}

fn grouped(group: Group) -> FitOptions {
    FitOptions::default().group(group).coreset_ratio(0.05)
}

/// The whole way, with features in memory and on disk: whole numbers, whose distances are exact.
#[test]
fn scores_are_those_of_the_reference() {
    let _turn = turn();
    let (grid, images, dim) = ([3_u32, 5_u32], 40, 32);
    let x: Vec<f32> = noise(7, images * 15 * dim, 0.0, 6.0).iter().map(|v| v.round()).collect();
    // Memory that holds what is searched, but not the vectors beside it.
    for (group, window, memory) in
        [(Group::Window, 3, 420_000), (Group::Window, 7, 600_000), (Group::Global, 5, 300_000)]
    {
        let reach = (group == Group::Window).then_some(window as usize / 2);
        let among = Among { images, grid: [3, 5], reach };
        let lists = others(&x, dim, 6, among);
        let want = from_lists(&lists, 6);
        let nearest: Vec<f32> = lists.iter().map(|list| list[0].0 as f32 + 1.0).collect();
        on_each(&of_each_kind(), |name, device| {
            let options = grouped(group).window(window);
            let got = outlier(device, &x, grid, dim, &options);
            let room = 2.0 * distance_error(dim) + gamma(3 * (6 + 2 * DIVISION + 1));
            assert_close(name, &got, &want, 0.0, room);
            let got = outlier(device, &x, grid, dim, &options.clone().memory(memory));
            assert_close(&format!("{name}, on disk"), &got, &want, 0.0, room);
            let got = outlier(device, &x, grid, dim, &options.discriminator(Discriminator::Nearest));
            assert_close(name, &got, &nearest, 0.0, distance_error(dim) + gamma(2));
        });
    }
}

/// Share of pairs of a planted patch and another in which the planted one scores higher; of some it is not
/// asked.
fn auroc(scores: &[f32], planted: &[Option<bool>]) -> f64 {
    let of = |kind: bool| scores.iter().zip(planted).filter(move |(_, p)| **p == Some(kind)).map(|(s, _)| *s);
    let (mut above, mut pairs) = (0.0, 0.0);
    for bad in of(true) {
        for good in of(false) {
            above += if bad > good {
                1.0
            } else if bad == good {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    above / pairs
}

/// Parts that are shifted by up to two patches, or turned by quarters and mirrored: few images agree about
/// what lies at a position, so that what is foreign looks like the rest there. Patches are those of a pattern
/// whose cells all differ, but for a little noise; every fifth image has one that is of no part.
#[test]
fn noise_is_found_in_parts_that_lie_anyhow() {
    let _turn = turn();
    let (_, device) = direct();
    let (side, dim, images) = (8_usize, 16, 30);
    let cells = noise(1, 12 * 12 * dim, 0.0, 1.0);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for turned in [false, true] {
        let (mut x, mut planted) = (Vec::new(), vec![None; images * side * side]);
        for image in 0..images {
            let [dx, dy] = [(); 2].map(|()| if turned { 2 } else { random.random_range(0..5_usize) });
            let quarters = if turned { random.random_range(0..4) } else { 0 };
            let mirrored = turned && random.random_range(0..2) == 1;
            for y in 0..side {
                for column in 0..side {
                    let (mut a, mut b) = (y, column);
                    (0..quarters).for_each(|_| (a, b) = (b, side - 1 - a));
                    if mirrored {
                        b = side - 1 - b;
                    }
                    let (a, b) = (a + dy, b + dx);
                    x.extend_from_slice(&cells[(a * 12 + b) * dim..][..dim]);
                    // Cells that every shift shows: others are rare, and look like noise with good reason.
                    let common = turned || (4..8).contains(&a) && (4..8).contains(&b);
                    planted[(image * side + y) * side + column] = common.then_some(false);
                }
            }
            if image % 5 == 0 {
                let at = image * side * side + random.random_range(0..side * side);
                planted[at] = Some(true);
                x[at * dim..][..dim].copy_from_slice(&noise(100 + image as u64, dim, 0.0, 1.0));
            }
        }
        x.iter_mut().zip(noise(9, images * side * side * dim, 0.0, 0.05)).for_each(|(v, n)| *v += n);
        let of = |group| {
            let scores = outlier(device, &x, [side as u32; 2], dim, &grouped(group).window(9));
            auroc(&scores, &planted)
        };
        let [position, window, global] = [Group::Position, Group::Window, Group::Global].map(of);
        println!("turned {turned}: position {position:.3}, window {window:.3}, global {global:.3}");
        assert!(position < 0.85 && global > 0.98, "{turned}: {position} {window} {global}");
        assert!(turned || window > 0.98, "{turned}: {position} {window} {global}");
    }
}

/// What a fit says on the way.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn lists_are_lowered_to_a_corners_window_and_that_is_said() {
    let _turn = turn();
    let (_, device) = direct();
    let x = noise(5, 2 * 9 * 8, 0.0, 1.0);
    let notes = Notes::default();
    let fitted = fit_embeddings(device, &x, [3, 3], 8, &grouped(Group::Window).window(3), &notes).unwrap();
    assert_eq!(fitted.model.info.lof_k, Some(4));
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|n| n.contains("LOF's k is lowered from 6 to 4")), "{notes:?}");
    // Of one image there are no others.
    let one = fit_embeddings(device, &x[..72], [3, 3], 8, &grouped(Group::Global), &Quiet).unwrap();
    assert_eq!(one.outlier, [1.0; 9]);
}

/// SoftPatch+ takes its factors in windows and its Gaussian at the position; methods that have the Gaussian
/// alone say that they cannot.
#[test]
fn a_bench_compares_methods_by_windows() {
    let _turn = turn();
    let (_, device) = direct();
    let folder = tempfile::tempdir().unwrap();
    let set = SynthOptions {
        materials: vec![Material::Fabric],
        train: 6,
        test_good: 2,
        test_per_defect: 1,
        size: 96,
        seed: 3,
        contamination: 0.0,
    };
    generate(&folder.path().join("set"), &set, &|_, _| {}).unwrap();
    let set = Dataset::open(folder.path().join("set")).unwrap();
    let run = |names: [&str; 2]| {
        let options = BenchOptions {
            methods: names.iter().map(|name| name.parse::<Method>().unwrap()).collect(),
            noise: vec![0.0],
            fit: FitOptions { coreset_ratio: 0.2, ..FitOptions::paper(64, 64) }
                .group(Group::Window)
                .window(3),
            ..BenchOptions::default()
        };
        let (backbone, out) = (&Backbone::embedded().unwrap(), &folder.path().join("out"));
        Bench { device, backbone, categories: &set.categories, out, options: &options }.run(&Quiet, |_, _| {})
    };
    let cells = run(["softpatch+", "softpatch-lof"]).unwrap().cells;
    assert!(cells.len() == 2 && cells.iter().all(|c| c.images.iter().all(|i| i.score.is_finite())));
    let error = run(["softpatch-lof", "softpatch-gaussian"]).unwrap_err();
    assert!(error.to_string().contains("use group position"), "{error}");
}

#[test]
fn what_does_not_fit_the_memory_is_refused_with_what_to_do() {
    let _turn = turn();
    let (_, device) = direct();
    let x = noise(5, 300 * 9 * 64, 0.0, 1.0);
    let options = |group| grouped(group).memory(600_000);
    let error = fit_embeddings(device, &x, [3, 3], 64, &options(Group::Global), &Quiet).unwrap_err();
    assert!(matches!(error, Error::Limit(_)), "{error}");
    let says = error.to_string();
    assert!(says.contains("group window or position") && says.contains("raise --memory"), "{says}");
    fit_embeddings(device, &x, [3, 3], 64, &options(Group::Position), &Quiet).unwrap();
    let gaussian = grouped(Group::Window).discriminator(Discriminator::Gaussian);
    let error = fit_embeddings(device, &x, [3, 3], 64, &gaussian, &Quiet).unwrap_err();
    assert!(matches!(error, Error::InvalidOption(_)), "{error}");
}
