//! The `headstart` command line: arguments, progress bars, tables and exit codes. What is done is in the library crates.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but images were skipped (`--strict`), 4 interrupted and resumable.

mod commands;
mod progress;
mod table;

use clap::{Parser, Subcommand};
use commands::{
    advise, augment, bench, classify, curve, doctor, evaluate, export, extract, import, inspect, layers, map, models,
    neighbors, predict, scenario, sweep, train, units, weights,
};
use std::{fmt, io::IsTerminal, process::ExitCode};

/// Frozen backbones, features cached once, heads trained in seconds.
///
/// Runs a pretrained network once over a folder of images, writes the activations of any layers to one HDF5 file, and
/// trains shallow heads (logistic regression, SVM) on them.
#[derive(Parser)]
#[command(name = "headstart", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error (twice: everything); RUST_LOG overrides.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

const EXAMPLES: &str = "\
From a folder of class folders to a trained head:
  headstart weights get resnet18
  headstart extract --images photos/ --backbone resnet18 --layers stages -o features/photos.h5
  headstart sweep features/photos.h5 --plot sweep.png
  headstart train features/photos.h5 --layer layer4 --head logistic -o heads/photos.head
  headstart predict heads/photos.head new/*.jpg
  headstart export heads/photos.head -o photos.onnx
The same in one command: headstart scenario 1 photos/ -o out/";

#[derive(Subcommand)]
enum Command {
    Models(models::Args),
    Layers(layers::Args),
    Weights(weights::Args),
    Extract(extract::Args),
    Augment(augment::Args),
    Inspect(inspect::Args),
    Import(import::Args),
    Train(train::Args),
    Evaluate(evaluate::Args),
    Advise(advise::Args),
    Sweep(sweep::Args),
    Curve(curve::Args),
    Neighbors(neighbors::Args),
    Units(units::Args),
    Map(map::Args),
    Predict(predict::Args),
    Export(export::Args),
    Scenario(scenario::Args),
    Classify(classify::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Images were skipped and `--strict` was given.
    Skipped,
    /// Stopped by a signal; the same command continues. Only extractions are.
    #[cfg_attr(not(feature = "torch"), expect(dead_code))]
    Interrupted,
}

/// A mistake in what was typed that the argument parser cannot see; ends with exit code 2.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    // `headstart layers resnet50 | head` should end quietly, as other Unix tools do.
    // SAFETY: no other thread runs yet, and the default action is always valid.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let cli = Cli::parse();
    start_log(cli.verbose);
    let result = match cli.command {
        Command::Models(args) => models::run(&args),
        Command::Layers(args) => layers::run(&args),
        Command::Weights(args) => weights::run(&args),
        Command::Extract(args) => extract::run(&args),
        Command::Augment(args) => augment::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Advise(args) => advise::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Curve(args) => curve::run(&args),
        Command::Neighbors(args) => neighbors::run(&args),
        Command::Units(args) => units::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Scenario(args) => scenario::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Skipped) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => ExitCode::from(4),
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// An error with its causes, without those that it has quoted already: most of our messages end with their cause.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.contains(&cause) {
        _ if text.is_empty() => cause,
        true => text,
        false => format!("{text}: {cause}"),
    })
}

fn start_log(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let default = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Codes for colours are noise in a file or a pipe, and unwelcome where NO_COLOR says so (no-color.org).
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("no such file").context("x.pth: no such file");
        assert_eq!(chain(&error), "x.pth: no such file");
        let error =
            Err::<(), _>(anyhow!("too few rows").context("class 'ant': too few rows")).context("x.h5").unwrap_err();
        assert_eq!(chain(&error), "x.h5: class 'ant': too few rows");
    }
}
