//! Kernels as steps declare them, and their text made ready for a device.
//!
//! The preprocessor knows four lines: `//#include shared/NAME.wgsl`, `//#if FLAG` (or `//#if !FLAG`),
//! `//#else`, `//#endif`; and it replaces the value of `const NAME: u32 = ...;` lines that the host names.

use crate::{Error, Result};

/// A kernel: a WGSL file, an entry point of it, and the flag combinations that the host asks for.
#[derive(Debug)]
pub struct Shader {
    /// Path under `shaders/` without its ending.
    pub name: &'static str,
    /// Entry point.
    pub entry: &'static str,
    /// The file as written.
    pub text: &'static str,
    /// What it may include: names and texts.
    pub shared: &'static [(&'static str, &'static str)],
    /// Every combination of flags that some host code uses.
    pub variants: &'static [&'static [&'static str]],
}

/// Declares a kernel: the file's path under `shaders/` without its ending, then as far as they are needed the
/// entry point (`main`), the files of `shaders/shared/` that it includes (none), and the combinations of
/// flags (none set).
macro_rules! shader {
    (
        $name:literal
        $(, entry: $entry:literal)?
        $(, shared: [$($shared:literal),+])?
        $(, variants: [$([$($flag:literal),*]),+])?
    ) => {
        $crate::gpu::Shader {
            name: $name,
            entry: $crate::gpu::shader!(@or $($entry)?, "main"),
            text: $crate::gpu::shader!(@text $name),
            shared: &[$($(($shared, $crate::gpu::shader!(@text "shared/" $shared))),+)?],
            variants: $crate::gpu::shader!(@or $(&[$(&[$($flag),*]),+])?, &[&[]]),
        }
    };
    (@or , $default:expr) => { $default };
    (@or $given:expr, $default:expr) => { $given };
    (@text $($part:literal)+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $($part,)+ ".wgsl"))
    };
}
pub(crate) use shader;

impl Shader {
    /// File, and entry point where that is not `main`: `outlier/quantile:pick`.
    pub fn label(&self) -> String {
        match self.entry {
            "main" => self.name.to_owned(),
            entry => format!("{}:{entry}", self.name),
        }
    }

    /// Whether the text, includes and all, asks for `flag`.
    pub fn asks_for(&self, flag: &str) -> bool {
        let mut lines = self.text.lines().chain(self.shared.iter().flat_map(|(_, text)| text.lines()));
        lines.any(|line| {
            let asked = line.trim_start().strip_prefix("//#if ");
            asked.is_some_and(|f| f.trim().trim_start_matches('!') == flag)
        })
    }

    /// The text with includes and conditions expanded and constants set.
    ///
    /// # Errors
    /// [`Error::Device`] where a line of the preprocessor is malformed, or a constant does not exist in the
    /// text.
    pub fn source(&self, constants: &[(&str, u32)], flags: &[&str]) -> Result<String> {
        let fail = |line: &str, why: &str| Error::Device(format!("shader {}: {why}: {line}", self.name));
        let mut out = String::with_capacity(self.text.len() * 2);
        let mut used = vec![false; constants.len()];
        // One entry per nested `#if`: whether its current branch is taken.
        let mut taken: Vec<bool> = Vec::new();
        let expanded = self.with_includes()?;
        for line in expanded.lines() {
            if let Some(directive) = line.trim_start().strip_prefix("//#") {
                let mut words = directive.split_whitespace();
                match (words.next(), words.next()) {
                    (Some("if"), Some(flag)) => taken.push(match flag.strip_prefix('!') {
                        Some(flag) => !flags.contains(&flag),
                        None => flags.contains(&flag),
                    }),
                    (Some("else"), None) => match taken.last_mut() {
                        Some(t) => *t = !*t,
                        None => return Err(fail(line, "#else without #if")),
                    },
                    (Some("endif"), None) => {
                        taken.pop().ok_or_else(|| fail(line, "#endif without #if"))?;
                    }
                    _ => return Err(fail(line, "unknown directive")),
                }
                continue;
            }
            if taken.iter().any(|t| !t) {
                continue;
            }
            let constant = line.strip_prefix("const ").and_then(|l| l.split_once(": u32 = "));
            match constant.and_then(|(c, _)| constants.iter().position(|(n, _)| *n == c)) {
                Some(i) => {
                    used[i] = true;
                    out.push_str(&format!("const {}: u32 = {}u;", constants[i].0, constants[i].1));
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        if !taken.is_empty() {
            return Err(fail("", "#if without #endif"));
        }
        if let Some(i) = used.iter().position(|u| !u) {
            return Err(fail(constants[i].0, "no such constant"));
        }
        Ok(out)
    }

    fn with_includes(&self) -> Result<String> {
        let mut out = String::with_capacity(self.text.len());
        for line in self.text.lines() {
            match line.trim_start().strip_prefix("//#include ") {
                Some(file) => {
                    let name = file.trim().trim_start_matches("shared/").trim_end_matches(".wgsl");
                    let (_, text) = self.shared.iter().find(|(of, _)| *of == name).ok_or_else(|| {
                        Error::Device(format!("shader {}: {file} is not declared as shared", self.name))
                    })?;
                    out.push_str(text);
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        Ok(out)
    }
}
