//! The report of an advice: one page that needs nothing but itself.

use super::{Advice, Reading, rules::Verdict};
use crate::report::{
    ReportError,
    command::quoted,
    document::{Document, section},
    html::{capital, count, escape, name},
    score_rows, write_page,
};
use crate::scenario::Scenario;
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What `metrics.json` holds.
#[derive(Serialize)]
struct Content<'a> {
    command: String,
    #[serde(flatten)]
    advice: &'a Advice,
}

impl Reading {
    /// As size.
    pub fn size(self) -> &'static str {
        match self {
            Self::Low => "small",
            Self::Between => "between small and large",
            Self::High => "large",
        }
    }

    /// As similarity.
    pub fn similarity(self) -> &'static str {
        match self {
            Self::Low => "different",
            Self::Between => "between similar and different",
            Self::High => "similar",
        }
    }
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Agree => "the rule holds here",
            Self::Undecided => "the sample cannot tell them apart",
            Self::Disagree => "the rule does not hold here",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Advice {
    /// `3 (small and very different)`, or all that are open.
    pub fn scenario(&self) -> String {
        let shown = self.scenarios.iter().map(|&scenario| format!("{} ({})", scenario.number(), self::kind(scenario)));
        shown.collect::<Vec<_>>().join(" or ")
    }

    /// Why no head can be trained yet, where that is so.
    pub fn no_head(&self) -> Option<&'static str> {
        let classes = self.size.classes.iter().filter(|(_, images)| *images > 0).count();
        match &self.sweep {
            Some(_) => None,
            None if classes < 2 => Some(
                "a head needs images of two classes or more: a folder for each class, or a CSV with path,label, says which is which",
            ),
            None => Some("no head can be trained yet: see what was not measured, and why"),
        }
    }

    /// Writes `index.html` and `metrics.json` into a folder, which is made if need be, and gives the path of the page.
    ///
    /// # Errors
    /// When the folder or a file cannot be written.
    pub fn write_report(&self, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
        let command = quoted(command);
        let page = self.page(&command);
        write_page(folder, &Content { command, advice: self }, &page)
    }

    fn page(&self, command: &str) -> String {
        let about = self.target.display().to_string();
        let title = format!("Scenario {}", self.scenario());
        let lead = format!(
            "{} · measured with {} on {}",
            name(&about),
            name(&self.backbone),
            count(self.similarity.images, "image", "images")
        );
        let mut sections = vec![
            section("Size", &self.size_section()),
            section("Similarity to the source data", &self.similarity_section()),
        ];
        sections.push(section("The rule of thumb, and what was measured", &self.rules_section()));
        if !self.left_out.is_empty() {
            let item = |left: &super::LeftOut| {
                let command = left.command.as_ref().map_or_else(String::new, |command| pre(command));
                format!("<p>{}: {}.</p>{command}", capital(&escape(&left.what)), escape(&left.why))
            };
            sections.push(section("Not measured", &self.left_out.iter().map(item).collect::<String>()));
        }
        let missing =
            self.no_head().map_or_else(String::new, |missing| format!("<p>{}.</p>", escape(&capital(missing))));
        let commands = if self.next.is_empty() { String::new() } else { pre(&self.next.join("\n")) };
        sections.push(section("What to run next", &(missing + &commands)));
        sections.push(section("The command", &pre(command)));
        let headline = self.headline();
        Document { title: &title, about: &about, lead: &lead, headline: &headline, main: &sections.concat() }.html()
    }

    fn headline(&self) -> String {
        let card = |title: &str, figure: &str, note: String| {
            format!(
                r#"<div class="card"><p class="title">{title}</p><p class="figure">{figure}</p><p class="note">{note}</p></div>"#
            )
        };
        let size = match self.size.effective_per_class {
            Some(images) => format!("{images:.0} effective training images per class"),
            None => format!("{:.0} effective training images, without labels", self.size.effective),
        };
        let similarity = match self.similarity.score {
            Some(score) => format!("score {score:+.2}{}", self.error_of_score()),
            None => "no score".into(),
        };
        let reading = self.similarity.reading.map_or("not judged", Reading::similarity);
        format!(
            r#"<div class="cards">{}{}</div>"#,
            card("Size", self.size.reading.size(), size),
            card("Similarity", reading, similarity)
        )
    }

    /// ` ± 0.1`, where there is a standard error.
    pub fn error_of_score(&self) -> String {
        self.similarity.standard_error.map_or_else(String::new, |error| format!(" ± {error:.2}"))
    }

    fn size_section(&self) -> String {
        let size = &self.size;
        let classes: Vec<String> = size.classes.iter().map(|(class, n)| format!("{} {n}", name(class))).collect();
        let mut text = format!(
            "<p>{} to train on ({} held out), worth {:.0} once copies count once and classes are even. By the number of images: {}{}.</p>",
            count(size.training, "image", "images"),
            size.held_out,
            size.effective,
            size.by_images.size(),
            size.by_class.map_or_else(String::new, |reading| format!("; by the number per class: {}", reading.size())),
        );
        if !classes.is_empty() {
            text += &format!("<p class=\"note\">{}</p>", classes.join(" · "));
        }
        if let Some(found) = &self.duplicates {
            text += &format!(
                "<p>{} compared by perceptual hash: {} of copies.</p>",
                count(found.compared, "image", "images"),
                count(found.groups.len(), "group", "groups")
            );
            let list = |groups: &[Vec<String>]| -> String {
                let shown = groups.iter().take(20).map(|group| format!("<li>{}</li>", escape(&group.join(" = "))));
                shown.collect()
            };
            for (groups, what) in [
                (&found.leaks, "Copies in training and held-out images: scores on the latter are too good"),
                (&found.contradictions, "Copies with different labels"),
            ] {
                if !groups.is_empty() {
                    text += &format!(r#"<div class="warning"><h3>{what}</h3><ul>{}</ul></div>"#, list(groups));
                }
            }
        }
        text
    }

    fn similarity_section(&self) -> String {
        let similarity = &self.similarity;
        let mut text = String::new();
        if let Some(reason) = &similarity.why_not {
            text += &format!(r#"<div class="warning"><p>{}.</p></div>"#, capital(&escape(reason)));
        }
        let parts: String = similarity
            .parts
            .iter()
            .map(|part| {
                format!(
                    "<tr><th scope=\"row\">{}</th><td>{:.3}</td><td>{:.3}</td><td>{:+.2}</td><td class=\"left\">{}</td></tr>",
                    capital(part.measure.title()),
                    part.value,
                    part.scale.threshold,
                    part.score,
                    part.reading.similarity()
                )
            })
            .collect();
        if !parts.is_empty() {
            text += &format!(
                r#"<div class="scroll" tabindex="0"><table><caption>A score is the distance from the threshold in standard deviations of the known sets; above 0 is the similar side.</caption><thead><tr><th scope="col">Measure</th><th scope="col">Value</th><th scope="col">Threshold</th><th scope="col">Score</th><th scope="col" class="left">Alone</th></tr></thead><tbody>{parts}</tbody></table></div>"#
            );
        }
        let mut known: Vec<(f64, String)> = similarity
            .known
            .iter()
            .map(|known| {
                let kind = if known.set.similar { "similar" } else { "different" };
                let row = format!(
                    "<tr><th scope=\"row\">{}</th><td class=\"left\">{kind}</td><td>{:+.2}</td></tr>",
                    name(&known.set.name),
                    known.score
                );
                (known.score, row)
            })
            .collect();
        if let Some(score) = similarity.score {
            known.push((score, format!("<tr class=\"best\"><th scope=\"row\">these images</th><td class=\"left\">{}</td><td>{score:+.2}</td></tr>", similarity.reading.map_or("not judged", Reading::similarity))));
            known.sort_by(|a, b| b.0.total_cmp(&a.0));
            let rows: String = known.into_iter().map(|(_, row)| row).collect();
            text += &format!(
                r#"<div class="scroll" tabindex="0"><table><caption>Among data sets of known kind, by the mean score; thresholds made without it place {} of {} sets right.</caption><thead><tr><th scope="col">Set</th><th scope="col" class="left">Kind</th><th scope="col">Score</th></tr></thead><tbody>{rows}</tbody></table></div>"#,
                similarity.placed_by_others,
                similarity.known.len()
            );
        }
        text
    }

    fn rules_section(&self) -> String {
        let rule = |check: &super::RuleCheck| {
            format!(
                "<h3>Scenario {}: {}</h3><p>{}: {}.</p>",
                check.scenario.number(),
                check.rule,
                capital(check.verdict.words()),
                escape(&check.found)
            )
        };
        let mut text: String = self.rules.iter().map(rule).collect();
        if let Some(sweep) = &self.sweep {
            let drawn =
                "Mean accuracy over the folds ± 1.96 standard errors, on the sample; layers from shallow to deep.";
            text += &score_rows::figure(&sweep.plot("Quick sweep"), drawn);
        }
        let rows: String = self
            .layers
            .iter()
            .map(|layer| {
                format!(
                    "<tr><th scope=\"row\">{}</th><td>{:.3}</td><td>{:.3}</td></tr>",
                    name(&layer.layer),
                    layer.log_me,
                    layer.h_score
                )
            })
            .collect();
        if !rows.is_empty() {
            let leep = self.leep.map_or_else(String::new, |leep| format!(" LEEP of the source classifier: {leep:.3}."));
            text += &format!(
                r#"<div class="scroll" tabindex="0"><table><caption>How well labels follow from each layer, without a head: more is better.{leep}</caption><thead><tr><th scope="col">Layer</th><th scope="col">LogME</th><th scope="col">H-score</th></tr></thead><tbody>{rows}</tbody></table></div>"#
            );
        }
        text
    }
}

/// A scenario in three words.
fn kind(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::SmallSimilar => "small and similar",
        Scenario::LargeSimilar => "large and similar",
        Scenario::SmallDifferent => "small and very different",
        Scenario::LargeDifferent => "large and very different",
    }
}

fn pre(text: &str) -> String {
    format!("<pre tabindex=\"0\">{}</pre>", escape(text))
}
