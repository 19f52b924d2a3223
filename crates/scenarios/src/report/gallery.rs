//! The images worth a look, as thumbnails where they can be read.

use super::{
    content::Content,
    html::{count, escape, name, percent, short},
    judged::{Basis, Confidence, Judged, OfClass, Pick},
    thumbnail::Thumbnail,
};

/// Both lists with what they were picked from.
pub fn section(content: &Content) -> String {
    let images = &content.images;
    let rows = match &images.rows {
        Basis::Test(split) => format!("From the {} of split {}.", count(images.n, "image", "images"), escape(split)),
        Basis::Validation(split) => format!(
            "From the {} of split {}, which {}were not trained on.",
            count(images.n, "image", "images"),
            escape(split),
            content.tuned.symbol().map_or_else(String::new, |symbol| format!("chose {symbol} but "))
        ),
        Basis::OutOfFold => format!(
            "From the {}, for there are no test rows: each is judged by a model that had not seen it, the one of the fold that \
             held it out.",
            count(images.n, "training image", "training images")
        ),
        Basis::Training => format!(
            "From the {}, for there are no test rows and none were held out: <strong>the head was fitted on these very images</strong>, so it is surer \
             of them, and more often right, than it will be of new ones.",
            count(images.n, "training image", "training images")
        ),
    };
    let confidence = match images.confidence {
        Confidence::Probability => "Confidence is the probability of the predicted class.",
        Confidence::Margin => {
            "This kind of head gives no probabilities: confidence is the margin, by which the best class's score is above \
             the second best's."
        }
    };
    let mistakes = match &images.most_confident_mistakes[..] {
        [] => "<p>No image was predicted wrong.</p>".into(),
        picks => {
            let all = if picks.len() < images.mistakes {
                format!("The first {} of {} mistakes.", picks.len(), images.mistakes)
            } else {
                format!("All {}, the surest first.", count(images.mistakes, "mistake", "mistakes"))
            };
            format!(r#"<p class="note">{all}</p>{}"#, list(images, picks))
        }
    };
    format!(
        "<p>{rows} {confidence}{}</p><h3>Most confident mistakes</h3>{mistakes}<h3>Least certain</h3>{}",
        unreachable(content),
        list(images, &images.least_certain)
    )
}

/// The wrong and the hardest images of the classes with most mistakes.
pub fn by_class(content: &Content) -> String {
    let images = &content.images;
    let measure = match images.confidence {
        Confidence::Probability => "the probability",
        Confidence::Margin => "the margin",
    };
    let left_out = match content.classes.len() - images.by_class.len() {
        0 => String::new(),
        _ => format!(" The {} classes with most mistakes.", images.by_class.len()),
    };
    let of_class = |class: &OfClass| {
        let taken_for: Vec<String> =
            class.taken_for.iter().map(|other| format!("{} ({})", name(&other.class), other.images)).collect();
        let taken_for = match &taken_for[..] {
            [] => String::new(),
            others => format!(", taken for {}", others.join(", ")),
        };
        let part = |title: &str, picks: &[Pick]| match picks {
            [] => String::new(),
            picks => format!(r#"<p class="note">{title}</p>{}"#, list(images, picks)),
        };
        format!(
            "<h3>{}</h3><p>{} of {} wrong{taken_for}.</p>{}{}",
            name(&class.class),
            class.mistakes,
            count(class.n, "image", "images"),
            part("Wrong, the worst first", &class.wrong),
            part("Right, but only just", &class.hardest_right)
        )
    };
    let classes: String = images.by_class.iter().map(of_class).collect();
    format!(
        "<p>Of each class the images whose own class got least, by {measure} of it: first the wrong ones with what they were taken \
         for, then those that are only just right.{left_out}</p>{classes}"
    )
}

/// Why there are no pictures, in a sentence.
fn unreachable(content: &Content) -> String {
    let images = &content.images;
    match &images.listed_from {
        _ if images.reachable => String::new(),
        // The names of imported rows may be paths, but need not be.
        Some(_) if content.is_imported() => {
            " The vectors were imported, without images; their rows are listed by name.".into()
        }
        None => " The cache does not say where its images are; their paths are listed instead.".into(),
        Some(folder) => {
            let picks = images.most_confident_mistakes.iter().chain(&images.least_certain);
            let why = picks.filter_map(|pick| pick.thumbnail.as_ref().err()).next();
            format!(
                " The images cannot be shown, for they cannot be read where they were listed, <code>{}</code>{}; their paths \
                 are listed instead.",
                escape(folder),
                why.map_or_else(String::new, |why| format!(" ({})", escape(why)))
            )
        }
    }
}

fn list(images: &Judged, picks: &[Pick]) -> String {
    if !images.reachable {
        return paths(images, picks);
    }
    tiles(picks.iter().map(|pick| figure(images, pick)))
}

fn figure(images: &Judged, pick: &Pick) -> String {
    let alt = format!("{}, of class {}, predicted as {}", pick.path, pick.truth, pick.predicted);
    let verdict = if pick.truth == pick.predicted {
        format!(r#"<span class="hit">✓ {}</span>"#, name(&pick.truth))
    } else {
        format!(r#"<span class="miss">✗ {}</span><span>is {}</span>"#, name(&pick.predicted), name(&pick.truth))
    };
    let strength = strength(images.confidence, pick.confidence);
    tile(&pick.thumbnail, &alt, &format!(r#"{verdict}<span class="note">{strength}</span>"#), &pick.path)
}

/// A picture, or why there is none, with what is to be said of it (HTML) and its path below.
pub fn tile(thumbnail: &Thumbnail, alt: &str, caption: &str, path: &str) -> String {
    let picture = match thumbnail {
        Ok(data) => format!(r#"<img src="{data}" alt="{}">"#, escape(alt)),
        Err(why) => format!(r#"<p class="missing">cannot be shown: {}</p>"#, escape(why)),
    };
    format!(
        r#"<figure><div class="frame">{picture}</div><figcaption>{caption}<span class="path">{}</span></figcaption></figure>"#,
        name(path)
    )
}

/// Tiles beside and below each other.
pub fn tiles(tiles: impl IntoIterator<Item = String>) -> String {
    let items: String = tiles.into_iter().map(|tile| format!("<li>{tile}</li>")).collect();
    format!(r#"<ul class="gallery">{items}</ul>"#)
}

fn strength(confidence: Confidence, value: f64) -> String {
    match confidence {
        Confidence::Probability => format!("{} %", percent(value)),
        Confidence::Margin => format!("margin {}", short(value)),
    }
}

fn paths(images: &Judged, picks: &[Pick]) -> String {
    let rows: String = picks
        .iter()
        .map(|pick| {
            format!(
                r#"<tr><th scope="row" class="path">{}</th><td class="left">{}</td><td class="left">{}</td><td>{}</td></tr>"#,
                name(&pick.path),
                name(&pick.truth),
                name(&pick.predicted),
                strength(images.confidence, pick.confidence)
            )
        })
        .collect();
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Images by path"><table><thead><tr><th scope="col">image</th><th scope="col" class="left">true class</th><th scope="col" class="left">predicted</th><th scope="col">confidence</th></tr></thead><tbody>{rows}</tbody></table></div>"#
    )
}
