//! The curves as pictures: all in one, and each by itself with its draws.

use super::{
    super::{
        axes::{Axes, shares},
        html::{escape, name, percent},
        score_rows::{COLOURS, marker},
    },
    interval,
};
use crate::curve::{Curves, Line, Point};

/// How many curves one picture shows: so many have marks that differ in outline, and can be told apart in print too.
const TOGETHER: usize = 8;

/// Kinds of dashes in the page's style. They come again before marks do, and only help.
const DASHES: usize = 4;

/// Colour and dashes of a curve.
fn class(index: usize) -> String {
    format!("c{} d{}", index % COLOURS, index % DASHES)
}

/// The range of images, as logarithms, with a tick for each size that is not too near to the next larger one.
fn images(curves: &Curves, double: bool) -> ((f64, f64), Vec<(f64, String)>) {
    let counts: Vec<usize> = curves.steps.iter().map(|step| step.images).collect();
    let (first, last) = (counts.first().copied().unwrap_or(1), counts.last().copied().unwrap_or(1));
    let (low, high) = ((first as f64).log2(), (if double { 2 * last } else { last } as f64).log2());
    let room = (0.05 * (high - low)).max(0.2);
    let mut ticks: Vec<(f64, String)> = Vec::new();
    let all = double.then_some(2 * last).into_iter().chain(counts.into_iter().rev());
    for count in all {
        let at = (count as f64).log2();
        if ticks.last().is_none_or(|(last, _)| last - at > (high - low + 2.0 * room) / 9.0) {
            ticks.push((at, count.to_string()));
        }
    }
    ((low - room, high + room), ticks)
}

/// All curves in one picture, with a list of what the lines are.
pub fn all(curves: &Curves) -> String {
    let shown = &curves.lines[..curves.lines.len().min(TOGETHER)];
    let values = shown.iter().flat_map(|line| &line.points).flat_map(|point| [point.test.low, point.test.high]);
    let (y, y_ticks) = shares(values);
    let (x, x_ticks) = images(curves, false);
    let axes = Axes { x, y };
    let count = shown.len() as f64;
    let drawn: String = shown
        .iter()
        .enumerate()
        .map(|(index, line)| {
            // Side by side, so that intervals do not hide each other.
            let shift = (index as f64 - (count - 1.0) / 2.0) * 0.006 * (x.1 - x.0);
            let at = |point: &Point, score: f64| axes.at((point.images as f64).log2() + shift, score);
            let whiskers: String = line
                .points
                .iter()
                .map(|point| {
                    let across = axes.across((point.images as f64).log2() + shift);
                    let (from, to) = (axes.down(point.test.low), axes.down(point.test.high));
                    format!(r#"<path class="whisker thin" d="M{across:.1},{from:.1}V{to:.1}"/>"#)
                })
                .collect();
            let points: Vec<String> = line.points.iter().map(|point| at(point, point.test.value)).collect();
            let markers: String = line
                .points
                .iter()
                .map(|point| {
                    let log = (point.images as f64).log2() + shift;
                    marker(index, axes.across(log), axes.down(point.test.value))
                })
                .collect();
            format!(
                r#"<g class="{}">{whiskers}<polyline class="curve" points="{}"/>{markers}</g>"#,
                class(index),
                points.join(" ")
            )
        })
        .collect();
    let description = format!("Test accuracy of {} curves against the number of training images.", shown.len());
    let picture = axes.picture(
        ("Test accuracy against training images", &description),
        ("training images (logarithmic)", &x_ticks),
        ("test accuracy, %", &y_ticks),
        &drawn,
    );
    let swatch = |index: usize| {
        format!(
            r#"<svg class="swatch" viewBox="0 0 36 14" aria-hidden="true"><g class="{}"><path class="curve" d="M1,7H35"/>{}</g></svg>"#,
            class(index),
            marker(index, 18.0, 7.0)
        )
    };
    let legend: String =
        shown.iter().enumerate().map(|(at, line)| format!("<li>{}{}</li>", swatch(at), name(&line.name))).collect();
    let more = match curves.lines.len() - shown.len() {
        0 => String::new(),
        more => format!(" The first {TOGETHER} curves; all {} stand below.", TOGETHER + more),
    };
    format!(
        r#"<figure class="plot broad">{picture}<ul class="legend">{legend}</ul><figcaption>Mean over the draws with 95 % intervals.{more}</figcaption></figure>"#
    )
}

/// Every curve by itself, on the same scales: its draws, the training accuracy, and what is foretold.
pub fn each(curves: &Curves) -> String {
    let foretold = curves.lines.iter().any(|line| !line.forecast().is_empty());
    let values = curves.lines.iter().flat_map(|line| {
        let ahead = line.forecast().into_iter().map(|(_, score)| score);
        let points = line.points.iter().flat_map(|point| [point.test.low, point.test.high, point.train]);
        points
            .chain(line.points.iter().flat_map(|point| point.by_draw.iter().copied()))
            .chain(ahead)
            .collect::<Vec<_>>()
    });
    let scale = shares(values);
    let across = images(curves, foretold);
    let figures: String = curves.lines.iter().map(|line| one(line, &scale, &across)).collect();
    format!(
        r#"<p class="note">Dots are single draws, the line is their mean on the test images, the band its 95 % interval; the dotted line is the accuracy on the images that were trained on, the dashed one what the power law foretells up to twice the images, where it can be told. All pictures have the same scales.</p><div class="pair">{figures}</div>"#
    )
}

type Scale = ((f64, f64), Vec<(f64, String)>);

fn one(line: &Line, (y, y_ticks): &Scale, (x, x_ticks): &Scale) -> String {
    let axes = Axes { x: *x, y: *y };
    let at = |images: f64, score: f64| axes.at(images.log2(), score);
    let of = |point: &Point, score: f64| at(point.images as f64, score);
    let upper = line.points.iter().map(|point| of(point, point.test.high));
    let band: Vec<String> = upper.chain(line.points.iter().rev().map(|point| of(point, point.test.low))).collect();
    let mean: Vec<String> = line.points.iter().map(|point| of(point, point.test.value)).collect();
    let training: Vec<String> = line.points.iter().map(|point| of(point, point.train)).collect();
    let ahead: Vec<String> = line.forecast().into_iter().map(|(images, score)| at(images, score)).collect();
    let dot = |point: &Point, score: f64, class: &str, radius: f64| {
        let (x, y) = (axes.across((point.images as f64).log2()), axes.down(score));
        format!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#)
    };
    let draws: String = line
        .points
        .iter()
        .flat_map(|point| point.by_draw.iter().map(|&score| dot(point, score, "fold", 2.0)))
        .collect();
    let means: String = line.points.iter().map(|point| dot(point, point.test.value, "mean", 3.4)).collect();
    let ahead = match &ahead[..] {
        [] => String::new(),
        points => format!(r#"<polyline class="line ahead" points="{}"/>"#, points.join(" ")),
    };
    let drawn = format!(
        r#"<polygon class="band" points="{}"/>{draws}<polyline class="line training" points="{}"/><polyline class="line" points="{}"/>{ahead}{means}"#,
        band.join(" "),
        training.join(" "),
        mean.join(" ")
    );
    let (first, last) = (&line.points[0], &line.points[line.points.len() - 1]);
    let description = format!(
        "{}: test accuracy {} % with {} training images, {} % with {}.",
        line.name,
        percent(first.test.value),
        first.images,
        percent(last.test.value),
        last.images
    );
    let picture = axes.picture(
        (&line.name, &description),
        ("training images (logarithmic)", x_ticks),
        ("accuracy, %", y_ticks),
        &drawn,
    );
    format!(
        r#"<figure class="plot"><h3>{}</h3>{picture}<figcaption>{} % {} with {} images; {}.</figcaption></figure>"#,
        name(&line.name),
        percent(last.test.value),
        interval(last.test.low, last.test.high),
        last.images,
        escape(&line.outlook.why)
    )
}
