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
mod plan;
mod profile;
mod roofline;
mod score;
mod synth;
mod tune;
mod verify;

use clap::{Parser, Subcommand};
use common::{log, threads};
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
    /// How standard error is written: lines for people, or one JSON object a line, with the stages of the
    /// work and their seconds.
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log: log::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Args),
    Plan(plan::Args),
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
    threads::for_software_driver();
    let cli = Cli::try_parse().unwrap_or_else(|wrong| misused(&wrong));
    log::init(cli.log, cli.quiet, cli.verbose);
    let quiet = cli.quiet;
    let outcome = match cli.command {
        Command::Audit(args) => audit::run(args, quiet),
        Command::Fit(args) => fit::run(args, quiet),
        Command::Plan(args) => plan::run(args, quiet),
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

/// Ends a program whose command line is wrong, or asks for help.
fn misused(wrong: &clap::Error) -> ! {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let json = words.windows(2).any(|w| w[0] == "--log" && w[1] == "json")
        || words.iter().any(|w| w == "--log=json");
    if !(json && wrong.use_stderr()) {
        wrong.exit();
    }
    log::init(log::Format::Json, false, 0);
    log::error(wrong.to_string().trim_start_matches("error: ").trim_end());
    std::process::exit(wrong.exit_code());
}
