//! How the head was made: where the seconds went, and where everything comes from.

use super::{
    blocks,
    content::Content,
    html::{chosen, escape, name, short},
};
use headstart_cache::{Preprocessing, Resize};
use headstart_trainer::{ClassWeight, Scheme};

/// Seconds of each part, with bars.
pub fn seconds(content: &Content) -> String {
    let seconds = &content.outcome.seconds;
    let parts = [
        ("Reading the vectors", content.read_seconds),
        ("Folds and reduction", seconds.reduction),
        ("Fits of the grid", seconds.grid),
        ("Final fit", seconds.refit),
        ("Nested cross-validation", content.outcome.nested.as_ref().map_or(0.0, |nested| nested.seconds)),
    ];
    let parts = if content.outcome.nested.is_some() { &parts[..] } else { &parts[..4] };
    let total: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    let rows: String = parts
        .iter()
        .map(|(part, seconds)| {
            let share = 100.0 * seconds / total.max(f64::MIN_POSITIVE);
            format!(
                r#"<tr><th scope="row">{part}</th><td>{seconds:.2}</td><td class="share"><div class="length" style="width:{share:.1}%"></div></td></tr>"#
            )
        })
        .collect();
    format!(
        r#"<table class="seconds"><thead><tr><th scope="col">part</th><th scope="col">seconds</th><th scope="col" class="share">share</th></tr></thead><tbody>{rows}<tr class="total"><th scope="row">Together</th><td>{total:.2}</td><td></td></tr></tbody></table>"#
    )
}

/// Backbone, weights, layer and everything else that decides the numbers.
pub fn provenance(content: &Content) -> String {
    let (from, training) = (content.provenance, &content.outcome.training);
    let imported = content.is_imported();
    let choice = content.tuned.symbol().map_or("Scored by".into(), |symbol| format!("{symbol} chosen by"));
    let listed = if imported { "Imported from" } else { "Images listed from" };
    let loss = training.loss.map_or(String::new(), |loss| format!(" with {} loss", loss.name()));
    let mut facts: Vec<(&str, String)> = vec![
        ("Backbone", name(&from.backbone)),
        ("Weights", name(&from.weights.source)),
        ("sha256 of the weights", format!("<code>{}</code>", escape(&from.weights.sha256))),
        ("Layer", format!("{}, {} features", name(content.layer), content.width)),
        ("Pool", name(content.pool)),
        ("Preprocessing", from.preprocessing.as_ref().map_or_else(|| "–".into(), preprocessing)),
        ("Decoder", from.decoder.as_deref().map_or_else(|| "–".into(), escape)),
        ("Compute dtype", escape(&from.compute_dtype)),
        (
            "Augmentation",
            format!("{}, {} per image", escape(&from.augmentation.recipe), views(from.augmentation.views)),
        ),
        (listed, from.images.as_deref().map_or_else(|| "–".into(), name)),
        ("Cache", name(&content.cache)),
        ("Head file", name(&content.head)),
        ("Head", head(content, &loss)),
        ("Rows normalised", if content.normalize.is_none() { "no" } else { "to unit Euclidean length" }.into()),
        ("Standardised", if training.standardize { "yes" } else { "no" }.into()),
        ("Class weight", if training.class_weight == ClassWeight::Balanced { "balanced" } else { "none" }.into()),
        ("Bias", training.bias.name().into()),
        ("Tolerance", short(training.tolerance)),
        ("Training images", format!("{} of {} classes", training.images, training.class_counts.len())),
        ("Training rows", format!("{}, with their views", training.n)),
        (&choice, chosen_by(content)),
        ("Seed of the folds", training.seed.to_string()),
        ("headstart", format!("{}; cache written by {}", content.tool_version, escape(&from.tool_version))),
    ];
    if training.n == training.images {
        facts.retain(|(fact, _)| *fact != "Training rows");
    }
    if imported {
        facts.retain(|(_, value)| value != "–");
    }
    blocks::facts(&facts)
}

fn head(content: &Content, loss: &str) -> String {
    let tuned = chosen(content.tuned).map_or_else(String::new, |chosen| format!(", {chosen}"));
    let metric = content.metric.map_or_else(String::new, |metric| format!(", {} distance", metric.name()));
    format!("{}{loss} by {}{tuned}{metric}", content.kind, escape(&content.outcome.training.engine))
}

/// How many views each image has.
pub fn views(views: u32) -> String {
    if views == 1 { "one view".into() } else { format!("{views} views") }
}

/// What is done to images before the network sees them.
pub fn preprocessing(input: &Preprocessing) -> String {
    let Preprocessing { size, shorter_side, channels, mean, std, .. } = input;
    let geometry = match input.resize {
        Resize::Crop => format!("shorter side to {shorter_side}, centre {size} × {size}"),
        Resize::Squash => format!("squashed to {size} × {size}"),
    };
    let colours = if *channels == 1 { "grey" } else { "RGB" };
    let numbers = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{geometry}, {colours}, mean {}, std {}", numbers(mean), numbers(std))
}

fn chosen_by(content: &Content) -> String {
    let training = &content.outcome.training;
    match (training.scheme, content.chosen_on) {
        (Scheme::KFold, _) if training.repeats == 1 => {
            format!("stratified cross-validation, {} folds", training.folds)
        }
        (Scheme::KFold, _) => {
            format!("stratified cross-validation, {} folds, {} times", training.folds, training.repeats)
        }
        (Scheme::Holdout, Some(split)) => format!("split {}", name(split)),
        (Scheme::Holdout, None) => "a fixed split".into(),
        (Scheme::None, _) => "hand".into(),
    }
}

/// The command, ready to be copied.
pub fn command(content: &Content) -> String {
    blocks::command(&content.command, content.working_folder.as_deref())
}
