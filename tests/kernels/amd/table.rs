//! The variants that a GPU can be asked to run, with the constants that the host sets.

use softpatch::low_level::gpu::Shader;
use softpatch::low_level::shaders;

/// Names and values, as `Shader::source` takes them.
pub type Constants = Vec<(&'static str, u32)>;

/// One pipeline.
#[derive(Clone, Debug)]
pub struct Variant {
    pub shader: &'static Shader,
    pub flags: &'static [&'static str],
    pub constants: Constants,
}

impl Variant {
    /// `file:entry+FLAG CONST=value`, as the library labels its pipelines.
    pub fn label(&self) -> String {
        let flags: String = self.flags.iter().map(|f| format!("+{f}")).collect();
        let constants: String = self.constants.iter().map(|(n, v)| format!(" {n}={v}")).collect();
        format!("{}{flags}{constants}", self.shader.label())
    }

    /// The WGSL that the library would hand to wgpu.
    pub fn source(&self) -> Result<String, String> {
        self.shader.source(&self.constants, self.flags).map_err(|e| e.to_string())
    }

    /// Whether it needs f16 cooperative matrices of 16 x 16 with f32 sums.
    pub fn cooperative(&self) -> bool {
        matches!(self.shader.name, "network/gemm_coop" | "device/probe_coop" | "device/coop_check")
    }
}

/// The kernels that are not for CPU drivers alone.
pub fn for_gpus() -> impl Iterator<Item = &'static Shader> {
    shaders().into_iter().filter(|shader| !shader.name.ends_with("_direct"))
}

/// Why the flags are not for this compiler, where they are not.
pub fn left_out(shader: &Shader, flags: &[&str]) -> Option<&'static str> {
    if flags.contains(&"SOFT") {
        return Some("emulation, for tests on machines without cooperative matrices");
    }
    if flags.contains(&"EIGHT") {
        return Some("no AMD GPU has cooperative matrices of 8 x 8");
    }
    // `broadcast8` in src/steps/mod.rs: these two are written for subgroups of 8 lanes.
    if flags.contains(&"SUBGROUP") && matches!(shader.name, "outlier/cholesky" | "outlier/mahalanobis") {
        return Some("for CPU drivers with subgroups of 8 lanes only");
    }
    None
}

/// The sets of constants that src/steps and src/roofline give `shader` on the `tiled` family: the usual ones,
/// and of a range the ends, which need most registers and least. None where the shader is not in the table.
pub fn constants(shader: &Shader) -> Option<Vec<Constants>> {
    let of = |name: &'static str, values: &[u32]| values.iter().map(|&v| vec![(name, v)]).collect();
    Some(match shader.label().as_str() {
        "coreset/start:first"
        | "coreset/cap:from_means"
        | "coreset/cap:drop_rows"
        | "coreset/cap:apply"
        | "coreset/candidates:histogram"
        | "coreset/candidates:threshold"
        | "coreset/candidates:collect"
        | "coreset/rows:gather"
        | "coreset/rows:append"
        | "coreset/clusters:count"
        | "coreset/clusters:list"
        | "coreset/clusters:offsets"
        | "coreset/clusters:scatter"
        | "coreset/pairs_tiled"
        | "coreset/update_tiled"
        | "coreset/bank_rows"
        | "network/gemm_tiled"
        | "network/pool"
        | "device/probe:arithmetic"
        | "device/probe:copy"
        | "patches/means"
        | "patches/pooling"
        | "patches/upsampling"
        | "input/resize:rows"
        | "input/resize:columns"
        | "map/anomaly_map"
        | "search/lift"
        | "search/boxes_tiled"
        | "search/patch_score"
        | "search/image_mean"
        | "search/image_distance"
        | "outlier/quantile:above"
        | "outlier/quantile:lerp"
        | "outlier/keep:count"
        | "outlier/keep:starts"
        | "outlier/keep:list"
        | "outlier/group:gather"
        | "outlier/group:centre"
        | "outlier/group:shift"
        | "outlier/lof:densities"
        | "outlier/lof:factors"
        | "outlier/nearest"
        | "outlier/floor"
        | "outlier/covariance_tiled" => vec![vec![]],
        // Start samples: 10 unless an option says otherwise, 16 at most.
        "coreset/start:means" => of("ROWS", &[10, 16]),
        "coreset/start:distances" => of("ROWS", &[1]),
        // Candidates per batch / 64.
        "coreset/greedy" => of("PER", &[4, 16, 32]),
        // wgpu gives a range of subgroup sizes or one; 32 and 64 are what there is.
        "network/gemm_coop" | "device/probe_coop" | "device/coop_check" => of("LANES", &[32, 64]),
        // Runs of 7 or 8; the longest that `softpatch tune` tries.
        "network/depthwise" => {
            let mut sets = Vec::new();
            for k in [3, 5] {
                for s in [1, 2] {
                    sets.extend([7, 8, 14].map(|tx| vec![("K", k), ("S", s), ("TX", tx)]));
                }
            }
            sets
        }
        // [K4, STEPS] of banks of 112, 152 (EfficientNet-Lite0) and 1024 or more values (WideResNet-50-2).
        "search/search" => [[7, 1], [9, 2], [16, 8]]
            .map(|[k4, steps]| vec![("TILE", 32), ("K4", k4), ("STEPS", steps), ("LANES", 32)])
            .to_vec(),
        "outlier/quantile:count" | "outlier/quantile:pick" => of("SHIFT", &[24, 16, 8, 0]),
        "outlier/knn_tiled" => of("K", &[1, 6, 32]),
        "outlier/others_tiled" => [1, 6, 32].map(|k| vec![("K", k), ("BOX4", 8)]).to_vec(),
        "outlier/cholesky" => of("WORKGROUP", &[64]),
        "outlier/mahalanobis" => vec![vec![("WORKGROUP", 64), ("TM", 1)]],
        _ => return None,
    })
}

/// Every pipeline that a GPU can be asked to run.
pub fn variants() -> Vec<Variant> {
    let mut all = Vec::new();
    for shader in for_gpus() {
        for &flags in shader.variants.iter().filter(|flags| left_out(shader, flags).is_none()) {
            for constants in constants(shader).unwrap_or_default() {
                all.push(Variant { shader, flags, constants });
            }
        }
    }
    all
}
