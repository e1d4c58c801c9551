//! Arguments for the settings of a fit, from the library's table of them.

use super::failure::{Failure, Outcome};
use super::sizes::{parse_bytes, short_bytes};
use clap::{Arg, ArgAction, ArgMatches, Command};
use softpatch::detector::{Compat, FitOptions, Geometry, SETTINGS, Setting, Values};
use std::marker::PhantomData;

/// Which settings a subcommand takes, and what it says of them.
pub trait Scope: Clone + Default {
    /// Settings that it decides itself.
    const LEFT_OUT: &'static [&'static str] = &[];
    /// Another name for one: the setting, the name.
    const ALIAS: Option<(&'static str, &'static str)> = None;
    /// Settings whose default is another here.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];
    /// Settings whose text is another here.
    const HELP: &'static [(&'static str, &'static str)] = &[];
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Every;

impl Scope for Every {}

/// Settings that were given, with their values as texts.
#[derive(Clone, Debug, Default)]
pub struct Given<S>(Vec<(&'static Setting, String)>, PhantomData<S>);

impl<S> Given<S> {
    /// Whether the setting of this name was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(setting, _)| setting.name == name)
    }

    /// Sets what was given.
    pub fn apply(&self, fit: &mut FitOptions) -> Outcome {
        let usage = |e: softpatch::Error| Failure::Usage(e.to_string());
        let neighbours = fit.lof_k;
        for (setting, text) in &self.0 {
            setting.set(fit, text).map_err(usage)?;
        }
        // The published program has its own number of neighbours, unless somebody chose one.
        let given = |name: &str| self.has(name);
        if given("compat")
            && fit.compat == Compat::Official
            && !given("lof-k")
            && neighbours == FitOptions::default().lof_k
        {
            fit.lof_k = FitOptions::official().lof_k;
        }
        // What is for one geometry alone asks for it.
        let of = |names: &[&str]| names.iter().any(|name| given(name));
        match (of(&["geometry"]), of(&["resize", "crop"]), of(&["size", "fit-aspect"])) {
            (false, true, false) => fit.geometry = Geometry::Paper,
            (false, false, true) => fit.geometry = Geometry::Whole,
            _ => {}
        }
        // And it looks at the middle square.
        if given("compat") && fit.compat == Compat::Official && !given("geometry") && !given("size") {
            fit.geometry = FitOptions::official().geometry;
        }
        Ok(())
    }
}

/// Of a switch, the argument is the opposite of the default.
fn flag(setting: &Setting) -> String {
    match setting.values {
        Values::Switch if setting.default() == "true" => format!("no-{}", setting.name),
        _ => setting.name.to_owned(),
    }
}

/// The value of a switch whose argument is given.
fn switched(setting: &Setting) -> String {
    (setting.default() != "true").to_string()
}

/// A value as the setting reads it.
fn value(setting: &Setting, text: &str) -> Result<String, String> {
    let text = match setting.values {
        Values::Bytes => parse_bytes(text)?.to_string(),
        _ => text.to_owned(),
    };
    match setting.set(&mut FitOptions::default(), &text) {
        Ok(()) => Ok(text),
        Err(_) => Err(format!("it must be {}", setting.values)),
    }
}

fn help(setting: &Setting, text: &str, default: Option<&str>) -> String {
    let default = default.map_or_else(|| setting.default(), str::to_owned);
    match setting.values {
        Values::Switch => text.to_owned(),
        Values::Share { .. } | Values::Whole { .. } | Values::Rate => {
            format!("{text}, {} [default: {default}]", setting.values)
        }
        Values::Bytes => {
            let default = default.parse().map_or(default, short_bytes);
            format!("{text} [default: {default}]")
        }
        _ => format!("{text} [default: {default}]"),
    }
}

fn argument<S: Scope>(setting: &'static Setting) -> Arg {
    let text = S::HELP.iter().find(|(name, _)| *name == setting.name).map_or(setting.help, |(_, help)| help);
    let default = S::DEFAULTS.iter().find(|(name, _)| *name == setting.name).map(|(_, default)| *default);
    let arg = Arg::new(setting.name).long(flag(setting)).help(help(setting, text, default));
    let arg = match S::ALIAS {
        Some((name, alias)) if name == setting.name => arg.visible_alias(alias),
        _ => arg,
    };
    match setting.values {
        Values::Switch => arg.action(ArgAction::SetTrue),
        // --black -1 is a value, and --tau -1 a wrong one.
        _ => arg
            .value_name(setting.value_name)
            .allow_negative_numbers(true)
            .value_parser(move |text: &str| value(setting, text)),
    }
}

fn all<S: Scope>() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !S::LEFT_OUT.contains(&setting.name))
}

impl<S: Scope> clap::Args for Given<S> {
    fn augment_args(command: Command) -> Command {
        all::<S>().fold(command, |command, setting| command.arg(argument::<S>(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> clap::FromArgMatches for Given<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &'static Setting| match setting.values {
            Values::Switch => matches.get_flag(setting.name).then(|| (setting, switched(setting))),
            _ => matches.get_one::<String>(setting.name).map(|text| (setting, text.clone())),
        };
        Ok(Self(all::<S>().filter_map(given).collect(), PhantomData))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
