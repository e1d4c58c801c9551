//! The table of `tools/amd_stats`.

use super::{FAMILIES, Made, Outcome, TOO_MUCH, compile};
use std::fmt::Write;

/// Column heads, and the driver's names of what stands below.
const COLUMNS: [(&str, &str); 11] = [
    ("VGPRs", "VGPRs"),
    ("SGPRs", "SGPRs"),
    ("spilled-VGPRs", "Spilled VGPRs"),
    ("spilled-SGPRs", "Spilled SGPRs"),
    ("scratch", "Scratch size"),
    ("LDS", "LDS size"),
    ("waves", "Subgroups per SIMD"),
    ("code", "Code size"),
    ("instructions", "Instructions"),
    ("latency", "Latency"),
    ("inverse-throughput", "Inverse Throughput"),
];

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Prints all variants whose shader's name contains `SOFTPATCH_AMD_SHADER` and families that contain
/// `SOFTPATCH_AMD_FAMILY`, as CSV with `SOFTPATCH_AMD_CSV`, to the file `SOFTPATCH_AMD_OUT` or else to the
/// output.
pub fn statistics() {
    let (shader, family) = (given("SOFTPATCH_AMD_SHADER"), given("SOFTPATCH_AMD_FAMILY"));
    let wanted = |f: &str, variant: &super::Variant| {
        f.contains(&family) && variant.shader.name != TOO_MUCH.name && variant.label().contains(&shader)
    };
    if !FAMILIES.iter().any(|f| f.contains(&family)) {
        println!("no family is named {family}; there are {}", FAMILIES.join(", "));
    }
    let made = compile(wanted, &mut |line| eprintln!("{line}"));
    let mut rows = vec![vec!["family".to_owned(), "variant".to_owned(), "subgroup".to_owned()]];
    rows[0].extend(COLUMNS.map(|c| c.0.to_owned()));
    rows.extend(made.iter().map(row));
    let text = if given("SOFTPATCH_AMD_CSV").is_empty() { aligned(&rows) } else { csv(&rows) };
    match std::env::var_os("SOFTPATCH_AMD_OUT") {
        Some(path) => std::fs::write(path, text).unwrap(),
        None => print!("{text}"),
    }
}

fn row(Made { family, variant, outcome }: &Made) -> Vec<String> {
    let mut row = vec![(*family).to_owned(), variant.label()];
    match outcome {
        Outcome::Compiled(statistics) => {
            row.push(statistics.subgroup.to_string());
            let value = |name: &str| statistics.values.get(name).map_or("-".to_owned(), u64::to_string);
            row.extend(COLUMNS.map(|(_, name)| value(name)));
        }
        other => row.push(other.to_string()),
    }
    row
}

fn csv(rows: &[Vec<String>]) -> String {
    let quoted = |v: &String| {
        if v.contains([',', '"']) { format!("\"{}\"", v.replace('"', "\"\"")) } else { v.clone() }
    };
    rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n").collect()
}

fn aligned(rows: &[Vec<String>]) -> String {
    let full = || rows.iter().filter(|row| row.len() == rows[0].len());
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|c| full().map(|row| row[c].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, (value, &width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right.
            let _ = if c < 2 { write!(line, "{value:width$}  ") } else { write!(line, "{value:>width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
