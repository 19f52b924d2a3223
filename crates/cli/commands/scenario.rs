use crate::Outcome;
#[cfg(any(feature = "torch", test))]
use std::ffi::OsString;
use std::path::PathBuf;

/// From a folder of images to a trained head and its report, by the recipe of a transfer-learning scenario
#[derive(clap::Args)]
#[command(mut_arg("backbone", |arg| arg.required(false).default_value("resnet18")), after_help = "\
The scenarios, and what is done:
  1  few images, similar to those the backbone was trained on: logistic regression on the last stage
  3  few images, very different: an SVM on the stage that cross-validation on the training rows prefers
  2, 4  many images: fine-tuning, which is not built yet; the command says what works today
  auto  what `headstart advise` makes of the images decides; where that leaves it open, 3, which compares all stages

DIR is what `extract --images` takes: class folders, train/ and test/ of such, or a CSV. OUT holds features.h5, model.head,
report/, sweep/ (scenario 3) and commands.sh, which does the same step by step. An interrupted run goes on where it was.

Examples:
  headstart scenario auto photos/ -o out/photos
  headstart scenario 3 cells.csv --backbone mobilenet_v2 -o out/cells
  headstart predict out/cells/model.head new/*.png")]
pub struct Args {
    /// 1, 2, 3, 4 or auto.
    #[arg(value_name = "1|2|3|4|auto")]
    scenario: String,
    /// Folder or CSV of images.
    #[arg(value_name = "DIR")]
    images: PathBuf,
    #[command(flatten)]
    backbone: super::BackboneArgs,
    /// Folder for everything that is made.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    device: super::DeviceArgs,
    /// Folds of the cross-validation.
    #[arg(long = "cv", value_name = "K", default_value_t = 5, value_parser = super::at_least_two)]
    cv_folds: usize,
    /// Seed of the folds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "torch"))]
pub fn run(_: &Args) -> anyhow::Result<Outcome> {
    Err(super::needs_torch("scenario"))
}

#[cfg(feature = "torch")]
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    use crate::{progress::Bar, table};
    use headstart_extractor::{pipeline::ExtractOptions, zoo};
    use headstart_scenarios::scenario::{Files, ScenarioOptions, Stage, run};
    use headstart_trainer::Memory;

    let scenario = if args.scenario == "auto" { measured(args)? } else { super::parse(&args.scenario)? };
    let graph = zoo::find(&args.backbone.backbone)?.graph();
    let Some(recipe) = scenario.recipe(&graph) else {
        anyhow::bail!(
            "{scenario}: the rule is to {}, which headstart cannot do yet; frozen features come nearest: `{}` trains on all images, \
             and its score says how much there is left for fine-tuning to win",
            scenario.rule(),
            same_for(args, &scenario.nearest().number().to_string())
        );
    };
    let files = Files::within(&args.output);
    let options = ScenarioOptions {
        scenario,
        extract: ExtractOptions {
            images: args.images.clone(),
            backbone: args.backbone.backbone.clone(),
            weights: args.backbone.weights()?,
            layers: super::parse_all(&recipe.layers)?,
            output: files.cache.clone(),
            device: args.device.device()?,
            also_on: Vec::new(),
            precision: args.device.precision_choice()?,
            store: None,
            batch: None,
            limit: None,
            size: args.backbone.size,
            resize: args.backbone.resize()?,
            augment: None,
            fail_on_bad_image: false,
            retry_failed: false,
            fast_decode: false,
        },
        recipe,
        files,
        folds: args.cv_folds,
        seed: args.seed,
        memory: Memory::of_this_machine(),
        command: std::env::args_os().collect(),
    };
    if !args.json {
        println!("{scenario}: {}", scenario.rule());
    }
    let (bar, stop) = (Bar::default(), super::stop_on_signals()?);
    let told = |stage: Stage| match stage {
        Stage::Comparing(layer, done, total) => tracing::info!("comparing layers: {layer}, {done} of {total} done"),
        Stage::Training => tracing::info!("training"),
    };
    let summary = run(&options, &bar, &told, &stop);
    bar.finish();
    let summary = summary?;
    for group in &summary.leaks {
        eprintln!(
            "warning: {} show the same, and some of them are trained on: scores on the others are too good",
            group.join(", ")
        );
    }
    let Some(trained) = &summary.trained else {
        eprintln!("interrupted after {} images; the same command continues", summary.extraction.computed);
        return Ok(Outcome::Interrupted);
    };
    if args.json {
        table::print_json(&summary)?;
        return Ok(Outcome::Done);
    }
    if let Some(sweep) = &summary.sweep {
        super::sweep::print(sweep, false);
        println!();
    }
    super::train::print(trained);
    let files = &summary.files;
    if summary.sweep.is_some() {
        println!("wrote the comparison of layers {}", files.sweep.join("index.html").display());
    }
    println!("the same by hand: {}", files.commands.display());
    println!("next: headstart predict {} IMAGE…", files.head.display());
    Ok(Outcome::Done)
}

/// The command for another scenario: everything else as it was given.
#[cfg(any(feature = "torch", test))]
fn same_for(args: &Args, scenario: &str) -> String {
    let mut words: Vec<OsString> = ["headstart", "scenario", scenario].map(OsString::from).into();
    words.push(args.images.clone().into());
    words.extend(backbone(args));
    let size = args.backbone.size.map(|size| size.to_string());
    let (folds, seed) = (args.cv_folds.to_string(), args.seed.to_string());
    let options = [
        ("--size", size.as_deref()),
        ("--resize", args.backbone.resize_text.as_deref()),
        ("--device", Some(&args.device.device_text[..]).filter(|device| *device != "auto")),
        ("--dtype", Some(&args.device.precision_text[..]).filter(|precision| *precision != "f32")),
        ("--cv", Some(&folds[..]).filter(|_| args.cv_folds != 5)),
        ("--seed", Some(&seed[..]).filter(|_| args.seed != 0)),
    ];
    for (option, value) in options {
        words.extend(value.into_iter().flat_map(|value| [option.into(), value.into()]));
    }
    words.extend(["-o".into(), args.output.clone().into()]);
    words.extend(args.json.then(|| "--json".into()));
    headstart_scenarios::report::quoted(&words)
}

/// The command that shows how `auto` measured.
#[cfg(any(feature = "torch", test))]
fn explained(args: &Args) -> String {
    let mut words: Vec<OsString> = ["headstart", "advise"].map(OsString::from).into();
    words.push(args.images.clone().into());
    words.extend(backbone(args));
    if args.device.device_text != "auto" {
        words.extend(["--device".into(), (&args.device.device_text).into()]);
    }
    words.extend((args.seed != 0).then(|| ["--seed".into(), args.seed.to_string().into()]).into_iter().flatten());
    words.push("--explain".into());
    headstart_scenarios::report::quoted(&words)
}

/// Backbone and weights as options, unless it is the one that both commands take by themselves.
#[cfg(any(feature = "torch", test))]
fn backbone(args: &Args) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if args.backbone.backbone != "resnet18" {
        words.extend(["--backbone".into(), (&args.backbone.backbone).into()]);
    }
    words.extend(args.backbone.weights_text.iter().flat_map(|weights| ["--weights".into(), weights.into()]));
    words
}

/// The scenario that the images are in, by measurement.
#[cfg(feature = "torch")]
fn measured(args: &Args) -> anyhow::Result<headstart_scenarios::scenario::Scenario> {
    use headstart_scenarios::advise::{AdviseOptions, advise};
    use headstart_scenarios::scenario::Scenario;

    let weights = args.backbone.weights_text.as_deref().map(super::parse).transpose()?;
    let advice = advise(
        &AdviseOptions {
            target: args.images.clone(),
            images: None,
            backbone: args.backbone.backbone.clone(),
            weights,
            device: args.device.device()?,
            sample: 300,
            // Copies are looked for when it is carried out.
            compare: false,
            seed: args.seed,
        },
        &|what, done, all| tracing::debug!("{what}: {done} of {all}"),
    )?;
    let settled = Scenario::settle(&advice.scenarios);
    let open: Vec<String> = advice.scenarios.iter().map(ToString::to_string).collect();
    eprintln!("measured: {} (`{}` shows how)", open.join(" or "), explained(args));
    if !advice.scenarios.contains(&settled) {
        eprintln!(
            "the rule for it needs fine-tuning, which headstart cannot do yet; scenario {} comes nearest",
            settled.number()
        );
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn parsed(words: &[&str]) -> Args {
        match crate::Cli::try_parse_from(words).unwrap().command {
            crate::Command::Scenario(args) => args,
            _ => panic!("another command"),
        }
    }

    #[test]
    fn suggested_commands_keep_what_was_given() {
        let plain = parsed(&["headstart", "scenario", "2", "photos", "-o", "out"]);
        assert_eq!(same_for(&plain, "3"), "headstart scenario 3 photos -o out");
        assert_eq!(explained(&plain), "headstart advise photos --explain");
        let words = ["headstart", "scenario", "2", "my photos", "--backbone", "mobilenet_v2", "--weights", "it's.pth"];
        let more = ["--size", "96", "--resize", "squash", "--device", "cpu", "--dtype", "bf16", "--cv", "3"];
        let all = parsed(&[&words[..], &more[..], &["--seed", "2", "-o", "my out", "--json"]].concat());
        let suggested = same_for(&all, "3");
        assert!(suggested.starts_with("headstart scenario 3 'my photos' --backbone mobilenet_v2 "), "{suggested}");
        assert!(
            suggested
                .contains("--size 96 --resize squash --device cpu --dtype bf16 --cv 3 --seed 2 -o 'my out' --json")
        );
        assert!(
            suggested.contains(r"--weights 'it'\''s.pth'") && explained(&all).contains("'my photos'"),
            "{suggested}"
        );
        assert!(explained(&all).ends_with("--device cpu --seed 2 --explain"), "{}", explained(&all));
    }
}
