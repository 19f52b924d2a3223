//! The images as points, where a layer puts them.

use super::{
    axes::{HEIGHT, WIDTH},
    html::{count, escape, percent},
    score_rows::{legend, marker},
};
use crate::look::map::{FeatureMap, MapMethod};

/// Room for a marker at the edges.
const EDGE: f64 = 8.0;

/// The map with its legend, and how far it can be trusted.
pub fn section(map: &FeatureMap) -> String {
    let classes = map.classes();
    format!(
        r#"<figure class="plot broad">{}{}<figcaption>{}</figcaption></figure>"#,
        picture(map, &classes),
        legend(classes.iter().map(String::as_str)),
        caption(map)
    )
}

fn picture(map: &FeatureMap, classes: &[String]) -> String {
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (left, right) = range(&mut map.points.iter().map(|point| point.x));
    let (low, high) = range(&mut map.points.iter().map(|point| point.y));
    // One scale for both directions, or near and far would lie.
    let scale = ((WIDTH - 2.0 * EDGE) / (right - left)).min((HEIGHT - 2.0 * EDGE) / (high - low));
    let scale = if scale.is_finite() { scale } else { 0.0 };
    let across = |x: f64| WIDTH / 2.0 + scale * (x - (left + right) / 2.0);
    let down = |y: f64| HEIGHT / 2.0 - scale * (y - (low + high) / 2.0);
    let points: String = map
        .points
        .iter()
        .map(|point| {
            let class = point.class();
            let index = classes.iter().position(|known| known == class).unwrap_or_default();
            let hollow = if point.is_hollow() { r#" class="hollow""# } else { "" };
            let said = escape(&format!("{}: {class}", point.image.path));
            format!("<g{hollow}><title>{said}</title>{}</g>", marker(index, across(point.x), down(point.y)))
        })
        .collect();
    format!(
        r#"<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">{points}</svg>"#,
        escape(&format!("{} images as points, near each other where {} makes them alike", map.points.len(), map.layer))
    )
}

fn caption(map: &FeatureMap) -> String {
    let how = match (map.method, map.shares, map.perplexity) {
        (MapMethod::Pca, Some([first, second]), _) => {
            format!("The first two principal components, which hold {} % of the variance", percent(first + second))
        }
        (_, _, perplexity) => format!(
            "t-SNE (van der Maaten and Hinton 2008, perplexity {:.0}): neighbours stay together; how far groups lie apart and how \
             large they are means little",
            perplexity.unwrap_or_default()
        ),
    };
    let images = count(map.points.len(), "image", "images");
    let some = if map.points.len() < map.available { format!(" of {}", map.available) } else { String::new() };
    let trust = match (map.same_class_in_features, map.same_class_on_map) {
        (Some(features), Some(on_map)) => format!(
            " The nearest neighbour is of the same class for {} % of the images by the features, for {} % on the map.",
            percent(features),
            percent(on_map)
        ),
        _ => String::new(),
    };
    format!("{how}. {images}{some}; hollow: not trained on.{trust}")
}
