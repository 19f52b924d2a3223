//! Which class was taken for which.

use super::{
    content::Content,
    html::{count, escape, name, percent},
};
use headstart_trainer::Metrics;

/// Classes above which a matrix is no use to anyone; the commonest confusions are listed instead.
const MATRIX_CLASSES: usize = 50;
/// Confusions in that list.
const LISTED: usize = 30;
/// Classes above which a matrix takes the whole width of the page.
const NARROW: usize = 12;
/// Letters that names at the sides of a matrix are cut to.
const LETTERS: usize = 20;
/// Letters, of one name and of all together, above which names of columns run downwards.
const SIDEWAYS: (usize, usize) = (14, 30);

/// A matrix, or a list, for every set of scores.
pub fn section(content: &Content) -> String {
    let each: String = content
        .scores()
        .iter()
        .map(|(set, metrics)| {
            let classes = metrics.per_class.len();
            let shown = if classes <= MATRIX_CLASSES { matrix(set, metrics) } else { commonest(set, metrics) };
            let wide = if (NARROW + 1..=MATRIX_CLASSES).contains(&classes) { r#" class="wide""# } else { "" };
            format!(r#"<div{wide}><h3>{}</h3>{shown}</div>"#, escape(set))
        })
        .collect();
    let legend = if content.classes.len() <= MATRIX_CLASSES {
        r#"<p class="note">Rows: true class. Columns: predicted class. Shading: share of the row; in frames: right.</p>"#
    } else {
        ""
    };
    format!(r#"{legend}<div class="pair">{each}</div>"#)
}

fn matrix(set: &str, metrics: &Metrics) -> String {
    let names: Vec<&str> = metrics.per_class.iter().map(|class| class.class.as_str()).collect();
    let letters = names.iter().map(|name| name.chars().count());
    let downwards = letters.clone().max().unwrap_or(0) > SIDEWAYS.0 || letters.sum::<usize>() > SIDEWAYS.1;
    let class = if downwards { r#" class="downwards""# } else { "" };
    let headings: String =
        names.iter().map(|title| format!(r#"<th scope="col"{class}><div>{}</div></th>"#, short_name(title))).collect();
    let rows: String = metrics
        .confusion
        .iter()
        .enumerate()
        .map(|(truth, row)| {
            let total: usize = row.iter().sum();
            let cells: String =
                row.iter().enumerate().map(|(predicted, &n)| cell(n, total, truth == predicted)).collect();
            format!(r#"<tr><th scope="row">{}</th>{cells}</tr>"#, short_name(names[truth]))
        })
        .collect();
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix, {}"><table class="matrix"><thead><tr><td></td>{headings}</tr></thead><tbody>{rows}</tbody></table></div>"#,
        escape(set)
    )
}

/// A name without its middle where it is too long, for names often differ in their ends only; all of it shows when pointed
/// at, and in the table by class.
fn short_name(title: &str) -> String {
    let letters: Vec<char> = title.chars().collect();
    if letters.len() <= LETTERS {
        return name(title);
    }
    let part = |letters: &[char]| letters.iter().collect::<String>();
    let short = format!("{}…{}", part(&letters[..LETTERS / 2]), part(&letters[letters.len() - LETTERS / 2 + 1..]));
    format!(r#"<span title="{}">{}</span>"#, escape(title), name(&short))
}

/// One count. Right ones are in bold in a frame, so that a print without colours tells them apart.
fn cell(n: usize, total: usize, right: bool) -> String {
    let share = if total == 0 { 0.0 } else { n as f64 / total as f64 };
    let class = match (right, n) {
        (true, _) => "right",
        (false, 0) => "none",
        (false, _) => "wrong",
    };
    format!(r#"<td class="{class}" style="--share:{share:.2}">{n}</td>"#)
}

fn commonest(set: &str, metrics: &Metrics) -> String {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (truth, row) in metrics.confusion.iter().enumerate() {
        pairs.extend(row.iter().enumerate().filter(|&(p, &n)| p != truth && n > 0).map(|(p, &n)| (n, truth, p)));
    }
    pairs.sort_by_key(|&(n, truth, predicted)| (std::cmp::Reverse(n), truth, predicted));
    let different = pairs.len();
    pairs.truncate(LISTED);
    let class = |index: usize| name(&metrics.per_class[index].class);
    let rows: String = pairs
        .iter()
        .map(|&(n, truth, predicted)| {
            let share = n as f64 / metrics.per_class[truth].support as f64;
            format!(
                r#"<tr><th scope="row">{}</th><td class="left">{}</td><td>{n}</td><td>{}</td></tr>"#,
                class(truth),
                class(predicted),
                percent(share)
            )
        })
        .collect();
    format!(
        r#"<p>With {} classes the whole matrix is in <code>metrics.json</code>. The commonest of {}:</p><div class="scroll tall" tabindex="0" role="region" aria-label="Commonest confusions, {}"><table><thead><tr><th scope="col">true class</th><th scope="col" class="left">predicted</th><th scope="col">images</th><th scope="col">% of the class</th></tr></thead><tbody>{rows}</tbody></table></div>"#,
        metrics.per_class.len(),
        count(different, "confusion", "different confusions"),
        escape(set)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::assert_well_formed;

    fn metrics(classes: usize) -> Metrics {
        let names: Vec<String> = (0..classes).map(|class| format!("<class {class}>")).collect();
        let truth: Vec<usize> = (0..classes * 3).map(|row| row / 3).collect();
        let predicted: Vec<usize> = truth.iter().enumerate().map(|(row, &t)| if row < 2 { 1 } else { t }).collect();
        Metrics::new(&names, &truth, &predicted, None)
    }

    #[test]
    fn a_matrix_up_to_a_size_and_a_list_beyond() {
        let few = matrix("Split test", &metrics(4));
        assert_well_formed(&few);
        assert_eq!(few.matches("<td class").count(), 16);
        assert!(few.contains(r#"class="downwards"><div>"#), "the names are too long to stand side by side");
        assert!(few.contains(r#"<td class="wrong" style="--share:0.67">2</td>"#), "{few}");
        assert_eq!(
            short_name("a_name_of_many_letters_12"),
            r#"<span title="a_name_of_many_letters_12"><bdi>a_name_of_…etters_12</bdi></span>"#
        );
        let many = commonest("Split test", &metrics(60));
        assert_well_formed(&many);
        assert!(many.contains("&lt;class 0&gt;") && many.contains("<td>2</td><td>66.7</td>"), "{many}");
        assert!(!many.contains("<class"), "{many}");
    }
}
