//! What folders are called: splits, good parts, defects, masks; in any letter case, with any separators.

/// A part of a data set by the name of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Test,
    Validation,
}

/// The split that a folder is called after.
pub(super) fn split_of(name: &str) -> Option<Split> {
    let plain = plain(name);
    let word = ["set", "data", "images", "split"].iter().find_map(|end| plain.strip_suffix(end));
    match word.unwrap_or(&plain) {
        "train" | "training" => Some(Split::Train),
        // MVTec AD 2 has labels for its public test images alone.
        "test" | "testing" | "tests" | "testpublic" => Some(Split::Test),
        "val" | "valid" | "validation" | "validate" => Some(Split::Validation),
        _ => None,
    }
}

/// Whether a folder's name says that its images are good.
pub(super) fn is_good(name: &str) -> bool {
    GOOD.contains(&plain(name).as_str())
}

/// Whether a folder's name says that its images show defects, without saying which.
pub(super) fn is_bad(name: &str) -> bool {
    BAD.contains(&plain(name).as_str())
}

/// Whether the words of a name speak for good parts (`ok_front`, `normal-2`) or for defects (`def_front`,
/// `not_ok`); `None` where they say nothing, or both.
pub(super) fn leaning(name: &str) -> Option<bool> {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).collect();
    let (mut good, mut bad, mut at) = (false, false, 0);
    while at < words.len() {
        // The longest name that begins here: `defect free` before `defect`, `i o` before `i`.
        let found = (1..=3.min(words.len() - at)).rev().find_map(|n| {
            let joined = words[at..at + n].concat();
            let bad = BAD.contains(&joined.as_str()) || joined == "def" || joined == "anom";
            (bad || GOOD.contains(&joined.as_str())).then_some((n, bad))
        });
        match found {
            Some((n, is_bad)) => {
                good |= !is_bad;
                bad |= is_bad;
                at += n;
            }
            None => at += 1,
        }
    }
    (good != bad).then_some(good)
}

/// Whether the words of a file's name say that it shows a defect: `NG_001`, `part-7 defekt`. Words that are
/// as often about places or partners (`pos`, `ko`, ...) do not count here.
pub(super) fn file_speaks_of_defect(stem: &str) -> bool {
    const OTHER: [&str; 12] = [
        "pos",
        "positive",
        "positives",
        "ko",
        "wada",
        "wady",
        "vada",
        "vady",
        "mala",
        "malas",
        "malo",
        "wrong",
    ];
    let is_other = |word: &str| OTHER.contains(&word.to_lowercase().as_str());
    leaning(stem) == Some(false) && !stem.split(|c: char| !c.is_alphabetic()).any(is_other)
}

/// Whether a folder is called after ground-truth masks.
pub(super) fn is_mask_folder(name: &str) -> bool {
    MASKS.contains(&plain(name).as_str())
}

/// Whether such a name can mean nothing but masks; `mask` and `label` may as well be what a part or a defect
/// is called.
pub(super) fn is_surely_mask_folder(name: &str) -> bool {
    is_mask_folder(name)
        && !matches!(plain(name).as_str(), "mask" | "label" | "seg" | "labels" | "annotation")
}

/// Whether a folder only holds images together and says nothing of what they show. `color` is a kind of
/// defect in MVTec AD.
pub(super) fn is_container(name: &str) -> bool {
    matches!(plain(name).as_str(), "images" | "image" | "imgs" | "img" | "rgb" | "pictures" | "jpegimages")
}

/// Whether a folder holds the colour images of a sensor of depth.
pub(super) fn is_rgb(name: &str) -> bool {
    name.eq_ignore_ascii_case("rgb")
}

/// Letters and digits in lower case; separators, dots and accents that stand for themselves are left out.
pub(super) fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()) {
        match c as u32 {
            // Some file systems take Korean syllables apart: vowels and ends join what stands before.
            medial @ 0x1161..=0x1175 if last(&plain).is_some_and(|l| (0x1100..=0x1112).contains(&l)) => {
                let leading = last(&plain).unwrap_or_default() - 0x1100;
                plain.pop();
                plain.extend(char::from_u32(0xac00 + (leading * 21 + medial - 0x1161) * 28));
            }
            end @ 0x11a8..=0x11c2 if last(&plain).is_some_and(|l| (0xac00..=0xd7a3).contains(&l)) => {
                let syllable = last(&plain).unwrap_or_default() + (end - 0x11a7);
                plain.pop();
                plain.extend(char::from_u32(syllable));
            }
            _ => plain.push(c),
        }
    }
    plain
}

fn last(text: &str) -> Option<u32> {
    text.chars().last().map(u32::from)
}

/// Some of the names of good folders, for messages.
pub(super) const GOOD_EXAMPLES: &str = "good, ok, normal, pass, free, io, ...";

/// Names of good parts, as [`plain`] writes them: English, German, French, Spanish, Italian, Portuguese,
/// Polish and Czech, Dutch, Turkish, Russian, Chinese, Japanese, Korean.
#[rustfmt::skip]
const GOOD: &[&str] = &[
    "good", "goods", "goodparts", "ok", "okay", "okey", "okparts", "normal", "normals", "pass", "passed",
    "free", "negative", "negatives", "neg", "clean", "defectfree", "nodefect", "nodefects", "nondefect",
    "nondefective", "undefective", "notdefective", "withoutdefect", "withoutdefects", "defectless",
    "anomalyfree", "noanomaly", "nonanomalous", "nonanomaly", "faultless", "faultfree", "flawless",
    "intact", "healthy", "undamaged", "conforming", "conform", "accept", "accepted", "acceptable",
    "perfect", "correct", "nominal", "nonfaulty", "io", "inordnung", "gut", "gute", "gutteil", "gutteile",
    "fehlerfrei", "einwandfrei", "inordnungteile", "bon", "bons", "bonne", "bonnes", "conforme",
    "conformes", "sansdefaut", "sansdéfaut", "bueno", "buenos", "buena", "buenas", "correcto", "correctos",
    "sindefecto", "sindefectos", "buono", "buoni", "buona", "buone", "conformi", "sanodifetto",
    "senzadifetti", "bom", "boa", "boas", "semdefeito", "semdefeitos", "dobry", "dobre", "dobra", "dobrý",
    "dobré", "goed", "iyi", "saglam", "sağlam", "норма", "годен", "годные", "хорошие", "хороший",
    "бездефектов", "良品", "良", "良好", "优良", "合格", "合格品", "正常", "正常品", "正品", "好", "好品", "无缺陷", "無缺陷", "欠陥なし",
    "정상", "정상품", "양품", "합격", "합격품",
];

/// Names of defects of any kind, written likewise.
#[rustfmt::skip]
const BAD: &[&str] = &[
    "ng", "nok", "notok", "notgood", "nogood", "bad", "bads", "defect", "defects", "defective",
    "defectives", "defected", "anomaly", "anomalies", "anomalous", "abnormal", "abnormals", "abnormality",
    "notnormal", "ko", "fail", "fails", "failed", "failure", "failures", "fault", "faults", "faulty",
    "reject", "rejects", "rejected", "scrap", "broken", "damaged", "positive", "positives", "pos",
    "nonconforming", "unacceptable", "flawed", "notclean", "notfree", "notpass", "notpassed", "nopass",
    "wrong", "incorrect", "damage", "damages", "crack", "cracks", "cracked", "scratch", "scratches", "scratched",
    "dent", "dents", "dented", "nio", "nichtio", "nichtinordnung", "defekt", "defekte", "fehler", "fehlerhaft",
    "schlecht", "schlechtteil", "schlechtteile", "ausschuss", "kratzer", "riss", "risse", "bware", "mauvais", "defaut", "défaut", "defauts",
    "défauts", "nonconforme", "rebut", "rebuts", "dañado", "dañados", "malo", "malos", "mala", "malas", "defecto", "defectos",
    "defectuoso", "noconforme", "difetto", "difetti", "difettoso", "difettosi", "scarto", "scarti",
    "cattivo", "cattivi", "ruim", "ruins", "defeito", "defeitos", "defeituoso", "wada", "wady", "vada",
    "vady", "hatali", "hatalı", "kotu", "брак", "дефект", "дефекты", "плохие", "不良", "不良品", "不良品图", "不合格",
    "不合格品", "缺陷", "缺陷品", "异常", "異常", "異常品", "次品", "欠陥", "欠陥品", "불량", "불량품", "불합격", "이상", "비정상",
];

/// Names of folders of masks, written likewise.
#[rustfmt::skip]
const MASKS: &[&str] = &[
    "groundtruth", "groundtruths", "groundtruthmask", "groundtruthmasks", "gt", "gts", "gtmask", "gtmasks",
    "mask", "masks", "masken", "maske", "masques", "mascaras", "label", "labels", "labelmask", "labelmasks",
    "annotation", "annotations", "segmentation", "segmentations", "segmentationmask", "segmentationmasks",
    "seg", "segmask", "segmasks", "defectmask", "defectmasks", "anomalymask", "anomalymasks",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_in_any_case_and_language() {
        let good = [
            "good",
            "OK",
            "Pass",
            "i.o.",
            "I_O",
            "Defect-Free",
            "no_defect",
            "NON-DEFECTIVE",
            "良品",
            "정상",
        ];
        for name in good {
            assert!(is_good(name) && !is_bad(name), "{name}");
        }
        // Korean as macOS writes it.
        assert!(is_good("\u{110b}\u{1163}\u{11bc}\u{1111}\u{116e}\u{11b7}"));
        for name in ["NG", "n.i.O.", "not ok", "KO", "Abnormal", "不良", "defekt", "불량"] {
            assert!(is_bad(name) && !is_good(name), "{name}");
        }
        for name in ["hole", "okra", "goodyear", "front", "0", ""] {
            assert!(!is_good(name) && !is_bad(name), "{name}");
        }
    }

    #[test]
    fn words_of_a_name_lean() {
        for name in ["ok_front", "good2", "parts-OK", "defect_free front", "i.o. links"] {
            assert_eq!(leaning(name), Some(true), "{name}");
        }
        for name in ["def_front", "not_ok_2", "NG-left", "n.i.o. links", "Bad parts"] {
            assert_eq!(leaning(name), Some(false), "{name}");
        }
        for name in ["front", "good_and_bad", "2024-11-27"] {
            assert_eq!(leaning(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_files() {
        for stem in ["NG_000", "part_0_defekt", "12-bad", "不良_3"] {
            assert!(file_speaks_of_defect(stem), "{stem}");
        }
        for stem in ["pos_3", "000", "good_12", "defect_free_7", "kong_2", "IMG_1200"] {
            assert!(!file_speaks_of_defect(stem), "{stem}");
        }
    }

    #[test]
    fn splits_and_masks() {
        assert_eq!(split_of("TRAINING"), Some(Split::Train));
        assert_eq!(split_of("test_set"), Some(Split::Test));
        assert_eq!(split_of("Valid"), Some(Split::Validation));
        assert_eq!(split_of("latest"), None);
        assert!(is_mask_folder("Ground-Truth") && is_mask_folder("GT") && !is_mask_folder("masked"));
        assert!(!is_surely_mask_folder("mask"));
    }
}
