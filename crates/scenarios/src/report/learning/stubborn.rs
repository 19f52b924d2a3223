//! The test images that stay wrong however many images are trained on.

use super::{
    super::{
        blocks::table,
        gallery::{tile, tiles},
        html::{count, escape, name},
        thumbnail,
    },
    best,
};
use crate::curve::{Curves, Image, Line};
use serde::Serialize;

/// Images in the gallery.
const SHOWN: usize = 24;

/// A test image and how often it was wrong.
#[derive(Serialize)]
pub struct TestImage<'a> {
    path: &'a str,
    class: &'a str,
    /// For each curve the share of draws that get it wrong, size after size.
    wrong: Vec<Vec<f64>>,
}

/// All test images.
pub fn of_all(curves: &Curves) -> Vec<TestImage<'_>> {
    let shares = |image: usize| {
        let of_line = |line: &Line| line.persistence.shares.iter().map(|shares| shares[image]).collect();
        curves.lines.iter().map(of_line).collect()
    };
    let images = curves.tested.iter().enumerate();
    images
        .map(|(at, image)| TestImage { path: &image.path, class: &curves.classes[image.class], wrong: shares(at) })
        .collect()
}

/// How many images stay wrong on each curve, and which on the best.
pub fn section(curves: &Curves) -> String {
    let (Some(first), Some(last), Some((line, _))) = (curves.steps.first(), curves.steps.last(), best(curves)) else {
        return String::new();
    };
    let rows = curves.lines.iter().map(|line| {
        let found = &line.persistence;
        let counts = [found.stay_wrong, found.learnt, found.lost, found.stay_right];
        [name(&line.name)].into_iter().chain(counts.map(|count| count.to_string())).collect()
    });
    let headings = ["curve", "stay wrong", "learnt", "lost", "stay right"];
    let explained = format!(
        "<p>Test images by what most draws say of them with {} and with {} training images: wrong with both (stay wrong), wrong \
         and then right (learnt), right and then wrong (lost), right with both. More images of the same kind do not help with \
         those that stay wrong: look at their labels, or at other layers.</p>",
        first.images, last.images
    );
    format!("{explained}{}{}", table("What becomes of test images", &headings, rows), gallery(curves, line))
}

fn gallery(curves: &Curves, line: &Line) -> String {
    let stubborn = line.persistence.stubborn();
    let title = format!("<h3>Stubborn images of {}</h3>", name(&line.name));
    if stubborn.is_empty() {
        return format!("{title}<p>With all images, no test image is wrong in most draws.</p>");
    }
    let listed_from = line.provenance.images.as_deref();
    let sizes: Vec<String> = curves.steps.iter().map(|step| step.images.to_string()).collect();
    let mut shown = Vec::new();
    for &image in stubborn.iter().take(SHOWN) {
        let tested = &curves.tested[image];
        let (truth, taken_for) = (&curves.classes[tested.class], &curves.classes[line.mistaken[image]]);
        let shares: Vec<String> =
            line.persistence.shares.iter().map(|shares| format!("{:.0}", 100.0 * shares[image])).collect();
        let verdict = format!(r#"<span class="miss">✗ {}</span><span>is {}</span>"#, name(taken_for), name(truth));
        shown.push((tested, thumbnail::of(listed_from, &tested.path), verdict, shares.join(" · ")));
    }
    let number = if stubborn.len() > SHOWN {
        format!("The first {SHOWN} of {}", stubborn.len())
    } else {
        format!("All {}", count(stubborn.len(), "image", "images"))
    };
    let explained = format!(
        r#"<p class="note">{number} that most draws of the largest size get wrong, those first that are wrong in most draws of all sizes. Below each: what it is taken for, what it is, and in how many per cent of the draws it is wrong with {} training images.</p>"#,
        sizes.join(" · ")
    );
    if shown.iter().any(|(_, thumbnail, ..)| thumbnail.is_ok()) {
        let one = |(image, thumbnail, verdict, shares): &(&Image, thumbnail::Thumbnail, String, String)| {
            let alt = format!("{}, of class {}", image.path, curves.classes[image.class]);
            tile(thumbnail, &alt, &format!(r#"{verdict}<span class="note">{shares} %</span>"#), &image.path)
        };
        return format!("{title}{explained}{}", tiles(shown.iter().map(one)));
    }
    let why = shown.iter().find_map(|(_, thumbnail, ..)| thumbnail.as_ref().err()).map_or("", |why| why);
    // In a table, unlike below a picture, the parts of a verdict stand in one line.
    let in_line = |verdict: &str| verdict.replace("</span><span>", "</span>, <span>");
    let rows =
        shown.iter().map(|(image, _, verdict, shares)| vec![name(&image.path), in_line(verdict), shares.clone()]);
    format!(
        "{title}{explained}<p>The images cannot be shown ({}); their paths are listed instead.</p>{}",
        escape(why),
        table("Stubborn images by path", &["image", "<taken for", "wrong in % of the draws"], rows)
    )
}
