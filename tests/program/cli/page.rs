//! The pages of `softpatch score`, `eval` and `audit` (`--report`), looked at in a browser where there is one.

use super::*;
use std::time::{Duration, Instant};

/// How long a page may take before the browser is stopped, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a browser makes of a page at an address that ends with `#fragment`; `None` where there is no browser.
fn looked_at(page: &Path, fragment: &str) -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut all = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    let Some(browser) = all.find(|path| path.is_file()) else {
        eprintln!("skipped: no Chromium to look at the page with");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.html");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"])
        .args(["--disable-background-networking", "--virtual-time-budget=3000", "--window-size=1400,2000"])
        .args([
            "--dump-dom".to_owned(),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ])
        .arg(format!("file://{}#{fragment}", arg(page)))
        .stdout(std::fs::File::create(&dump).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end with the page in {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = std::fs::read_to_string(&dump).unwrap();
    assert!(text.contains("data-ready="), "the page's script came to its end: {text}");
    Some(text)
}

/// The text of the element with this id.
fn shown<'a>(page: &'a str, id: &str) -> &'a str {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no element {id}"));
    page[at..].split_once('>').unwrap().1.split_once('<').unwrap().0
}

/// How many cards are drawn.
fn cards(page: &str) -> usize {
    page.matches("<div class=\"card ").count()
}

fn scores(document: &serde_json::Value) -> Vec<(String, f64)> {
    let images = document["images"].as_array().unwrap();
    images.iter().map(|i| (i["path"].as_str().unwrap().to_owned(), i["score"].as_f64().unwrap())).collect()
}

/// Halfway between two scores in the middle.
fn middle(scores: &[(String, f64)]) -> f64 {
    let mut sorted: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2 - 1] + sorted[sorted.len() / 2]) / 2.0
}

#[test]
fn the_counts_of_a_page_follow_its_threshold() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fill(&images.join("plain"), 4);
    let evil = images.join("a <");
    std::fs::create_dir_all(&evil).unwrap();
    let evil = evil.join("script> &amp; 'q' \"z\" <img src=x>.png");
    write_png(&evil, &part(Some(Defect::Crack), 50)).unwrap();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"no\xfftext.png");
        std::fs::rename(images.join("plain/003.png"), images.join("plain").join(name)).unwrap();
    }
    let (model, file) = (fitted().model(), folder.path().join("page.html"));
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&images), "--report", arg(&file), "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let scores = scores(&document);
    assert_eq!(scores.len(), 5);
    let text = std::fs::read_to_string(&file).unwrap();
    for foreign in ["<img src=x>", "src=\"http", "href=", "url(", "@import", "<link"] {
        assert!(!text.contains(foreign), "the page has {foreign}");
    }

    let own = document["threshold"].as_f64().unwrap();
    for (fragment, threshold) in
        [(String::new(), own), (format!("threshold={}", middle(&scores)), middle(&scores))]
    {
        let Some(page) = looked_at(&file, &fragment) else { return };
        let above = scores.iter().filter(|(_, score)| *score > threshold).count();
        assert_eq!(shown(&page, "anomalous"), above.to_string(), "at {threshold} of {scores:?}");
        assert_eq!(shown(&page, "normal"), (scores.len() - above).to_string());
        assert_eq!(shown(&page, "shown"), "all 5");
        assert_eq!(cards(&page), 5);
        assert!(!page.contains("<img src=\"x\">") && !page.contains("<img src=x>"), "names stay texts");
    }
    let page =
        looked_at(&file, &format!("threshold={}&verdict=anomalous&search=003", middle(&scores))).unwrap();
    assert!(shown(&page, "shown").ends_with(" of 5"));
}

#[test]
fn a_page_of_a_labelled_set_counts_false_alarms_and_misses() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        materials: vec![Material::Metal],
        train: 2,
        test_good: 4,
        test_per_defect: 1,
        size: 80,
        seed: 3,
        contamination: 0.0,
    };
    generate(folder.path(), &options, &|_, _| {}).unwrap();
    let (set, file, model) = (folder.path().join("metal"), folder.path().join("page.html"), fitted().model());
    let (figures, _) = succeeds(&run(["eval", arg(&model), arg(&set), "--report", arg(&file), "--json"]));
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    let (json, _) = succeeds(&run(["score", arg(&model), arg(&set.join("test")), "--json"]));
    let scores = scores(&serde_json::from_str(&json).unwrap());
    let is_good = |path: &str| path.contains("good");
    let threshold = middle(&scores);
    let Some(page) = looked_at(&file, &format!("threshold={threshold}")) else { return };
    let count = |good, above| {
        scores.iter().filter(|(path, score)| is_good(path) == good && (*score > threshold) == above).count()
    };
    assert_eq!(shown(&page, "alarms"), count(true, true).to_string());
    assert_eq!(shown(&page, "missed"), count(false, false).to_string());
    let defects = scores.len() - 4;
    assert_eq!(
        shown(&page, "recall"),
        format!("{:.1} %", 100.0 * count(false, true) as f64 / defects as f64)
    );
    // The curve on the page is the one that `eval` measures.
    let area = figures["all"]["image_auroc"].as_f64().unwrap();
    assert_eq!(shown(&page, "auroc"), format!("{area:.4}"));
    let Some(all) = looked_at(&file, "threshold=0") else { return };
    assert_eq!((shown(&all, "alarms"), shown(&all, "missed"), shown(&all, "recall")), ("4", "0", "100.0 %"));
}

#[test]
fn a_page_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (images, model) = (folder.path().join("images"), Path::new("none.safetensors"));
    fill(&images, 1);
    let file = folder.path().join("p.html");
    let usage = |more: &[&str], needles: &[&str]| {
        fails(&run(["score", arg(model)].iter().chain(more)), 2, needles);
    };
    usage(&["--watch", "in", "--results", "r.csv", "--report", "p.html"], &["--watch", "--report"]);
    usage(&[arg(&images), "--regions", arg(&file), "--report", arg(&file)], &["give each its own"]);
    // A picture is not replaced by a page.
    usage(&[arg(&images), "--report", arg(&images.join("000.png"))], &["an image that is there"]);
}

/// Of thousands of pictures those in sight alone are drawn, whatever the filters, and a choice outlives them.
#[test]
fn the_page_of_an_audit_draws_what_is_in_sight() {
    use softpatch::report::{AuditItem, AuditPage};
    const ALL: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let picture = OwnedImage { width: 8, height: 6, pixels: vec![90; 8 * 6 * 3] };
    let mut made = AuditPage::new("parts");
    for i in 0..ALL {
        let name = format!("a/b/{i:03}<img src=x>.png");
        let (suspicion, suspect) = (2.0 - i as f32 / 200.0, i < 3);
        made.push(
            &AuditItem {
                name: &name,
                suspicion,
                suspect,
                dropped: 0.1,
                patches: &[0.0, 9.0],
                grid: [1, 2],
                limit: 2.0,
            },
            &picture,
        )
        .unwrap();
    }
    let html = made.render().unwrap();
    // What a reader does, once the page is there.
    let with = |does: &str| {
        let file = folder.path().join("page.html");
        std::fs::write(&file, html.replace("</body>", &format!("<script>{does}</script></body>"))).unwrap();
        looked_at(&file, "")
    };
    let drawn = |page: &str| page.matches("role=\"listitem\"").count();
    let Some(page) = with("") else { return };
    assert!((10..100).contains(&drawn(&page)), "{} cards", drawn(&page));
    assert!(page.contains("aria-setsize=\"400\"") && page.contains("000&lt;img src=x&gt;.png"));
    assert_eq!(shown(&page, "count"), "0 of 400 excluded, 400 shown");
    let page = with(
        "const by = (id) => document.getElementById(id); by('suspects').click(); by('which').value = 'out'; \
         by('which').dispatchEvent(new Event('input')); document.querySelector('.keep').click();",
    )
    .unwrap();
    assert_eq!((shown(&page, "count"), drawn(&page)), ("2 of 400 excluded, 3 shown", 3));
    // Scrolled to the end, the first are gone.
    let page =
        with("addEventListener('load', () => { scrollTo(0, 1e6); dispatchEvent(new Event('scroll')); });")
            .unwrap();
    assert!(page.contains("aria-posinset=\"400\"") && !page.contains("aria-posinset=\"1\""));
    assert!(drawn(&page) < 100, "{} cards", drawn(&page));
}
