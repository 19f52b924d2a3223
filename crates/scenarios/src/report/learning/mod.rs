//! The report of learning curves.

mod picture;
mod stubborn;

use super::{
    ReportError,
    blocks::{self, card, table},
    command::quoted,
    document::{Document, section},
    html::{capital, count, escape, name, percent, short},
    training, write_page,
};
use crate::curve::{Curves, Line, Point, TestRows, Uncertain, Verdict, WORTH};
use headstart_trainer::Tuned;
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use stubborn::TestImage;

/// Everything the page says, and what `metrics.json` is made of.
#[derive(Serialize)]
struct Content<'a> {
    /// Version of headstart.
    tool_version: &'static str,
    /// The command line as it can be pasted into a shell.
    command: String,
    /// Where it was run, as far as that is known.
    working_folder: Option<String>,
    #[serde(flatten)]
    curves: &'a Curves,
    /// In which share of the draws each test image was wrong.
    test: Vec<TestImage<'a>>,
}

/// Writes `index.html` and `metrics.json` into a folder, which is made if need be, and gives the path of the page.
///
/// # Errors
/// When the folder or a file cannot be written. Images that cannot be read are no error: the page says so.
pub fn write_curves(curves: &Curves, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
    let content = Content {
        tool_version: env!("CARGO_PKG_VERSION"),
        command: quoted(command),
        working_folder: std::env::current_dir().ok().map(|folder| folder.display().to_string()),
        curves,
        test: stubborn::of_all(curves),
    };
    write_page(folder, &content, &page(&content))
}

fn page(content: &Content) -> String {
    let curves = content.curves;
    let mut backbones: Vec<&str> = curves.lines.iter().map(|line| &line.backbone[..]).collect();
    backbones.dedup();
    let warnings = warnings(curves);
    let sections = [
        ("Accuracy against training images", format!("{}{warnings}", picture::all(curves))),
        ("Would more images help?", outlook(curves)),
        ("Each curve", picture::each(curves)),
        ("All numbers", numbers(curves)),
        ("Do test images stay wrong?", stubborn::section(curves)),
        ("How it was measured", facts(curves)),
        ("The command", blocks::command(&content.command, content.working_folder.as_deref())),
    ];
    let lead = format!(
        "{} · {} classes · {} training images · {}, {}",
        count(curves.lines.len(), "curve", "curves"),
        curves.classes.len(),
        curves.images,
        count(curves.test_images, "test image", "test images"),
        match &curves.test_rows {
            TestRows::Split(split) => format!("split {}", escape(split)),
            TestRows::HeldOut(_) => "held out".into(),
        }
    );
    let main: String = sections.iter().map(|(title, body)| section(title, body)).collect();
    let about = backbones.join(", ");
    Document { title: "Learning curves", about: &about, lead: &lead, headline: &headline(curves), main: &main }.html()
}

/// What the best curve was chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChosenBy {
    /// There is but one.
    Nothing,
    CrossValidation,
    /// The very images that its accuracy is measured on.
    TestImages,
}

/// The curve that is best at the largest size; of equals the first. Cross-validation chooses where it has judged every curve, so
/// that the test images choose nothing.
fn best(curves: &Curves) -> Option<(&Line, ChosenBy)> {
    let judged = |line: &Line| line.points.last().and_then(|point| point.cv_score);
    let by = match curves.lines.len() {
        0 | 1 => ChosenBy::Nothing,
        _ if curves.lines.iter().all(|line| judged(line).is_some()) => ChosenBy::CrossValidation,
        _ => ChosenBy::TestImages,
    };
    let merit = |line: &Line| match judged(line).filter(|_| by == ChosenBy::CrossValidation) {
        Some(score) => curves.metric.merit(score),
        None => line.points.last().map_or(0.0, |point| point.test.value),
    };
    let best = curves.lines.iter().reduce(|best, line| if merit(line) > merit(best) { line } else { best })?;
    Some((best, by))
}

fn headline(curves: &Curves) -> String {
    let Some((line, by, first, last)) =
        best(curves).and_then(|(line, by)| Some((line, by, line.points.first()?, line.points.last()?)))
    else {
        return String::new();
    };
    let lines = curves.lines.len();
    let chosen = match by {
        ChosenBy::Nothing => String::new(),
        ChosenBy::CrossValidation => format!(
            "The best of {lines} curves by cross-validated {} with {}; the test images chose nothing.",
            escape(curves.metric.title()),
            count(last.images, "image", "images")
        ),
        ChosenBy::TestImages => {
            format!("The best of {lines} curves on these test images, so expect somewhat less on others.")
        }
    };
    let chosen = if chosen.is_empty() { chosen } else { format!(r#"<p class="note">{chosen}</p>"#) };
    let accuracy = |point: &Point| {
        card(
            &format!("Accuracy with {}", count(point.images, "image", "images")),
            &format!("{} %", percent(point.test.value)),
            &format!("{} (95 %), {}", interval(point.test.low, point.test.high), name(&line.name)),
        )
    };
    let double = line.outlook.error_at_double.filter(|_| line.outlook.verdict != Verdict::CannotBeTold);
    let double = match double {
        Some(error) => card(
            &format!("Foretold with {} images", 2 * line.outlook.images),
            &format!("{} %", percent(1.0 - error.value)),
            &format!("{} (95 %)", interval(1.0 - error.high, 1.0 - error.low)),
        ),
        None => card(&format!("Foretold with {} images", 2 * line.outlook.images), "–", "cannot be told"),
    };
    format!(r#"<div class="cards">{}{}{double}</div>{chosen}"#, accuracy(first), accuracy(last))
}

fn interval(low: f64, high: f64) -> String {
    format!("[{}, {}]", percent(low), percent(high))
}

fn warnings(curves: &Curves) -> String {
    let of_lines = curves.lines.iter().flat_map(|line| line.notes.iter().map(|note| format!("{}: {note}", line.name)));
    let notes: String = curves
        .notes
        .iter()
        .cloned()
        .chain(of_lines)
        .map(|note| format!("<li>{}</li>", escape(&capital(&note))))
        .collect();
    if notes.is_empty() { notes } else { format!(r#"<div class="warning"><h3>Notes</h3><ul>{notes}</ul></div>"#) }
}

/// The laws that were fitted, and what they foretell.
fn outlook(curves: &Curves) -> String {
    let rows = curves.lines.iter().map(|line| {
        let found = &line.outlook;
        let uncertain = |value: &Option<Uncertain>, shown: &dyn Fn(f64) -> String| {
            value.map_or_else(
                || "–".into(),
                |u| {
                    format!(r#"{} <span class="interval">[{}, {}]</span>"#, shown(u.value), shown(u.low), shown(u.high))
                },
            )
        };
        let verdict = match found.verdict {
            Verdict::MoreHelps => "more images would help",
            Verdict::Saturated => "hardly",
            Verdict::CannotBeTold => "cannot be told",
        };
        let exponent = match (&found.law, &found.exponent) {
            (Some(_), None) => "cannot be told".into(),
            (_, exponent) => uncertain(exponent, &|c| format!("{c:.2}")),
        };
        vec![
            name(&line.name),
            format!("<strong>{verdict}</strong>: {}", escape(&found.why)),
            uncertain(&found.error, &percent),
            uncertain(&found.error_at_double, &percent),
            exponent,
            uncertain(&found.floor, &percent),
            found.check.map_or_else(
                || "–".into(),
                |check| format!("{} / {}", percent(check.predicted), percent(check.measured)),
            ),
        ]
    });
    let images = curves.steps.last().map_or(0, |step| step.images);
    let headings = [
        "curve".to_owned(),
        "<twice the images".into(),
        format!("error with {images}, %"),
        format!("error with {}, %", 2 * images),
        "exponent c".into(),
        "floor a, %".into(),
        "check, %".into(),
    ];
    let headings: Vec<&str> = headings.iter().map(|heading| &heading[..]).collect();
    format!(
        r#"<p>To the mean errors of each curve a power law is fitted, error(n) = a + b · n<sup>−c</sup> (Cortes et al. 1993; Hestness et al. 2017; where it holds, and where not: Viering and Loog 2022). Brackets are 95 % intervals over resampled draws and test images; that the law itself holds beyond what was measured is an assumption. A gain counts from {} points on; where the interval reaches to either side of that, it cannot be told.</p>{}<p class="note">Check: the error at the largest size as foretold from the smaller ones / as measured (of five sizes or more).</p>"#,
        short(100.0 * WORTH),
        table("What more images would bring", &headings, rows)
    )
}

fn numbers(curves: &Curves) -> String {
    let mean = |value: f64, deviation: Option<f64>| match deviation {
        Some(deviation) => format!("{} ± {}", percent(value), percent(deviation)),
        None => percent(value),
    };
    let rows = curves.lines.iter().flat_map(|line| {
        line.points.iter().map(move |point| {
            vec![
                name(&line.name),
                escape(&point.asked),
                point.images.to_string(),
                point.draws.to_string(),
                chosen(point),
                mean(point.train, point.train_sd),
                mean(point.test.value, point.test_sd),
                interval(point.test.low, point.test.high),
                percent(point.test_balanced),
            ]
        })
    });
    let headings = [
        "curve",
        "<size",
        "images",
        "draws",
        "<chosen (range over the draws)",
        "training accuracy, %",
        "test accuracy, %",
        "95 % interval",
        "balanced, %",
    ];
    format!(
        r#"<p class="note">± is the standard deviation over the draws. The interval is of the mean over the draws, for other draws and other test images. Balanced: mean recall of the classes.</p>{}"#,
        table("Accuracy at each size", &headings, rows)
    )
}

/// What was chosen, from the least to the largest.
fn chosen(point: &Point) -> String {
    let mut values: Vec<f64> = point.tuned.iter().map(|tuned| tuned.value()).collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[0], values[values.len() - 1]);
    let range = if low == high { short(low) } else { format!("{} to {}", short(low), short(high)) };
    let folds = if point.folds == 0 { "not chosen".into() } else { count(point.folds, "fold", "folds") };
    match point.tuned[0] {
        Tuned::Nothing => "–".into(),
        Tuned::C(_) => format!("C = {range} ({folds})"),
        Tuned::Neighbors(_) => format!("k = {range} ({folds})"),
    }
}

fn facts(curves: &Curves) -> String {
    let test = match &curves.test_rows {
        TestRows::Split(split) => format!("{} of split {}, never trained on", curves.test_images, escape(split)),
        TestRows::HeldOut(share) => format!(
            "{}, {} % of every class, held out by the seed and never trained on, for the cache has none",
            curves.test_images,
            short(100.0 * share)
        ),
    };
    let sizes: Vec<String> = curves
        .steps
        .iter()
        .map(|step| format!("{} ({})", escape(&step.asked), count(step.images, "image", "images")))
        .collect();
    let mut rows: Vec<(&str, String)> = vec![
        ("Test images", test),
        ("Sizes", sizes.join(", ")),
        (
            "Draws",
            format!(
                "{} of each size (all images: one), seed {}; nested, stratified by class, the same images for every curve, with all \
                 of their views",
                curves.draws, curves.seed
            ),
        ),
        (
            "Chosen by",
            format!("cross-validated {} on the drawn images alone, for every draw anew", escape(curves.metric.title())),
        ),
    ];
    let mut caches: Vec<&Path> = Vec::new();
    for line in &curves.lines {
        if caches.contains(&line.cache.as_path()) {
            continue;
        }
        caches.push(&line.cache);
        let from = &line.provenance;
        let augmentation =
            format!("{}, {} per image", escape(&from.augmentation.recipe), training::views(from.augmentation.views));
        let summed = match line.test_views {
            1 => String::new(),
            views => format!("; test images judged by {views} views together"),
        };
        let seen = from.preprocessing.as_ref().map_or_else(|| "imported".into(), training::preprocessing);
        rows.push((
            "Cache",
            format!(
                "{}: {}, weights {} (<code>{}</code>), {seen}; augmentation {augmentation}{summed}",
                name(&line.cache.display().to_string()),
                name(&from.backbone),
                name(&from.weights.source),
                escape(&from.weights.sha256),
            ),
        ));
    }
    blocks::facts(&rows)
}

#[cfg(test)]
mod tests;
