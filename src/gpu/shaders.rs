//! The shader files, compiled into the library.

pub use super::kernel::preprocess;

/// One shader file and the flag combinations that the host asks for.
#[derive(Clone, Copy, Debug)]
pub struct Shader {
    /// File name without its ending; shared helpers are `shared/NAME`.
    pub name: &'static str,
    /// The text as written.
    pub text: &'static str,
    /// Every combination of flags that some host code uses.
    pub variants: &'static [&'static [&'static str]],
}

macro_rules! shaders {
    ($($name:literal $variants:expr,)*) => {
        /// Every shader of the crate.
        pub const ALL: &[Shader] = &[$(Shader {
            name: $name,
            text: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            variants: $variants,
        },)*];
    };
}

shaders! {
    "shared/stored" &[],
    "shared/gemm_params" &[],
    "shared/conv_rows" &[],
    "shared/fragments" &[],
    "shared/score_key" &[],
    "shared/coreset" &[],
    "coreset/start" &[&[], &["MEAN"]],
    "coreset/first" &[&[]],
    "coreset/cap" &[&["START"], &["MASK"], &["CAP"]],
    "coreset/histogram" &[&[]],
    "coreset/threshold" &[&[]],
    "coreset/collect" &[&[]],
    "coreset/gather" &[&[]],
    "coreset/greedy" &[&[]],
    "coreset/append" &[&[]],
    "coreset/count" &[&[]],
    "coreset/active" &[&[]],
    "coreset/offsets" &[&[]],
    "coreset/scatter" &[&[]],
    "coreset/pairs_direct" &[&[], &["CENTRES"], &["SUBGROUP"], &["SUBGROUP", "CENTRES"]],
    "coreset/pairs_tiled" &[&[], &["CENTRES"]],
    "coreset/update_direct" &[&[], &["SUBGROUP"], &["SUBGROUP", "TAIL"]],
    "coreset/update_tiled" &[&[]],
    "network/gemm_direct" &[
        &[], &["CONV"], &["SUBGROUP"], &["SUBGROUP", "CONV"],
        &["F16"], &["CONV", "F16"], &["SUBGROUP", "F16"], &["SUBGROUP", "CONV", "F16"],
    ],
    "network/gemm_tiled" &[
        &[], &["CONV"], &["BIG"], &["CONV", "BIG"],
        &["F16"], &["CONV", "F16"], &["BIG", "F16"], &["CONV", "BIG", "F16"],
    ],
    "network/gemm_coop" &[
        &[], &["CONV"], &["BIG"], &["CONV", "BIG"],
        &["EIGHT"], &["CONV", "EIGHT"], &["BIG", "EIGHT"], &["CONV", "BIG", "EIGHT"],
        &["SOFT"], &["CONV", "SOFT"], &["BIG", "SOFT"], &["CONV", "BIG", "SOFT"],
        &["EIGHT", "SOFT"], &["CONV", "EIGHT", "SOFT"], &["BIG", "EIGHT", "SOFT"], &["CONV", "BIG", "EIGHT", "SOFT"],
    ],
    "device/probe" &[&[], &["F16"], &["COPY"]],
    "device/probe_coop" &[&[], &["EIGHT"]],
    "device/coop_check" &[&[], &["EIGHT"], &["SOFT"], &["EIGHT", "SOFT"]],
    "network/depthwise" &[&[], &["F16"]],
    "network/depthwise_direct" &[&[], &["F16"]],
    "network/pool" &[&[], &["F16"]],
    "patches/means" &[&[], &["F16"]],
    "patches/pooling" &[&[], &["F16"]],
    "patches/upsampling" &[&[]],
    "input/resize_rows" &[&[]],
    "input/resize_columns" &[&[], &["F16"]],
    "map/anomaly_map" &[&[]],
    "coreset/bank_rows" &[&[]],
    "search/lift" &[&[]],
    "search/boxes_direct" &[&[], &["SUBGROUP"]],
    "search/boxes_tiled" &[&[]],
    "search/search" &[&[], &["SUBGROUP"]],
    "search/search_direct" &[&[]],
    "search/patch_score" &[&[]],
    "outlier/quantile" &[&["COUNT"], &["PICK"], &["ABOVE"], &["LERP"]],
    "outlier/keep" &[&[], &["COUNT"], &["SCAN"]],
    "outlier/group_gather" &[&[]],
    "outlier/group_centre" &[&[]],
    "outlier/group_shift" &[&[]],
    "search/image_mean" &[&[]],
    "search/image_distance" &[&[]],
    "outlier/knn_direct" &[&[], &["SUBGROUP"]],
    "outlier/knn_tiled" &[&[]],
    "outlier/lof" &[&[], &["DENSITY"]],
    "outlier/nearest" &[&[]],
    "outlier/covariance_direct" &[&[], &["SUBGROUP"]],
    "outlier/covariance_tiled" &[&[]],
    "shared/forward8" &[],
    "outlier/cholesky" &[&[], &["SUBGROUP"]],
    "outlier/mahalanobis" &[&[], &["SUBGROUP"]],
}

/// The text of shader `name`.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|s| s.name == name).map(|s| s.text)
}

/// Whether the text of shader `name`, includes and all, asks for `flag`.
pub fn has_flag(name: &str, flag: &str) -> bool {
    let asks = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("//#if ").is_some_and(|f| f.trim().trim_start_matches('!') == flag)
            || line
                .strip_prefix("//#include ")
                .is_some_and(|file| has_flag(file.trim().trim_end_matches(".wgsl"), flag))
    };
    text(name).is_some_and(|text| text.lines().any(asks))
}
