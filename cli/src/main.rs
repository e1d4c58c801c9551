//! The command-line program: a thin skin over the library's public API.

mod audit;
mod bench;
mod calibrate;
mod common;
mod data;
mod demo;
mod devices;
mod doctor;
mod eval;
mod explain;
mod fit;
mod model;
mod profile;
mod roofline;
mod score;
mod synth;
mod tune;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Learns what normal parts look like from a folder of images, a few of which may be defective, then finds
/// the images that look wrong and shows where.
#[derive(Debug, Parser)]
#[command(
    name = "softpatch",
    version,
    about,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but for images that cannot be used, 130 \
                  stopped by ctrl-c."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error; twice for every step.
    #[arg(short, long, global = true, help_heading = "Global options", action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing on standard error but errors.
    #[arg(short, long, global = true, help_heading = "Global options", conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Args),
    Audit(audit::Args),
    Score(score::Args),
    Verify(verify::Args),
    Model(model::Args),
    Eval(eval::Args),
    Calibrate(calibrate::Args),
    Explain(explain::Args),
    Data(data::Args),
    Synth(synth::Args),
    Devices(devices::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Profile(profile::Args),
    Roofline(roofline::Args),
    Tune(tune::Args),
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (false, 0) => "softpatch=warn,error",
        (false, 1) => "softpatch=info,warn",
        (false, _) => "softpatch=trace,info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SOFTPATCH_LOG").unwrap_or_else(|_| level.into()),
        )
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let quiet = cli.quiet;
    let outcome = match cli.command {
        Command::Audit(args) => audit::run(args, quiet),
        Command::Fit(args) => fit::run(args, quiet),
        Command::Score(args) => score::run(&args, quiet),
        Command::Verify(args) => verify::run(&args),
        Command::Model(args) => model::run(args, quiet),
        Command::Eval(args) => eval::run(&args, quiet),
        Command::Calibrate(args) => calibrate::run(&args, quiet),
        Command::Explain(args) => explain::run(&args, quiet),
        Command::Data(args) => data::run(&args),
        Command::Synth(args) => synth::run(args, quiet),
        Command::Devices(args) => devices::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args, quiet),
        Command::Profile(args) => profile::run(args, quiet),
        Command::Roofline(args) => roofline::run(&args, quiet),
        Command::Tune(args) => tune::run(&args),
        Command::Demo(args) => demo::run(&args, quiet),
    };
    common::failure::exit(outcome)
}
