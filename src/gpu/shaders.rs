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
    "coreset_start" &[&[], &["MEAN"]],
    "coreset_first" &[&[]],
    "coreset_cap" &[&["START"], &["MASK"], &["CAP"]],
    "coreset_histogram" &[&[]],
    "coreset_threshold" &[&[]],
    "coreset_collect" &[&[]],
    "coreset_gather" &[&[]],
    "coreset_greedy" &[&[]],
    "coreset_append" &[&[]],
    "coreset_count" &[&[]],
    "coreset_active" &[&[]],
    "coreset_offsets" &[&[]],
    "coreset_scatter" &[&[]],
    "coreset_pairs_direct" &[&[], &["CENTRES"], &["SUBGROUP"], &["SUBGROUP", "CENTRES"]],
    "coreset_pairs_tiled" &[&[], &["CENTRES"]],
    "coreset_update_direct" &[&[], &["SUBGROUP"], &["SUBGROUP", "TAIL"]],
    "coreset_update_tiled" &[&[]],
    "gemm_direct" &[
        &[], &["CONV"], &["SUBGROUP"], &["SUBGROUP", "CONV"],
        &["F16"], &["CONV", "F16"], &["SUBGROUP", "F16"], &["SUBGROUP", "CONV", "F16"],
    ],
    "gemm_tiled" &[
        &[], &["CONV"], &["BIG"], &["CONV", "BIG"],
        &["F16"], &["CONV", "F16"], &["BIG", "F16"], &["CONV", "BIG", "F16"],
    ],
    "gemm_coop" &[
        &[], &["CONV"], &["BIG"], &["CONV", "BIG"],
        &["EIGHT"], &["CONV", "EIGHT"], &["BIG", "EIGHT"], &["CONV", "BIG", "EIGHT"],
        &["SOFT"], &["CONV", "SOFT"], &["BIG", "SOFT"], &["CONV", "BIG", "SOFT"],
        &["EIGHT", "SOFT"], &["CONV", "EIGHT", "SOFT"], &["BIG", "EIGHT", "SOFT"], &["CONV", "BIG", "EIGHT", "SOFT"],
    ],
    "probe" &[&[], &["F16"], &["COPY"]],
    "probe_coop" &[&[], &["EIGHT"]],
    "coop_check" &[&[], &["EIGHT"], &["SOFT"], &["EIGHT", "SOFT"]],
    "depthwise" &[&[], &["F16"]],
    "depthwise_direct" &[&[], &["F16"]],
    "pool" &[&[], &["F16"]],
    "patch" &[&[], &["F16"]],
    "pooled" &[&[], &["F16"]],
    "resample" &[&[]],
    "resize_rows" &[&[]],
    "resize_columns" &[&[], &["F16"]],
    "anomaly_map" &[&[]],
    "gather" &[&[]],
    "neighbor_lift" &[&[]],
    "neighbor_boxes_direct" &[&[], &["SUBGROUP"]],
    "neighbor_boxes_tiled" &[&[]],
    "neighbor_search" &[&[], &["SUBGROUP"]],
    "neighbor_search_direct" &[&[]],
    "patch_score" &[&[]],
    "quantile" &[&["COUNT"], &["PICK"], &["ABOVE"], &["LERP"]],
    "keep" &[&[], &["COUNT"], &["SCAN"]],
    "group_gather" &[&[]],
    "group_centre" &[&[]],
    "group_shift" &[&[]],
    "image_mean" &[&[]],
    "image_distance" &[&[]],
    "knn_direct" &[&[], &["SUBGROUP"]],
    "knn_tiled" &[&[]],
    "lof" &[&[], &["DENSITY"]],
    "nearest" &[&[]],
    "covariance_direct" &[&[], &["SUBGROUP"]],
    "covariance_tiled" &[&[]],
    "shared/forward8" &[],
    "cholesky" &[&[], &["SUBGROUP"]],
    "mahalanobis" &[&[], &["SUBGROUP"]],
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
