use crate::Outcome;
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
        let near = scenario.nearest().number();
        let (images, output) = (args.images.display(), args.output.display());
        anyhow::bail!(
            "{scenario}: the rule is to {}, which headstart cannot do yet; frozen features come nearest: `headstart scenario \
             {near} {images} -o {output}` trains on all images, and its score says how much there is left for fine-tuning to win",
            scenario.rule()
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
            sample: 300,
            // Copies are looked for when it is carried out.
            compare: false,
            seed: args.seed,
        },
        &|what, done, all| tracing::debug!("{what}: {done} of {all}"),
    )?;
    let settled = Scenario::settle(&advice.scenarios);
    let open: Vec<String> = advice.scenarios.iter().map(ToString::to_string).collect();
    eprintln!("measured: {} (`headstart advise {} --explain` shows how)", open.join(" or "), args.images.display());
    if !advice.scenarios.contains(&settled) {
        eprintln!(
            "the rule for it needs fine-tuning, which headstart cannot do yet; scenario {} comes nearest",
            settled.number()
        );
    }
    Ok(settled)
}
