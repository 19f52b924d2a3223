//! The report of a sweep: one page that needs nothing but itself.

use super::{Sweep, SweepRow, cache_names, p_value};
use crate::report::{
    ReportError,
    command::quoted,
    document::{Document, section},
    html::{chosen, count, escape, name, percent, short},
    score_rows, write_page,
};
use headstart_trainer::Metric;
use serde::Serialize;
use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What `metrics.json` holds.
#[derive(Serialize)]
struct Content<'a> {
    command: String,
    #[serde(flatten)]
    sweep: &'a Sweep,
}

impl Sweep {
    /// Writes `index.html` and `metrics.json` into a folder, which is made if need be, and gives the path of the page.
    ///
    /// # Errors
    /// When the folder or a file cannot be written.
    pub fn write_report(&self, title: &str, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
        let command = quoted(command);
        let page = self.page(title, &command);
        write_page(folder, &Content { command, sweep: self }, &page)
    }

    fn page(&self, title: &str, command: &str) -> String {
        let best = &self.rows[self.groups[0].best];
        let mut backbones: Vec<&str> = self.rows.iter().map(|row| row.backbone.as_str()).collect();
        backbones.dedup();
        let about = backbones.join(", ");
        let lead = format!(
            "{} · {} · {}",
            name(&about),
            count(best.n_train_images, "training image", "training images"),
            count(best.n_test, "test row", "test rows")
        );
        let headline = self.headline();
        let notes = match self.groups.len() {
            1 => "",
            _ => {
                "<li>The caches do not all hold the same training images in the same order: rows are compared where they do.</li>"
            }
        };
        let warnings: String = self
            .rows
            .iter()
            .flat_map(|row| row.warnings.iter().map(move |warning| (row, warning)))
            .map(|(row, warning)| format!("<li>{} with {}: {}</li>", name(&row.name()), row.head, escape(warning)))
            .collect();
        let doubts = match notes.to_owned() + &warnings {
            doubts if doubts.is_empty() => doubts,
            doubts => format!(r#"<div class="warning"><h3>To be read with this in mind</h3><ul>{doubts}</ul></div>"#),
        };
        let plot = self.plot("Score against depth");
        let drawn = match best.test {
            Some(_) => {
                "Accuracy on the test rows, which chose nothing, with its 95 % interval (Wilson); layers from shallow to deep."
            }
            None => "Mean over the folds ± 1.96 standard errors; layers from shallow to deep.",
        };
        let main = [
            section("Score against depth", &score_rows::figure(&plot, drawn)),
            section("All layers and heads", &(doubts + &self.table())),
            section("The command", &format!("<pre tabindex=\"0\">{}</pre>", escape(command))),
        ];
        Document { title, about: &about, lead: &lead, headline: &headline, main: &main.concat() }.html()
    }

    fn headline(&self) -> String {
        let card = |title: &str, row: &SweepRow| {
            let cost = row.multiply_adds.map_or_else(String::new, |cost| {
                format!(" · {} M multiply-adds", short((cost as f64 / 1e5).round() / 10.0))
            });
            let chosen = chosen(row.tuned).map_or_else(String::new, |chosen| format!(", {chosen}"));
            format!(
                r#"<div class="card"><p class="title">{title}</p><p class="figure">{}</p><p>{} with {}{chosen}</p><p class="note">cross-validated {} ± {}{cost}</p></div>"#,
                shown(row.metric, row.cv_score),
                name(&row.name()),
                row.head,
                row.metric.title(),
                row.metric.digits(row.cv_score_se),
            )
        };
        let mut cards = String::new();
        for group in &self.groups {
            cards += &card("Best by cross-validation", &self.rows[group.best]);
            if group.cheapest != group.best {
                cards += &card("Cheapest within one standard error of it", &self.rows[group.cheapest]);
            }
        }
        format!(r#"<div class="cards">{cards}</div>"#)
    }

    fn table(&self) -> String {
        let metric = self.rows[0].metric;
        let mut caches: Vec<PathBuf> = self.rows.iter().map(|row| row.cache.clone()).collect();
        caches.sort();
        caches.dedup();
        let names: HashMap<&Path, String> = caches.iter().map(PathBuf::as_path).zip(cache_names(&caches)).collect();
        let several = names.len() > 1;
        let rows: String = self
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let best = self.groups.iter().any(|group| group.best == index);
                let class = if best { r#" class="best""# } else { "" };
                let cache = if several {
                    format!("<td class=\"left\">{}</td>", name(&names[row.cache.as_path()]))
                } else {
                    String::new()
                };
                let against = match (&row.against_best, best) {
                    (_, true) => "<td>best</td><td></td><td></td>".into(),
                    (Some(found), _) => format!(
                        "<td>{}</td><td>{}</td><td>{}</td>",
                        metric.signed_digits(found.difference),
                        escape(&p_value(found.p)),
                        found.test_p.map_or_else(|| "–".into(), |p| escape(&p_value(p)))
                    ),
                    (None, _) => "<td>–</td><td>–</td><td>–</td>".into(),
                };
                let test = match (row.test, row.test_low, row.test_high) {
                    (Some(test), Some(low), Some(high)) => {
                        format!("{} <span class=\"interval\">[{}, {}]</span>", percent(test), percent(low), percent(high))
                    }
                    _ => "–".into(),
                };
                format!(
                    "<tr{class}><th scope=\"row\">{}</th>{cache}<td class=\"left\">{}</td><td class=\"whole\">{}</td><td>{} <span class=\"interval\">± {}</span></td>{against}<td>{test}</td><td>{}</td><td>{}</td><td>{:.2}</td></tr>",
                    name(&row.name()),
                    row.head,
                    chosen(row.tuned).unwrap_or_else(|| "–".into()),
                    metric.digits(row.cv_score),
                    metric.digits(row.cv_score_se),
                    row.multiply_adds.map_or_else(|| "–".into(), |cost| format!("{:.1}", cost as f64 / 1e6)),
                    row.bytes_per_image,
                    row.seconds,
                )
            })
            .collect();
        let cache = if several { r#"<th scope="col" class="left">Cache</th>"# } else { "" };
        format!(
            r#"<p class="note">p: corrected resampled t-test against the best on the same folds (Nadeau and Bengio 2003), not adjusted for how many are compared; test p: McNemar’s exact test on the same test rows.</p><div class="scroll" tabindex="0"><table><thead><tr><th scope="col">Layer</th>{cache}<th scope="col" class="left">Head</th><th scope="col">Chosen</th><th scope="col">CV {}{}</th><th scope="col">Against best</th><th scope="col">p</th><th scope="col">Test p</th><th scope="col">Test accuracy %</th><th scope="col">M multiply-adds</th><th scope="col">Bytes per image</th><th scope="col">Seconds</th></tr></thead><tbody>{rows}</tbody></table></div>"#,
            metric.title(),
            metric.unit(),
        )
    }
}

fn shown(metric: Metric, value: f64) -> String {
    format!("{}{}", metric.digits(value), metric.unit())
}
