//! The scores: in large figures, side by side, and by class.

use super::{
    blocks::card,
    content::Content,
    html::{escape, name, percent, percent_or_dash},
};
use headstart_trainer::{Estimate, Metrics};

/// The scores that matter most, to be read at a glance.
pub fn headline(content: &Content) -> String {
    let accuracy = |title: &str, metrics: &Metrics| {
        let figure = format!("{} %", percent(metrics.accuracy.value));
        card(title, &figure, &format!("{} (95 %), n = {}", interval(&metrics.accuracy), metrics.n))
    };
    let mut cards = String::new();
    if let Some(test) = content.test {
        let split = escape(content.test_rows.unwrap_or("test"));
        cards += &accuracy(&format!("Accuracy, split {split}"), test);
        cards += &card(
            "Balanced accuracy",
            &format!("{} %", percent(test.balanced_accuracy.value)),
            &format!("{} (95 %), split {split}", interval(&test.balanced_accuracy)),
        );
    }
    if let Some(nested) = &content.outcome.nested {
        cards += &accuracy("Accuracy, nested cross-validation", &nested.metrics);
    }
    if let Some(selection) = &content.outcome.selection {
        cards += &accuracy(&format!("Accuracy, {}", lower_first(&escape(&content.held_out()))), &selection.out_of_fold);
    } else if content.test.is_none() {
        cards += &accuracy("Accuracy on the training rows", &content.outcome.training_metrics);
    }
    format!(r#"<div class="cards">{cards}</div>"#)
}

/// For the middle of a sentence.
pub fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn interval(estimate: &Estimate) -> String {
    format!("[{}, {}]", percent(estimate.low), percent(estimate.high))
}

/// Every score of every set of rows.
pub fn side_by_side(content: &Content) -> String {
    let mut sets = content.scores();
    if let (Some(_), Some(selection)) = (&content.outcome.calibrated_out_of_fold, &content.outcome.selection) {
        sets.push((content.held_out(), &selection.out_of_fold));
    }
    if let Some(nested) = &content.outcome.nested {
        sets.insert(usize::from(content.test.is_some()), ("Nested cross-validation".into(), &nested.metrics));
    }
    if content.test.is_some() || content.outcome.selection.is_some() {
        sets.push(("Training rows".into(), &content.outcome.training_metrics));
    }
    let headings: String = sets.iter().map(|(set, _)| format!(r#"<th scope="col">{}</th>"#, escape(set))).collect();
    let row = |title: &str, cell: &dyn Fn(&Metrics) -> String| {
        let cells: String = sets.iter().map(|(_, metrics)| format!("<td>{}</td>", cell(metrics))).collect();
        format!(r#"<tr><th scope="row">{title}</th>{cells}</tr>"#)
    };
    let estimate = |estimate: &Estimate| {
        format!(r#"{} <span class="interval">{}</span>"#, percent(estimate.value), interval(estimate))
    };
    let mut rows = row("Images", &|metrics| metrics.n.to_string());
    rows += &row("Accuracy %", &|metrics| estimate(&metrics.accuracy));
    rows += &row("Balanced accuracy %", &|metrics| estimate(&metrics.balanced_accuracy));
    if sets.iter().any(|(_, metrics)| metrics.log_loss.is_some()) {
        rows +=
            &row("Log-loss, nats", &|metrics| metrics.log_loss.map_or_else(|| "–".into(), |loss| format!("{loss:.4}")));
    }
    if sets.iter().any(|(_, metrics)| metrics.auc.is_some()) {
        rows += &row("AUC", &|metrics| metrics.auc.map_or_else(|| "–".into(), |auc| format!("{auc:.4}")));
    }
    let unseen = " Out of fold: each row as predicted by the model that had not seen it";
    let held_out = match (&content.outcome.selection, content.chosen_on, content.tuned.symbol()) {
        (None, ..) | (Some(_), Some(_), None) => String::new(),
        (Some(_), None, None) => format!("{unseen}."),
        (Some(_), None, Some(symbol)) => {
            format!("{unseen}; {symbol} was chosen on the same rows, so this is slightly optimistic.")
        }
        (Some(_), Some(_), Some(symbol)) => {
            format!(" The split that chose {symbol} is slightly optimistic for that reason.")
        }
    };
    let nested = match &content.outcome.nested {
        None => "",
        Some(_) => " Nested: C was chosen anew without the rows that score it, so this is not.",
    };
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Scores side by side"><table><thead><tr><td></td>{headings}</tr></thead><tbody>{rows}</tbody></table></div><p class="note">Square brackets: 95 % intervals.{held_out}{nested} Scores on training rows say how far the head can fit, not how good it is.</p>"#
    )
}

/// Precision, recall and F1 of every class.
pub fn by_class(content: &Content) -> String {
    let sets = content.scores();
    let groups: String =
        sets.iter().map(|(set, _)| format!(r#"<th scope="colgroup" colspan="4">{}</th>"#, escape(set))).collect();
    let group_of_columns = r#"<colgroup span="4"></colgroup>"#.repeat(sets.len());
    let headings = r#"<th scope="col" class="first">images</th><th scope="col">precision %</th><th scope="col">recall %</th><th scope="col">F1 %</th>"#
        .repeat(sets.len());
    let rows: String = content
        .classes
        .iter()
        .enumerate()
        .map(|(class, title)| {
            let cells: String = sets
                .iter()
                .map(|(_, metrics)| {
                    let scores = &metrics.per_class[class];
                    format!(
                        r#"<td class="first">{}</td><td>{}</td><td>{}</td><td>{}</td>"#,
                        scores.support,
                        percent_or_dash(scores.precision),
                        percent_or_dash(scores.recall),
                        percent_or_dash(scores.f1)
                    )
                })
                .collect();
            format!(r#"<tr><th scope="row">{}</th>{cells}</tr>"#, name(title))
        })
        .collect();
    format!(
        r#"<div class="scroll tall" tabindex="0" role="region" aria-label="Scores by class"><table><colgroup></colgroup>{group_of_columns}<thead><tr><th scope="col" rowspan="2">class</th>{groups}</tr><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>"#
    )
}
