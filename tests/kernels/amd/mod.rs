//! Every variant that a GPU can be asked to run, compiled for four families of AMD's GPUs by the compiler
//! that their driver in Mesa has (RADV), without any such GPU: registers, and whether they suffice. What the
//! machine has no driver for is skipped with a line.

mod child;
mod print;
mod spirv;
mod table;
mod vulkan;

use child::{ASKED, Outcome};
use softpatch::low_level::gpu::Shader;
use std::path::PathBuf;
use table::Variant;
use vulkan::Statistics;

/// GCN 5, RDNA 2, RDNA 3 and RDNA 4: those that are sold or in wide use.
const FAMILIES: [&str; 4] = ["vega10", "navi21", "navi31", "gfx1201"];

/// What counts as a spill: registers kept elsewhere, and memory of an invocation, where arrays go that are
/// indexed by what the compiler does not know.
const SPILLS: [&str; 3] = ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"];

/// What spills all the same: family, label, statistic, at most so many.
const KNOWN: [(&str, &str, &str, u64); 2] = [
    // GCN has fewer scalar registers than RDNA. Four of them lie in lanes of a vector register; no memory is
    // used.
    ("vega10", "search/search TILE=32 K4=16 STEPS=8 LANES=32", "Spilled SGPRs", 4),
    ("vega10", "search/search+SUBGROUP TILE=32 K4=16 STEPS=8 LANES=32", "Spilled SGPRs", 4),
];

/// A shader that needs more memory than there are registers: what a spill looks like.
static TOO_MUCH: Shader = Shader {
    name: "too_much",
    entry: "main",
    text: "
@group(0) @binding(0) var<storage, read_write> c: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) me: u32) {
    var own: array<u32, 1024>;
    for (var i = 0u; i < 1024u; i++) { own[i] = c[64u * i + me]; }
    for (var i = 0u; i < 1024u; i++) { c[64u * i + me] = own[c[i] % 1024u]; }
}",
    shared: &[],
    variants: &[],
};

/// What a child can be asked for: the variants, and behind them what the tests made up.
fn asked() -> Vec<Variant> {
    let mut all = table::variants();
    all.push(Variant { shader: &TOO_MUCH, flags: &[], constants: Vec::new() });
    all
}

/// Mesa's driver, or a line that says why not.
fn driver() -> Option<PathBuf> {
    let driver = child::driver();
    if driver.is_none() {
        println!("skipped: there is no Mesa driver for AMD (radeon*.json in a folder vulkan/icd.d)");
    }
    driver
}

/// A variant compiled for a family.
struct Made {
    family: &'static str,
    variant: Variant,
    outcome: Outcome,
}

/// Compiles what `wanted` picks for every family that the driver has; `say` hears what is left out.
fn compile(wanted: impl Fn(&str, &Variant) -> bool, say: &mut dyn FnMut(String)) -> Vec<Made> {
    let (Some(driver), all) = (driver(), asked()) else { return Vec::new() };
    let mut made = Vec::new();
    for family in FAMILIES {
        let picked: Vec<usize> = (0..all.len()).filter(|&i| wanted(family, &all[i])).collect();
        if picked.is_empty() {
            continue;
        }
        let offers = match child::offers(&driver, family) {
            Ok(offers) => offers,
            Err(why) => {
                say(format!("skipped: {family}: {why}"));
                continue;
            }
        };
        let (low, high) = offers.subgroup;
        let coop = if offers.coop { "" } else { " no" };
        say(format!("{family}: {}, subgroups {low} to {high},{coop} cooperative matrices", offers.name));
        let fitting: Vec<usize> =
            picked.into_iter().filter(|&i| offers.coop || !all[i].cooperative()).collect();
        let outcomes = child::compile(&driver, family, &fitting);
        made.extend(outcomes.into_iter().map(|(i, outcome)| Made {
            family,
            variant: all[i].clone(),
            outcome,
        }));
    }
    made
}

/// Statistics of [`SPILLS`] that are over `most`, or that the driver does not give.
fn spills(statistics: &Statistics, most: impl Fn(&str) -> u64) -> Vec<String> {
    let over = |name: &str| match statistics.values.get(name) {
        None => Some(format!("{name} unknown")),
        Some(&v) => (v > most(name)).then(|| format!("{name} {v}")),
    };
    SPILLS.into_iter().filter_map(over).collect()
}

#[test]
fn every_shader_has_its_constants() {
    for shader in table::for_gpus() {
        let (sets, label) = (table::constants(shader), shader.label());
        assert!(sets.is_some_and(|s| !s.is_empty()), "{label}: add it to tests/kernels/amd/table.rs");
    }
    for variant in asked() {
        let source = variant.source().unwrap_or_else(|e| panic!("{}: {e}", variant.label()));
        spirv::translate(&source, variant.shader.entry)
            .unwrap_or_else(|e| panic!("{}: {e}", variant.label()));
    }
}

#[test]
fn nothing_spills() {
    for shader in table::for_gpus() {
        for flags in shader.variants {
            if let Some(why) = table::left_out(shader, flags) {
                println!("left out: {} {flags:?}: {why}", shader.label());
            }
        }
    }
    let made = compile(|_, variant| variant.shader.name != TOO_MUCH.name, &mut |line| println!("{line}"));
    let mut bad = Vec::new();
    for Made { family, variant, outcome } in &made {
        let label = variant.label();
        let most =
            |name: &str| KNOWN.iter().find(|k| (k.0, k.1, k.2) == (*family, &label, name)).map_or(0, |k| k.3);
        match outcome {
            Outcome::Compiled(statistics) => {
                let spills = spills(statistics, most);
                bad.extend((!spills.is_empty()).then(|| format!("{family} {label}: {}", spills.join(", "))));
            }
            other => bad.push(format!("{family} {label}: {other}")),
        }
    }
    println!("compiled {} variants", made.len());
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), made.len(), bad.join("\n"));
}

/// Else the test above would see nothing but zeros.
#[test]
fn a_spill_would_show() {
    let made = compile(|_, variant| variant.shader.name == TOO_MUCH.name, &mut |line| println!("{line}"));
    for Made { family, outcome, .. } in &made {
        let Outcome::Compiled(statistics) = outcome else { panic!("{family}: {outcome}") };
        assert!(statistics.values["Scratch size"] > 0, "{family}: {statistics:?}");
        assert!(!spills(statistics, |_| 0).is_empty(), "{family}: {statistics:?}");
    }
}

/// Not a test: the process in which the others compile.
#[test]
#[ignore = "the other tests start it"]
fn child() {
    if let Ok(asked) = std::env::var(ASKED) {
        child::serve(&self::asked(), &asked).unwrap();
    }
}

/// Not a test: what `tools/amd_stats` prints.
#[test]
#[ignore = "tools/amd_stats runs it"]
fn statistics() {
    print::statistics();
}
