//! `softpatch devices`.

use crate::common::device::DeviceArgs;
use crate::common::failure::{Failure, Outcome};
use crate::common::output::{print, print_json};
use crate::common::sizes::human_bytes;
use serde_json::json;
use softpatch::Error;
use softpatch::low_level::gpu::{AdapterSummary, Caps, adapters};

/// List the adapters that can run the kernels, their limits, and which kernel variants they get.
#[derive(Debug, clap::Args)]
#[command(after_help = "The first adapter is the one that is used without --device. \
         SOFTPATCH_DISABLE=f16,int64,texels,subgroup,coop,unchecked turns features off, for comparison.")]
pub struct Args {
    /// One JSON array instead of text.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Outcome {
    let all = adapters();
    if all.is_empty() {
        // Says what to install.
        DeviceArgs::default().open()?;
    }
    let mut list = Vec::new();
    let mut text = String::new();
    for adapter in &all {
        // One that does not open is listed with the reason.
        let device = DeviceArgs { device: Some(adapter.index.to_string()), ..DeviceArgs::default() };
        let caps = match device.open() {
            Ok(device) => Ok(device.caps().clone()),
            Err(Failure::Failed(e)) => Err(e),
            Err(other) => return Err(other),
        };
        text.push_str(&describe(adapter, &caps));
        list.push(as_json(adapter, &caps));
    }
    if args.json { print_json(&list) } else { print(&text) }
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn describe(a: &AdapterSummary, caps: &Result<Caps, Error>) -> String {
    let mut text =
        format!("{}: {} ({}, {})\n   driver     {}\n", a.index, a.name, a.kind, a.backend, a.driver);
    let mut line = |key: &str, value: String| text.push_str(&format!("   {key:<11}{value}\n"));
    match caps {
        Err(e) => line("unusable", e.to_string()),
        Ok(c) => {
            line(
                "kernels",
                format!("{}, {}", c.archetype, if c.unchecked { "unchecked" } else { "with bounds checks" }),
            );
            line("f16", yes(c.f16).into());
            line("int64", yes(c.int64).into());
            line("texels", yes(c.texels > 0).into());
            line("subgroups", c.subgroup.map_or("no".into(), |(low, high)| format!("{low} to {high} lanes")));
            line(
                "coop",
                c.coop.map_or("no (cooperative matrices)".into(), |coop| {
                    format!("{0}x{0} of f16, sums in f32, subgroups of {1}", coop.side, coop.lanes)
                }),
            );
            line("timestamps", yes(c.timestamps).into());
            line(
                "limits",
                format!(
                    "{} a binding, {} of workgroup memory, {} invocations a workgroup, {} workgroups a \
                     dimension",
                    human_bytes(c.max_binding),
                    human_bytes(c.max_workgroup_memory.into()),
                    c.max_invocations,
                    c.max_groups
                ),
            );
        }
    }
    text
}

/// An adapter with what it offers, or why it does not open.
pub fn as_json(a: &AdapterSummary, caps: &Result<Caps, Error>) -> serde_json::Value {
    let caps = match caps {
        Err(e) => json!({ "error": e.to_string() }),
        Ok(caps) => caps_json(caps),
    };
    json!({
        "index": a.index,
        "name": a.name,
        "kind": a.kind,
        "backend": a.backend,
        "driver": a.driver,
        "caps": caps,
    })
}

/// What a device offers, and which kernels it gets.
pub fn caps_json(c: &Caps) -> serde_json::Value {
    json!({
        "archetype": c.archetype.to_string(),
        "f16": c.f16,
        "int64": c.int64,
        "texels": c.texels,
        "subgroup": c.subgroup.map(|(low, high)| [low, high]),
        "coop": c.coop.map(|coop| json!({ "side": coop.side, "lanes": coop.lanes })),
        "unchecked": c.unchecked,
        "timestamps": c.timestamps,
        "max_binding": c.max_binding,
        "max_workgroup_memory": c.max_workgroup_memory,
        "max_invocations": c.max_invocations,
        "max_groups": c.max_groups,
        "alignment": c.alignment,
    })
}
