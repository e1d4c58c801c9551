//! The same images in every layout: `fit`, `eval`, `bench` and the C library take each for what it is, and
//! come to the same model and the same figures.

use super::*;
use softpatch_capi::*;
use std::collections::BTreeMap;
use std::ffi::CString;

/// A set of good images and defects with masks, from which trees are built.
struct Parts {
    folder: tempfile::TempDir,
    /// Ten good ones, sorted. The fifth and the tenth are for testing.
    good: Vec<PathBuf>,
    /// A defect each with its mask.
    defects: Vec<(PathBuf, PathBuf)>,
}

impl Parts {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SynthOptions {
            materials: vec![Material::Metal],
            train: 8,
            test_good: 2,
            test_per_defect: 1,
            size: 80,
            seed: 3,
            contamination: 0.0,
        };
        generate(folder.path(), &options, &|_, _| {}).unwrap();
        let set = softpatch::data::Dataset::open(folder.path().join("metal")).unwrap();
        let category = &set.categories[0];
        let mut good = category.train.clone();
        let test: Vec<_> = category.test.items.iter().filter(|i| !i.is_defect()).collect();
        good.insert(4, test[0].path.clone());
        good.push(test[1].path.clone());
        let defects =
            category.test.items.iter().filter_map(|i| Some((i.path.clone(), i.mask.clone()?))).collect();
        Self { folder, good, defects }
    }

    /// Calls `f` with the number of each good image and whether it is for testing.
    fn good(&self, mut f: impl FnMut(usize, bool, &Path)) {
        self.good.iter().enumerate().for_each(|(i, path)| f(i, i % 5 == 4, path));
    }
}

/// A tree that is being built.
struct Tree(PathBuf);

impl Tree {
    fn put(&self, place: &str, file: &Path) {
        let target = self.0.join(place);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }

    /// An image that is no part of the set, where it must not be looked at.
    fn text(&self, place: &str, text: &str) {
        let target = self.0.join(place);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, text).unwrap();
    }

    /// A mask brought to another sort of file by `f`.
    fn mask(&self, place: &str, mask: &Path, f: impl Fn(image::GrayImage) -> image::DynamicImage) {
        let target = self.0.join(place);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let made = f(image::open(mask).unwrap().to_luma8());
        let format = match place.rsplit('.').next().unwrap().to_lowercase().as_str() {
            "bmp" => image::ImageFormat::Bmp,
            _ => image::ImageFormat::Png,
        };
        made.save_with_format(target, format).unwrap();
    }

    /// A mask without a mark, of the size of another.
    fn blank(&self, place: &str, like: &Path) {
        self.mask(place, like, |m| image::GrayImage::new(m.width(), m.height()).into());
    }
}

/// A layout, and how it is built.
type Build = fn(&Parts, &Tree);

/// Whether every image of the tree is used or left out by a rule of its layout.
const LAYOUTS: &[(&str, &str, Build)] = &[
    ("mvtec", "mvtec", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/good/{i:03}.png", split(test)), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("test/kind{i}/{i:03}.png"), image);
            tree.put(&format!("ground_truth/kind{i}/{i:03}_mask.png"), mask);
        }
        tree.text("readme.txt", "of the set");
    }),
    ("capitals", "mvtec", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/GOOD/{i:03}.PNG", split(test).to_uppercase()), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("TEST/Scratch/{i:03}.PNG"), image);
            tree.put(&format!("Ground_Truth/Scratch/{i:03}_MASK.PNG"), mask);
        }
    }),
    ("other words", "mvtec", |parts, tree| {
        parts.good(|i, test, p| {
            let split = if test { "testing" } else { "Training" };
            tree.put(&format!("{split}/normal/{i:03}.png"), p);
        });
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("testing/abnormal/n{i:03}.png"), image);
            tree.mask(&format!("masks/n{i:03}.bmp"), mask, |m| m.into());
        }
    }),
    ("masks beside the images", "mvtec", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/pass/{i:03}.png", split(test)), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("test/fail/{i:03}.png"), image);
            tree.put(&format!("test/fail/{i:03}_GT.png"), mask);
        }
    }),
    ("loco", "loco", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/good/{i:03}.png", split(test)), p));
        tree.put("validation/good/000.png", &parts.good[0]);
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            let kind = ["logical_anomalies", "structural_anomalies"][i % 2];
            tree.put(&format!("test/{kind}/{i:03}.png"), image);
            // Each half of the marks in a file of its own, under values as LOCO has them.
            for half in 0..2 {
                let place = format!("ground_truth/{kind}/{i:03}/{half:03}.png");
                tree.mask(&place, mask, move |m| {
                    let (w, value) = (m.width(), 200 + half as u8);
                    let keep = |x: u32, v: u8| if (x >= w / 2) == (half == 1) && v > 0 { value } else { 0 };
                    let f = |x, y| image::Luma([keep(x, m.get_pixel(x, y).0[0])]);
                    image::GrayImage::from_fn(w, m.height(), f).into()
                });
            }
        }
    }),
    ("loco with ordinary masks", "mvtec", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/good/{i:03}.png", split(test)), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            let kind = ["logical_anomalies", "structural_anomalies"][i % 2];
            tree.put(&format!("test/{kind}/{i:03}.png"), image);
            tree.put(&format!("ground_truth/{kind}/{i:03}_mask.png"), mask);
        }
    }),
    ("mvtec3d", "mvtec3d", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/good/rgb/{i:03}.png", split(test)), p));
        parts.good(|i, test, p| tree.put(&format!("{}/good/xyz/{i:03}.tiff", split(test)), p));
        parts.good(|i, _, _| tree.blank(&format!("test/good/gt/{i:03}.png"), &parts.defects[0].1));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("test/hole/rgb/{i:03}.png"), image);
            tree.put(&format!("test/hole/gt/{i:03}.png"), mask);
        }
    }),
    ("btad", "btad", |parts, tree| {
        parts.good(|i, test, p| tree.put(&format!("{}/ok/{i:04}.png", split(test)), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("test/ko/{i:04}.png"), image);
            tree.mask(&format!("ground_truth/ko/{i:04}.bmp"), mask, |m| m.into());
        }
    }),
    ("visa with its list", "visa", |parts, tree| {
        let mut list = String::from("object,split,label,image,mask\n");
        let object = "metal/Data";
        parts.good(|i, test, p| {
            tree.put(&format!("{object}/Images/Normal/{i:04}.JPG"), p);
            list += &format!("metal,{},normal,{object}/Images/Normal/{i:04}.JPG,\n", split(test));
        });
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("{object}/Images/Anomaly/{i:03}.JPG"), image);
            // Class numbers, as VisA has them.
            tree.mask(&format!("{object}/Masks/Anomaly/{i:03}.png"), mask, |mut m| {
                m.pixels_mut().for_each(|p| p.0[0] = if p.0[0] > 0 { 1 } else { 0 });
                m.into()
            });
            list += &format!(
                "metal,test,anomaly,{object}/Images/Anomaly/{i:03}.JPG,{object}/Masks/Anomaly/{i:03}.png\n"
            );
        }
        tree.text("split_csv/1cls.csv", &list);
    }),
    ("visa without its list", "visa", |parts, tree| {
        parts.good(|i, _, p| tree.put(&format!("Data/Images/Normal/{i:04}.png"), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("Data/Images/Anomaly/{i:03}.png"), image);
            tree.put(&format!("Data/Masks/Anomaly/{i:03}.png"), mask);
        }
        tree.text("image_anno.csv", "image,label,mask\n");
    }),
    ("kolektor", "kolektor", |parts, tree| {
        parts.good(|i, test, p| {
            let place = format!("kos{:02}/Part{i}", if test { 2 } else { 1 });
            tree.put(&format!("{place}.png"), p);
            tree.blank(&format!("{place}_label.bmp"), &parts.defects[0].1);
        });
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("kos03/Part{i}.png"), image);
            tree.mask(&format!("kos03/Part{i}_label.bmp"), mask, |m| m.into());
        }
    }),
    ("kolektor2", "kolektor2", |parts, tree| {
        parts.good(|i, test, p| {
            tree.put(&format!("{}/1{i:04}.png", split(test)), p);
            tree.blank(&format!("{}/1{i:04}_GT.png", split(test)), &parts.defects[0].1);
        });
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("test/2{i:04}.png"), image);
            tree.put(&format!("test/2{i:04}_GT.png"), mask);
        }
        // A defect among the training images, which the layout leaves out.
        tree.put("train/20099.png", &parts.defects[0].0);
        tree.put("train/20099_GT.png", &parts.defects[0].1);
    }),
    ("magnetic", "magnetic", |parts, tree| {
        parts.good(|i, _, p| {
            tree.put(&format!("MT_Free/Imgs/exp1_{i:03}.jpg"), p);
            tree.blank(&format!("MT_Free/Imgs/exp1_{i:03}.png"), &parts.defects[0].1);
        });
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("MT_Crack/Imgs/exp1_{i:03}.jpg"), image);
            tree.put(&format!("MT_Crack/Imgs/exp1_{i:03}.png"), mask);
        }
    }),
    ("plain", "plain", |parts, tree| {
        parts.good(|i, _, p| tree.put(&format!("io/{i:03}.png"), p));
        for (i, (image, mask)) in parts.defects.iter().enumerate() {
            tree.put(&format!("nio/{i:03}.png"), image);
            // Sixteen bits with values 0 and 1.
            tree.mask(&format!("gt/nio/{i:03}_label.png"), mask, |m| {
                let f = |x, y| image::Luma([u16::from(m.get_pixel(x, y).0[0] > 0)]);
                image::ImageBuffer::from_fn(m.width(), m.height(), f).into()
            });
        }
    }),
];

fn split(test: bool) -> &'static str {
    if test { "test" } else { "train" }
}

const SETTINGS: [&str; 6] = ["--size", "64", "--batch", "4", "--coreset-ratio", "0.2"];

/// Fits with the C library; the model's rows and weights.
fn fit_in_c(context: softpatch_context, folder: &Path, out: &Path) -> Model {
    let mut options = unsafe { std::mem::zeroed::<softpatch_fit_options>() };
    let text = |path: &Path| CString::new(arg(path)).unwrap();
    let (mut detector, folder, file) = (0, text(folder), text(out));
    unsafe {
        assert_eq!(softpatch_fit_options_init(&mut options, size_of_val(&options)), SOFTPATCH_OK);
        (options.size, options.batch, options.coreset_ratio) =
            (softpatch_size { width: 64, height: 0 }, 4, 0.2);
        let status = softpatch_fit_folder(
            context,
            folder.as_ptr(),
            &options,
            None,
            std::ptr::null_mut(),
            &mut detector,
        );
        assert_eq!(status, SOFTPATCH_OK, "{:?}", std::ffi::CStr::from_ptr(softpatch_last_error_message()));
        assert_eq!(softpatch_detector_save(detector, file.as_ptr()), SOFTPATCH_OK);
        assert_eq!(softpatch_detector_free(detector), SOFTPATCH_OK);
    }
    Model::load(out).unwrap()
}

#[test]
fn the_same_images_in_every_layout_come_to_the_same() {
    let _turn = turn();
    let parts = Parts::new();
    let mut context = 0;
    assert_eq!(unsafe { softpatch_context_create(std::ptr::null(), &mut context) }, SOFTPATCH_OK);
    let mut first: Option<(Model, serde_json::Value, String)> = None;
    for (name, layout, build) in LAYOUTS {
        let root = parts.folder.path().join(name);
        build(&parts, &Tree(root.clone()));
        let (seen, _) = succeeds(&run(["data", arg(&root), "--json"]));
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["layout"], *layout, "{name}: {seen:#}");
        assert_eq!(seen["categories"][0]["train"], 8, "{name}: {seen:#}");

        let file = parts.folder.path().join("model.safetensors");
        succeeds(&run(["fit", arg(&root), "-o", arg(&file)].iter().chain(&SETTINGS)));
        let model = Model::load(&file).unwrap();
        let in_c = fit_in_c(context, &root, &file);
        assert_eq!((&in_c.bank, in_c.info.threshold), (&model.bank, model.info.threshold), "{name}: C");

        let (json, _) = succeeds(&run(["eval", arg(&file), arg(&root), "--json"]));
        let document: BTreeMap<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
        let mut all = document["all"].clone();
        assert_eq!(all["notes"].take(), serde_json::json!([]), "{name}");
        assert_eq!((&all["images"], &all["defects"]), (&7.into(), &5.into()), "{name}: {all}");

        let out = parts.folder.path().join(format!("bench {name}"));
        let bench = ["bench", arg(&root), "-o", arg(&out), "--methods", "none", "--noise", "0"];
        succeeds(&run(bench.iter().chain(&SETTINGS)));
        let results = std::fs::read_to_string(out.join("results.csv")).unwrap();
        // The first column is the category's name.
        let figures = results.lines().last().unwrap().split_once(',').unwrap().1.to_owned();

        match &first {
            None => first = Some((model, all, figures)),
            Some((other, report, row)) => {
                assert_eq!(model.bank, other.bank, "{name}: the model");
                assert_eq!(&all, report, "{name}: the figures of eval");
                assert_eq!(&figures, row, "{name}: the figures of bench");
            }
        }
    }
    assert_eq!(softpatch_context_free(context), SOFTPATCH_OK);
    let scored = &first.unwrap().1;
    assert!(scored["pixel_auroc"].as_f64().unwrap() > 0.5, "{scored}");
}
