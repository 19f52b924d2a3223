//! What the selection is worth on rows that had no part in it.

use super::html::{capital, percent, short};
use headstart_trainer::{Metric, NestedValidation};

/// The score in a sentence, and every outer fold with what it chose.
pub fn section(nested: &NestedValidation) -> String {
    let symbol = nested.outer.iter().find_map(|fold| fold.tuned.symbol());
    let metric = nested.metric;
    let score = &nested.score;
    let accuracy = &nested.metrics.accuracy;
    let other = match metric {
        Metric::Accuracy => String::new(),
        _ => format!(
            "{} {}{} [{}, {}], mean over the outer folds; ",
            capital(metric.title()),
            metric.digits(score.value),
            metric.unit(),
            metric.digits(score.low),
            metric.digits(score.high)
        ),
    };
    let accuracy = format!(
        "{} {} % [{}, {}] over {} rows",
        if other.is_empty() { "Accuracy" } else { "accuracy" },
        percent(accuracy.value),
        percent(accuracy.low),
        percent(accuracy.high),
        nested.metrics.n
    );
    let title = metric.title();
    let unit = match metric.unit().trim() {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    let rows: String = nested
        .outer
        .iter()
        .enumerate()
        .map(|(index, fold)| {
            let accuracy = match metric {
                Metric::Accuracy => String::new(),
                _ => format!("<td>{}</td>", percent(fold.accuracy)),
            };
            let chosen = symbol.map_or_else(String::new, |_| format!("<td>{}</td>", short(fold.tuned.value())));
            format!(
                r#"<tr><th scope="row">{}</th><td>{}</td><td>{}</td>{chosen}<td>{}</td><td>{}</td>{accuracy}</tr>"#,
                index + 1,
                fold.n_train,
                fold.n_test,
                metric.digits(fold.inner_score),
                metric.digits(fold.score.unwrap_or(f64::NAN))
            )
        })
        .collect();
    let (chosen, anew, fitted) = match symbol {
        None => (String::new(), "The rows that score a head had no part in it.".into(), "fitted"),
        Some(symbol) => (
            format!(r#"<th scope="col">{symbol} chosen</th>"#),
            format!(
                "Here {symbol} was chosen anew without the rows that score it, so these numbers are free of the optimism of \
                 the best of many."
            ),
            "chosen and fitted",
        ),
    };
    let last = if metric == Metric::Accuracy { "" } else { r#"<th scope="col">accuracy, %</th>"# };
    format!(
        r#"<p>{other}{accuracy} (95 % intervals; {} outer folds, seed {}). {anew} The head itself was {fitted} on all rows.</p><div class="scroll" tabindex="0" role="region" aria-label="Outer folds"><table><thead><tr><th scope="col">outer fold</th><th scope="col">rows that chose</th><th scope="col">rows held out</th>{chosen}<th scope="col">{title} of the inner folds{unit}</th><th scope="col">{title} held out{unit}</th>{last}</tr></thead><tbody>{rows}</tbody></table></div>"#,
        nested.outer.len(),
        nested.seed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        content::Content,
        fixture::{Fixture, assert_well_formed},
        page::page,
    };
    use headstart_trainer::HeadKind;

    #[test]
    fn every_outer_fold_is_a_row() {
        for metric in [Metric::Accuracy, Metric::Auc] {
            let fixture = Fixture::nested(HeadKind::Logistic, metric);
            let content = Content::gather(&fixture.subject()).unwrap();
            let nested = content.outcome.nested.as_ref().unwrap();
            let section = section(nested);
            assert_well_formed(&section);
            assert_eq!(section.matches(r#"<th scope="row">"#).count(), 4);
            for fold in &nested.outer {
                assert!(section.contains(&format!("<td>{}</td>", short(fold.tuned.value()))), "{section}");
            }
            let accuracy = &nested.metrics.accuracy;
            let shown = [accuracy.value, accuracy.low, accuracy.high].map(percent);
            let shown = format!("{} % [{}, {}]", shown[0], shown[1], shown[2]);
            assert!(section.contains(&shown), "{shown}: {section}");
            let page = page(&content);
            assert_well_formed(&page);
            assert!(page.contains("<h2>Nested cross-validation</h2>") && page.contains("Accuracy, nested"));
        }
        let fixture = Fixture::new(HeadKind::Logistic);
        assert!(!page(&Content::gather(&fixture.subject()).unwrap()).contains("ested cross-validation"));
    }
}
