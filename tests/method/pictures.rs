//! Picture files of every sort against the pixels that other programs give (`tools/golden_pictures.py`).

use safetensors::SafeTensors;
use serde_json::Value;
use softpatch::Error;
use softpatch::data::{
    DecodeOptions, FileSource, ImageSource, Levels, OwnedImage, decode_bytes, decode_with_notes, find_bits,
    inspect_file,
};
use std::ops::ControlFlow;

struct Case {
    name: String,
    file: Vec<u8>,
    /// Width, height and pixels; none where the file is to be refused.
    pixels: Option<(u32, u32, Vec<u8>)>,
    expect: Value,
}

impl Case {
    fn options(&self) -> DecodeOptions {
        let options = &self.expect["options"];
        let levels = match (options["bits"].as_u64(), options["white"].as_f64()) {
            (Some(bits), _) => Levels::Bits(bits as u32),
            (_, Some(white)) => Levels::Range { black: options["black"].as_f64().unwrap(), white },
            _ => Levels::Found,
        };
        DecodeOptions { levels, ..DecodeOptions::default() }
    }

    fn decode(&self, bytes: &[u8]) -> softpatch::Result<OwnedImage> {
        decode_bytes(&self.name, bytes, &self.options())
    }

    /// What is wrong with `image`, if anything.
    fn wrong(&self, image: &OwnedImage) -> Option<String> {
        let Some((width, height, pixels)) = &self.pixels else { return Some("not refused".to_owned()) };
        if (image.width, image.height) != (*width, *height) {
            return Some(format!("{}x{} instead of {width}x{height}", image.width, image.height));
        }
        let differ = image.pixels.iter().zip(pixels).map(|(a, b)| a.abs_diff(*b));
        let most = u64::from(differ.max().unwrap());
        (most > self.expect["within"].as_u64().unwrap()).then(|| format!("{most} levels off"))
    }
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pictures.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, head) = SafeTensors::read_metadata(&bytes).unwrap();
    let expected: Value = serde_json::from_str(&head.metadata().as_ref().unwrap()["expected"]).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let case = |(name, expect): (&String, &Value)| Case {
        name: name.clone(),
        file: tensors.tensor(&format!("{name}/file")).unwrap().data().to_vec(),
        pixels: expect["pixels"].as_str().map(|key| {
            let tensor = tensors.tensor(key).unwrap();
            let [height, width, 3] = *tensor.shape() else { panic!("{key}") };
            (width as u32, height as u32, tensor.data().to_vec())
        }),
        expect: expect.clone(),
    };
    expected.as_object().unwrap().iter().map(case).collect()
}

#[test]
fn every_sort_of_file_is_read_right_or_refused_by_name() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = match (case.decode(&case.file), case.expect["refused"].as_str()) {
            (Ok(image), _) => case.wrong(&image),
            (Err(e @ Error::Image { .. }), Some(text)) if e.to_string().contains(text) => None,
            (Err(e), _) => Some(e.to_string()),
        };
        wrong.extend(found.map(|what| format!("{}: {what}", case.name)));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_file_cut_anywhere_is_refused_or_whole() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.pixels.is_some()) {
        let length = case.file.len();
        let near = [1, 2, 3, 5, 9, 14, 20].into_iter().filter(|&n| n < length).map(|n| length - n);
        for keep in (1..24).map(|i| length * i / 24).chain(near) {
            // Text has no end of its own: the last digit may be gone.
            let text = ["pnm-p2", "pnm-p3"].iter().any(|kind| case.name.starts_with(kind));
            if text && keep + 3 >= length {
                continue;
            }
            if let Ok(image) = case.decode(&case.file[..keep])
                && let Some(what) = case.wrong(&image)
            {
                wrong.push(format!("{} cut to {keep} of {length}: {what}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Bytes changed at random: pixels or an error, and no decoder that breaks down.
#[test]
fn damage_is_an_error_or_a_picture() {
    let options =
        |case: &Case| DecodeOptions { max_pixels: 1 << 20, exif_orientation: true, ..case.options() };
    let mut random = 0x9e37_79b9_u64;
    let mut next = move |below: usize| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    for case in &cases() {
        for _ in 0..40 {
            let mut bytes = case.file.clone();
            for _ in 0..=next(3) {
                // Headers are where damage leads astray.
                let at = if next(2) == 0 { next(bytes.len().min(96)) } else { next(bytes.len()) };
                bytes[at] = next(256) as u8;
            }
            match decode_bytes(&case.name, &bytes, &options(case)) {
                Ok(image) => assert!(image.as_image().is_ok(), "{}", case.name),
                Err(e) => assert!(!e.to_string().contains("broke down"), "{}: {e}", case.name),
            }
        }
    }
}

#[test]
fn headers_and_notes_agree_with_the_pixels() {
    let dir = tempfile::tempdir().unwrap();
    for case in cases().iter().filter(|case| case.pixels.is_some()) {
        let path = dir.path().join(&case.name);
        std::fs::write(&path, &case.file).unwrap();
        let picture = inspect_file(&path, &case.options()).unwrap();
        let (image, notes) = decode_with_notes(&path, &case.options()).unwrap();
        assert_eq!((picture.width, picture.height), (image.width, image.height), "{}", case.name);
        if let Some(want) = case.expect["notes"].as_array() {
            // What the levels and EXIF have besides has tests of its own.
            let other = ["depth", "largest", "range", "orientation"];
            let topics = notes.iter().map(|note| note.topic());
            let got: Vec<_> = topics.filter(|topic| !other.contains(topic)).collect();
            let want: Vec<_> = want.iter().map(|topic| topic.as_str().unwrap()).collect();
            assert_eq!(got, want, "{}: {notes:?}", case.name);
        }
        if let Some(bits) = case.expect["bits"].as_u64() {
            let seen = find_bits(&[path], &case.options(), |_| ControlFlow::Continue(())).unwrap().unwrap();
            assert_eq!(u64::from(seen.bits), bits, "{}: {seen:?}", case.name);
        }
    }
}

#[test]
fn samples_that_do_not_fit_the_levels_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let all = cases();
    let notes = |names: &[&str], levels| {
        let paths: Vec<_> = names.iter().map(|name| dir.path().join(name)).collect();
        for (path, name) in paths.iter().zip(names) {
            std::fs::write(path, &all.iter().find(|case| case.name == *name).unwrap().file).unwrap();
        }
        let source = FileSource::new(paths, DecodeOptions { levels, ..DecodeOptions::default() });
        (0..names.len()).for_each(|i| drop(source.load(i).unwrap()));
        source.notes().join("\n")
    };
    // A model of 14 bit, that of the file's depth, and a darker file beside others.
    assert!(notes(&["tiff-12-in-16"], Levels::Bits(14)).contains("fewer bits than the model"));
    assert_eq!(notes(&["tiff-12-in-16"], Levels::Bits(12)), "");
    assert_eq!(notes(&["tiff-8-in-16", "tiff-12-in-16"], Levels::Bits(12)), "");
    assert_eq!(notes(&["png-grey-8"], Levels::Bits(12)), "");
    // A model of floating point from 0 to 1.
    assert!(
        notes(&["tiff-12-in-16"], Levels::Range { black: 0.0, white: 1.0 })
            .contains("outside black and white")
    );
    assert_eq!(notes(&["tiff-12-in-16"], Levels::Range { black: 0.0, white: 4095.0 }), "");
}

#[test]
fn bits_are_those_of_the_whole_set() {
    let dir = tempfile::tempdir().unwrap();
    let all = cases();
    let find = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| dir.path().join(name)).collect();
        for (path, name) in paths.iter().zip(names) {
            if let Some(case) = all.iter().find(|case| case.name == *name) {
                std::fs::write(path, &case.file).unwrap();
            }
        }
        let seen = find_bits(&paths, &DecodeOptions::default(), |_| ControlFlow::Continue(())).unwrap();
        seen.map(|seen| (seen.bits, seen.from_tags, seen.images))
    };
    assert_eq!(find(&["png-rgb-8", "png-grey-8", "jpeg-444", "absent"]), None);
    assert_eq!(find(&["tiff-12-in-16", "png-grey-8", "absent"]), Some((12, false, 1)));
    assert_eq!(find(&["tiff-8-in-16", "tiff-12-in-16"]), Some((12, false, 2)));
    assert_eq!(find(&["tiff-8-in-16"]), Some((8, false, 1)));
    assert_eq!(find(&["tiff-max-sample", "tiff-8-in-16"]), Some((12, true, 2)));
    assert_eq!(find(&["tiff-packed-10-little", "tiff-packed-12-big"]), Some((12, true, 2)));
    assert_eq!(find(&["png-sbit-lower", "png-sbit-upper"]), Some((16, true, 2)));
    // Left-justified values fill the range as they are.
    assert_eq!(find(&["tiff-12-upper", "tiff-12-in-16"]), Some((16, false, 2)));

    let path = vec![dir.path().join("tiff-8-in-16")];
    let stopped = find_bits(&path, &DecodeOptions::default(), |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}
