//! The variants that a GPU can be asked to run, with the constants that the host sets.

use softpatch::gpu::shaders::{ALL, Shader, preprocess};

/// Names and values, as `preprocess` takes them.
pub type Constants = Vec<(&'static str, u32)>;

/// One pipeline.
#[derive(Clone, Debug)]
pub struct Variant {
    pub shader: &'static str,
    pub text: &'static str,
    pub flags: &'static [&'static str],
    pub constants: Constants,
}

impl Variant {
    /// `shader+FLAG CONST=value`, as the library labels its pipelines.
    pub fn label(&self) -> String {
        let flags: String = self.flags.iter().map(|f| format!("+{f}")).collect();
        let constants: String = self.constants.iter().map(|(n, v)| format!(" {n}={v}")).collect();
        format!("{}{flags}{constants}", self.shader)
    }

    /// The WGSL that the library would hand to wgpu.
    pub fn source(&self) -> Result<String, String> {
        preprocess(self.shader, self.text, &self.constants, self.flags).map_err(|e| e.to_string())
    }

    /// Whether it needs f16 cooperative matrices of 16 x 16 with f32 sums.
    pub fn cooperative(&self) -> bool {
        matches!(self.shader, "gemm_coop" | "probe_coop" | "coop_check")
    }
}

/// Whether no GPU runs this file by itself: kernels for CPU drivers, and helpers that others include.
pub fn not_for_gpus(shader: &str) -> bool {
    shader.ends_with("_direct") || shader.starts_with("shared/")
}

/// Why the flags are not for this compiler, where they are not.
pub fn left_out(shader: &str, flags: &[&str]) -> Option<&'static str> {
    if flags.contains(&"SOFT") {
        return Some("emulation, for tests on machines without cooperative matrices");
    }
    if flags.contains(&"EIGHT") {
        return Some("no AMD GPU has cooperative matrices of 8 x 8");
    }
    // `broadcast8` in src/ops/mod.rs: these two are written for subgroups of 8 lanes.
    if flags.contains(&"SUBGROUP") && matches!(shader, "cholesky" | "mahalanobis") {
        return Some("for CPU drivers with subgroups of 8 lanes only");
    }
    None
}

/// The sets of constants that src/ops and src/roofline give `shader` on the `tiled` family: the usual ones,
/// and of a range the ends, which need most registers and least. None where the shader is not in the table.
pub fn constants(shader: &str, flags: &[&str]) -> Option<Vec<Constants>> {
    let of = |name: &'static str, values: &[u32]| values.iter().map(|&v| vec![(name, v)]).collect();
    Some(match shader {
        "coreset_first"
        | "coreset_cap"
        | "coreset_histogram"
        | "coreset_threshold"
        | "coreset_collect"
        | "coreset_gather"
        | "coreset_append"
        | "coreset_count"
        | "coreset_active"
        | "coreset_offsets"
        | "coreset_scatter"
        | "coreset_pairs_tiled"
        | "coreset_update_tiled"
        | "gemm_tiled"
        | "probe"
        | "pool"
        | "patch"
        | "pooled"
        | "resample"
        | "resize_rows"
        | "resize_columns"
        | "anomaly_map"
        | "gather"
        | "neighbor_lift"
        | "neighbor_boxes_tiled"
        | "patch_score"
        | "keep"
        | "group_gather"
        | "group_centre"
        | "group_shift"
        | "image_mean"
        | "image_distance"
        | "lof"
        | "nearest"
        | "covariance_tiled" => vec![vec![]],
        // Start samples: 10 unless an option says otherwise, 16 at most.
        "coreset_start" if flags.contains(&"MEAN") => of("ROWS", &[10, 16]),
        "coreset_start" => of("ROWS", &[1]),
        // Candidates a batch / 64.
        "coreset_greedy" => of("PER", &[1, 8]),
        // wgpu gives a range of subgroup sizes or one; 32 and 64 are what there is.
        "gemm_coop" | "probe_coop" => of("LANES", &[32, 64]),
        "coop_check" => [4, 8].map(|subgroups| vec![("LANES", 64), ("SUBGROUPS", subgroups)]).to_vec(),
        // Runs of 7 or 8; the longest that `softpatch tune` tries.
        "depthwise" => {
            let mut sets = Vec::new();
            for k in [3, 5] {
                for s in [1, 2] {
                    sets.extend([7, 8, 14].map(|tx| vec![("K", k), ("S", s), ("TX", tx)]));
                }
            }
            sets
        }
        // [K4, STEPS] of banks of 112, 152 (EfficientNet-Lite0) and 1024 or more values (WideResNet-50-2).
        "neighbor_search" => [[7, 1], [9, 2], [16, 8]]
            .map(|[k4, steps]| vec![("TILE", 32), ("K4", k4), ("STEPS", steps), ("LANES", 32)])
            .to_vec(),
        "quantile" if flags.contains(&"COUNT") || flags.contains(&"PICK") => of("SHIFT", &[24, 16, 8, 0]),
        "quantile" => vec![vec![]],
        "knn_tiled" => of("K", &[1, 6, 32]),
        "cholesky" => of("WORKGROUP", &[64]),
        "mahalanobis" => vec![vec![("WORKGROUP", 64), ("TM", 1)]],
        _ => return None,
    })
}

/// Every pipeline that a GPU can be asked to run.
pub fn variants() -> Vec<Variant> {
    let mut all = Vec::new();
    for &Shader { name, text, variants } in ALL.iter().filter(|s| !not_for_gpus(s.name)) {
        for &flags in variants.iter().filter(|flags| left_out(name, flags).is_none()) {
            for constants in constants(name, flags).unwrap_or_default() {
                all.push(Variant { shader: name, text, flags, constants });
            }
        }
    }
    all
}
