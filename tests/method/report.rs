//! Pictures and pages: what is drawn, pixel by pixel where it matters.

use base64::Engine;
use softpatch::Error;
use softpatch::data::OwnedImage;
use softpatch::report::{
    Drawing, PageImage, ScorePage, SheetOptions, SheetRow, Thumb, Verdict, colormap, contact_sheet, contour,
    heatmap, overlay, png_bytes, write_mask_png, write_png,
};

fn flat(width: u32, height: u32, colour: [u8; 3]) -> OwnedImage {
    OwnedImage { width, height, pixels: colour.repeat((width * height) as usize) }
}

fn at(image: &OwnedImage, x: u32, y: u32) -> [u8; 3] {
    let start = ((y * image.width + x) * 3) as usize;
    image.pixels[start..start + 3].try_into().unwrap()
}

/// Perceived lightness, roughly.
fn luma(c: [u8; 3]) -> f32 {
    0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2])
}

/// A cone of height 10 at (x, y), falling by 1 a pixel, 0 outside.
fn cone(width: u32, height: u32, x: f32, y: f32) -> Vec<f32> {
    let cell = |i: u32| ((i % width) as f32, (i / width) as f32);
    (0..width * height).map(cell).map(|(u, v)| (10.0 - (u - x).hypot(v - y)).max(0.0)).collect()
}

fn row(title: &str, score: f32, verdict: Option<Verdict>) -> SheetRow {
    SheetRow {
        title: title.to_owned(),
        input: flat(64, 64, [120, 130, 140]),
        mask: None,
        map: cone(64, 64, 48.0, 16.0),
        score,
        verdict,
    }
}

#[test]
fn the_colour_map_grows_lighter_all_the_way() {
    assert_eq!(colormap(0.0), [0, 0, 4]);
    assert_eq!(colormap(1.0), [252, 255, 164]);
    assert_eq!(colormap(f32::NAN), colormap(0.0));
    assert_eq!(colormap(f32::INFINITY), colormap(1.0));
    assert_eq!(colormap(-3.0), colormap(0.0));
    let light: Vec<f32> = (0..=255).map(|i| luma(colormap(i as f32 / 255.0))).collect();
    assert!(light.windows(2).all(|w| w[1] >= w[0] - 0.6), "{light:?}");
}

#[test]
fn the_hottest_place_is_drawn_hottest() {
    let image = heatmap(&cone(40, 30, 31.0, 7.0), 30, 40, (0.0, 10.0)).unwrap();
    assert_eq!((image.width, image.height), (40, 30));
    let places = (0..30).flat_map(|y| (0..40).map(move |x| (x, y)));
    let hottest = places.max_by(|a, b| luma(at(&image, a.0, a.1)).total_cmp(&luma(at(&image, b.0, b.1))));
    assert_eq!(hottest, Some((31, 7)));
    assert_eq!(at(&image, 31, 7), colormap(1.0));
    assert_eq!(at(&image, 0, 29), colormap(0.0));
    assert_eq!(at(&image, 31, 12), colormap(0.5));
}

#[test]
fn odd_ranges_and_values_do_not_break_a_heatmap() {
    let map = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
    let image = heatmap(&map, 2, 2, (0.0, 2.0)).unwrap();
    assert_eq!(at(&image, 0, 0), colormap(0.0));
    assert_eq!(at(&image, 1, 0), colormap(1.0));
    assert_eq!(at(&image, 0, 1), colormap(0.0));
    assert_eq!(at(&image, 1, 1), colormap(0.5));
    let constant = heatmap(&[3.0; 4], 2, 2, (3.0, 3.0)).unwrap();
    assert_eq!(at(&constant, 0, 0), colormap(0.0));
    assert!(matches!(heatmap(&map, 3, 2, (0.0, 1.0)), Err(Error::InvalidImage(m)) if m.contains("3x2")));
    assert!(heatmap(&[], 0, 0, (0.0, 1.0)).is_err());
}

#[test]
fn an_overlay_leaves_what_is_normal_and_tints_more_where_the_map_is_higher() {
    let grey = flat(32, 32, [90, 90, 90]);
    let map = cone(32, 32, 20.0, 12.0);
    let image = overlay(&grey, &map, (0.0, 10.0), None).unwrap();
    assert_eq!(at(&image, 0, 31), [90, 90, 90]);
    let change = |x| at(&image, x, 12).iter().map(|&v| v.abs_diff(90) as u32).sum::<u32>();
    assert!(change(20) > change(17) && change(17) > change(14) && change(14) > change(11));
    assert!(at(&image, 20, 12)[0] > 180, "{:?}", at(&image, 20, 12));
    assert!(overlay(&grey, &map[1..], (0.0, 10.0), None).is_err());
}

#[test]
fn the_contour_runs_where_the_map_crosses_the_threshold() {
    let mut image = flat(40, 40, [0, 0, 0]);
    contour(&mut image, &cone(40, 40, 20.0, 20.0), 4.0, [255, 255, 255]).unwrap();
    // The cone is at 4 on a circle of radius 6.
    for y in 0..40_u32 {
        for x in 0..40_u32 {
            let off = ((x as f32 - 20.0).hypot(y as f32 - 20.0) - 6.0).abs();
            let value = at(&image, x, y)[0];
            if off < 0.2 {
                assert!(value > 200, "({x}, {y}) lies on the line but is {value}");
            } else if off > 1.7 {
                assert_eq!(value, 0, "({x}, {y}) lies {off} from the line");
            }
        }
    }
    let before = image.clone();
    contour(&mut image, &[4.0; 1600], 4.0, [255, 0, 0]).unwrap();
    assert_eq!(image, before, "a flat map has no line");
}

#[test]
fn a_contact_sheet_puts_everything_in_its_place() {
    let mut first = row("first.png", 9.5, Some(Verdict::Anomalous));
    first.mask = Some((0..64 * 64).map(|i| i % 64 >= 32).collect());
    let rows = [first, row("second.png", 2.0, Some(Verdict::Normal))];
    let options = SheetOptions { cell: 128, range: Some((0.0, 10.0)), ..SheetOptions::default() };
    let sheet = contact_sheet(&rows, &options).unwrap();
    assert_eq!(sheet.width, 2 * 20 + 4 * 128 + 3 * 10);
    // Columns start at 20 and are 138 apart; the first row of pictures starts at 44, the second 172 lower.
    let (left, top) = (|column: u32| 20 + column * 138, |row: u32| 44 + row * 172);
    assert_eq!(at(&sheet, left(0) + 64, top(0) + 64), [120, 130, 140]);
    assert_eq!(at(&sheet, left(1) + 10, top(0) + 64), [0, 0, 0]);
    assert_eq!(at(&sheet, left(1) + 120, top(0) + 64), [255, 255, 255]);
    // The cone's tip lies at 3/4, 1/4 of the map, which is scaled by 2.
    for index in 0..2 {
        let tip = luma(at(&sheet, left(2) + 97, top(index) + 33));
        assert!(tip > 200.0, "row {index}: the tip is drawn with lightness {tip}");
        assert!(luma(at(&sheet, left(2) + 20, top(index) + 100)) < 5.0);
        assert!(at(&sheet, left(3) + 97, top(index) + 33)[0] > 200);
        assert_eq!(at(&sheet, left(3) + 20, top(index) + 100), [120, 130, 140]);
    }
    // Verdicts, at the right end below the pictures.
    let pill = |row: u32| at(&sheet, sheet.width - 20 - 7, top(row) + 128 + 17);
    assert!(pill(0)[0] > 180 && pill(0)[1] < 60, "defect is red: {:?}", pill(0));
    assert!(pill(1)[1] > 120 && pill(1)[0] < 60, "normal is green: {:?}", pill(1));
    // Text: dark in the line of column titles, over each column.
    for column in 0..4 {
        let dark = (20..40).any(|y| (0..60).any(|x| luma(at(&sheet, left(column) + x, y)) < 90.0));
        assert!(dark, "column {column} has no title");
    }
    // The colour bar spans the sheet.
    let bar = sheet.height - 62 + 8 + 6;
    assert_eq!(at(&sheet, 20, bar), colormap(0.0));
    assert_eq!(at(&sheet, sheet.width - 21, bar), colormap(1.0));
}

#[test]
fn without_truth_there_is_no_column_for_it_and_pictures_keep_their_shape() {
    let mut wide =
        row("a name that is much longer than there is room for under the pictures of a sheet.png", 1.0, None);
    wide.input = flat(64, 32, [200, 10, 10]);
    wide.map = vec![0.0; 64 * 32];
    let options =
        SheetOptions { title: "run 7".to_owned(), cell: 64, threshold: Some(0.5), ..SheetOptions::default() };
    let sheet = contact_sheet(&[wide], &options).unwrap();
    assert_eq!(sheet.width, 2 * 20 + 3 * 64 + 2 * 10);
    let top = 20 + 20 + 14 + 16 + 8;
    assert_eq!(at(&sheet, 52, top + 32), [200, 10, 10]);
    assert_ne!(at(&sheet, 52, top + 4), [200, 10, 10]);
    // Nothing runs over the margin.
    assert!((0..sheet.height).all(|y| at(&sheet, sheet.width - 3, y) == [255, 255, 255]));
}

#[test]
fn a_row_that_does_not_fit_is_named() {
    let mut bad = row("bad.png", 1.0, None);
    bad.map.pop();
    let error =
        contact_sheet(&[row("good.png", 1.0, None), bad.clone()], &SheetOptions::default()).unwrap_err();
    assert!(error.to_string().contains("bad.png") && error.to_string().contains("64x64"), "{error}");
    let mut bad = row("mask.png", 1.0, None);
    bad.mask = Some(vec![true]);
    assert!(contact_sheet(&[bad], &SheetOptions::default()).unwrap_err().to_string().contains("mask"));
    assert!(matches!(contact_sheet(&[], &SheetOptions::default()), Err(Error::InvalidOption(_))));
    let many = vec![row("x", 0.0, None); 400];
    assert!(matches!(contact_sheet(&many, &SheetOptions::default()), Err(Error::Limit(_))));
}

fn page_image(path: &str, score: f32, side: u32) -> PageImage {
    let map = cone(side, side, 20.0, 10.0);
    let drawing = Drawing { map: &map, size: [side; 2], range: (0.0, 10.0), threshold: None, truth: None };
    let thumb = Thumb::new(&flat(side, side, [120, 130, 140]), &drawing, 160).unwrap();
    PageImage { path: path.into(), score, defect: None, thumb }
}

#[test]
fn the_page_has_the_highest_score_first_and_holds_its_pictures() {
    let page = ScorePage {
        title: "line <3> & \"co\"".to_owned(),
        settings: vec![("tau".to_owned(), "0.15 <script>".to_owned())],
        figures: vec![("image AUROC".to_owned(), "0.987".to_owned())],
        threshold: Some(2.5),
        images: vec![
            page_image("set/a/low.png", 1.5, 64),
            page_image("set/none.png", f32::NAN, 32),
            page_image("set/b </script>/high.png", 8.25, 48),
        ],
        ..ScorePage::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    page.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("<title>line &lt;3&gt; &amp; &quot;co&quot;</title>"));
    assert!(text.contains("<dt>image AUROC</dt><dd>0.987</dd>") && text.contains("0.15 &lt;script&gt;"));
    let inside = |begin: &str| text.split_once(begin).unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(inside("id=\"data\">")).unwrap();
    assert_eq!(data["folders"], serde_json::json!(["", "a", "b </script>"]));
    let lines: Vec<_> =
        data["images"].as_array().unwrap().iter().map(|line| &line.as_array().unwrap()[..6]).collect();
    let want = serde_json::json!([
        ["high.png", 2, 8.25, null, 48, 48],
        ["low.png", 1, 1.5, null, 64, 64],
        ["none.png", 0, null, null, 32, 32],
    ]);
    assert_eq!(serde_json::json!(lines), want);
    // The pictures follow each other, each with its overlay.
    let (mut texts, mut decoded) = (inside("class=\"thumbs\">"), Vec::new());
    for line in data["images"].as_array().unwrap() {
        for length in [&line[6], &line[7]] {
            let (one, rest) = texts.split_at(length.as_u64().unwrap() as usize);
            decoded.push(base64::engine::general_purpose::STANDARD.decode(one).unwrap());
            texts = rest;
        }
    }
    assert_eq!(texts, "");
    let thumbs = [2, 0, 1].map(|i| &page.images[i].thumb);
    assert_eq!(
        decoded,
        thumbs.iter().flat_map(|t| [t.picture.clone(), t.overlay.clone()]).collect::<Vec<_>>()
    );
    for foreign in ["src=\"http", "href=", "url(", "@import", "fetch("] {
        assert!(!text.contains(foreign), "the page must stand alone, but has {foreign}");
    }
    assert!(
        page.write(&folder.path().join("none").join("page.html"))
            .unwrap_err()
            .to_string()
            .contains("page.html")
    );
}

/// `tests/method --ignored a_page_of_5000_images` writes it; docs/measurements.md has what it took.
#[test]
#[ignore = "writes a page to look at and to measure"]
fn a_page_of_5000_images() {
    use softpatch::data::synth::{Material, render};
    let thumbs: Vec<(Thumb, bool)> = (0..60)
        .map(|seed| {
            let material = [Material::Circuit, Material::Metal, Material::Gear][seed as usize % 3];
            let defect = material.defects().first().copied().filter(|_| seed % 2 == 0);
            let (image, truth) = render(material, defect, seed, 256).unwrap();
            let map: Vec<f32> = truth.iter().map(|&t| if t { 4.0 } else { 0.2 }).collect();
            let drawing =
                Drawing { map: &map, size: [256; 2], range: (0.5, 5.0), threshold: Some(2.0), truth: None };
            (Thumb::new(&image, &drawing, ScorePage::side(5000)).unwrap(), defect.is_some())
        })
        .collect();
    let image = |i: usize| {
        // One in ten shows a defect.
        let pick = if i.is_multiple_of(10) { 2 * (i / 10 % 30) } else { 2 * (i % 30) + 1 };
        let (thumb, bad) = thumbs[pick].clone();
        let spread = (i * 7919 % 1000) as f32 / 1000.0 + (i * 104_729 % 1000) as f32 / 1000.0;
        let score = if bad { 2.0 + 2.0 * spread } else { 0.8 + 0.8 * spread };
        let path = format!("line/camera {}/{}/{i:06}.png", i % 3, if bad { "bad" } else { "good" });
        PageImage { path: path.into(), score, defect: Some(bad), thumb }
    };
    let page = ScorePage {
        title: "5000 images".to_owned(),
        threshold: Some(2.4),
        range: Some((0.5, 5.0)),
        map_threshold: Some(2.0),
        images: (0..5000).map(image).collect(),
        ..ScorePage::default()
    };
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page_of_5000.html");
    let started = std::time::Instant::now();
    page.write(&path).unwrap();
    let (size, seconds) = (std::fs::metadata(&path).unwrap().len(), started.elapsed().as_secs_f64());
    println!("{}: {:.1} MB in {seconds:.2} s", path.display(), size as f64 / 1e6);
}

/// A JPEG's pixels.
fn jpeg(bytes: &[u8]) -> OwnedImage {
    let image = image::load_from_memory_with_format(bytes, image::ImageFormat::Jpeg).unwrap().into_rgb8();
    OwnedImage { width: image.width(), height: image.height(), pixels: image.into_raw() }
}

#[test]
fn a_small_picture_shows_what_the_large_one_has() {
    // Light on the left, and a map of another size that is hot in its upper right.
    let mut image = flat(600, 300, [60, 60, 60]);
    for (i, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
        if i % 600 < 300 {
            pixel.fill(200);
        }
    }
    let map = cone(60, 30, 45.0, 7.0);
    let truth: Vec<bool> = (0..60 * 30).map(|i| i % 60 >= 50).collect();
    let all =
        Drawing { map: &map, size: [60, 30], range: (2.0, 10.0), threshold: Some(5.0), truth: Some(&truth) };
    let thumb = Thumb::new(&image, &all, 100).unwrap();
    assert_eq!((thumb.width, thumb.height), (100, 50));
    let (picture, drawn) = (jpeg(&thumb.picture), jpeg(&thumb.overlay));
    assert_eq!(([picture.width, picture.height], [drawn.width, drawn.height]), ([100, 50], [100, 50]));
    let near = |c: [u8; 3], grey: u8| c.iter().all(|v| v.abs_diff(grey) < 12);
    assert!(near(at(&picture, 20, 40), 200) && near(at(&picture, 75, 12), 60));
    assert!(near(at(&drawn, 40, 40), 200) && near(at(&drawn, 70, 40), 60), "what is normal stays");
    let hot = at(&drawn, 75, 12);
    assert!(hot[0] > 180 && hot[0] > hot[2] + 40, "{hot:?}");
    let line = (80..87).map(|x| at(&drawn, x, 40)).max_by_key(|c| c[0]).unwrap();
    assert!(line[0] > 150 && line[1] < 100, "the truth begins at 83, and has a line of {line:?}");

    let plain = Drawing { map: &[0.0], size: [1, 1], range: (0.0, 1.0), threshold: None, truth: None };
    let small = Thumb::new(&flat(7, 5, [9, 9, 9]), &plain, 160).unwrap();
    assert_eq!((small.width, small.height), (7, 5), "nothing is blown up");
    let line = Thumb::new(&flat(4000, 2, [9, 9, 9]), &plain, 160).unwrap();
    assert_eq!((line.width, line.height), (160, 1));
    assert!(Thumb::new(&image, &plain, 0).unwrap_err().to_string().contains("a side of 1"));
    for bad in [Drawing { size: [2, 1], ..plain }, Drawing { truth: Some(&[]), ..plain }] {
        assert!(matches!(Thumb::new(&image, &bad, 100), Err(Error::InvalidImage(_))));
    }
}

#[test]
fn a_written_png_holds_the_same_pixels_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.png");
    let image = heatmap(&cone(33, 17, 5.0, 5.0), 17, 33, (0.0, 10.0)).unwrap();
    std::fs::write(&path, "old").unwrap();
    write_png(&path, &image).unwrap();
    let read = image::open(&path).unwrap();
    assert_eq!((read.width(), read.height(), read.into_rgb8().into_raw()), (33, 17, image.pixels.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), png_bytes(&image).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    write_mask_png(&path, &[true, false, false, true, true, false], 3, 2).unwrap();
    assert_eq!(image::open(&path).unwrap().into_luma8().into_raw(), [255, 0, 0, 255, 255, 0]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |p| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain), "as readable as any new file");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent").join("map.png");
    let error = write_png(&path, &flat(2, 2, [0; 3])).unwrap_err();
    assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{error}");
    let error =
        write_png(&folder.path().join("x.png"), &OwnedImage { width: 2, height: 2, pixels: vec![0; 5] });
    assert!(matches!(error, Err(Error::InvalidImage(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
