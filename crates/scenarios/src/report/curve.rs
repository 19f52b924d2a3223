//! The metric against C: the folds' mean with its standard error, every fold as a dot, the chosen C marked.

use super::{
    axes::{Axes, numbers, shares},
    content::Content,
    html::{capital, chosen, count, escape, percent, short},
};
use headstart_trainer::{CrossValidation, GridPoint, HeadKind, Measure, Metric, Tuned};

/// The section on the choice of C; warnings are told even where there was no choice.
pub fn section(content: &Content) -> String {
    let warnings = warnings(content);
    let Some(selection) = &content.outcome.selection else {
        return match chosen(content.tuned) {
            Some(chosen) => {
                format!("<p>{chosen} was given; no rows were held out to compare others on.</p>{warnings}")
            }
            None => format!("<p>This kind of head has nothing to choose, and no rows were held out.</p>{warnings}"),
        };
    };
    let (best, metric) = (selection.best(), selection.metric);
    let on = match content.chosen_on {
        Some(split) => format!("on split {}", escape(split)),
        None if selection.repeats == 1 => format!("in each of {} folds (seed {})", selection.folds, selection.seed),
        None => {
            let last = selection.seed.wrapping_add(selection.repeats as u64 - 1);
            let (repeats, folds) = (selection.repeats, selection.folds);
            format!("in each of {folds} folds, dealt out {repeats} times (seeds {} to {last})", selection.seed)
        }
    };
    let Some(symbol) = best.tuned.symbol() else {
        let folds: Vec<String> = best.fold_score.iter().map(|score| metric.digits(score.unwrap_or(f64::NAN))).collect();
        return format!(
            "<p>This kind of head has nothing to choose. {} on held-out rows {on}: {}{} ± {} (folds: {}).</p>{warnings}",
            capital(metric.title()),
            metric.digits(best.mean_score),
            metric.unit(),
            metric.digits(best.score_standard_error),
            folds.join(" · ")
        );
    };
    let spread = match content.chosen_on {
        Some(_) => "The band is ± one standard error, from the spread of the rows.",
        None if selection.repeats == 1 => {
            "Dots are single folds, the line is their mean, the band ± one standard error of it."
        }
        None => {
            "Dots are single folds, the line is their mean, the band ± one standard error of it, corrected for the rows \
             that folds of several repeats share (Nadeau and Bengio 2003)."
        }
    };
    format!(
        r#"<figure class="plot">{}<figcaption>{} on held-out rows {on}. {spread} Chosen: {symbol} = {}, {}{} ± {}.</figcaption></figure>{warnings}{}"#,
        picture(selection),
        capital(metric.title()),
        short(at(best)),
        metric.digits(best.mean_score),
        metric.unit(),
        metric.digits(best.score_standard_error),
        table(selection),
    )
}

fn warnings(content: &Content) -> String {
    let certificate = &content.outcome.refit.certificate;
    let what = match certificate.measure {
        Measure::RelativeWeightError => "the weights are within a relative error of",
        Measure::RelativeDualityGap => "the objective is above its minimum by at most a share of",
        Measure::ClosedForm if content.kind == HeadKind::Knn => {
            let kept = "<p>Nothing is fitted: the head keeps its training vectors.</p>";
            return kept.to_owned() + &list_of_warnings(content);
        }
        Measure::ClosedForm => return format!("<p>The fit is in closed form.</p>{}", list_of_warnings(content)),
    };
    let reached = if certificate.converged { "converged" } else { "did not converge" };
    let fit = format!(
        "<p>The final fit {reached}: {what} {:.1e} (asked for: {:.0e}).</p>",
        certificate.value, certificate.tolerance
    );
    fit + &list_of_warnings(content)
}

fn list_of_warnings(content: &Content) -> String {
    let warnings: String =
        content.outcome.warnings.iter().map(|warning| format!("<li>{}</li>", escape(warning))).collect();
    match &warnings[..] {
        "" => warnings,
        _ => format!(r#"<div class="warning"><h3>Warnings</h3><ul>{warnings}</ul></div>"#),
    }
}

/// The letter of what was chosen.
fn symbol(point: &GridPoint) -> &'static str {
    point.tuned.symbol().unwrap_or("C")
}

/// What the axis shows.
fn axis(tuned: Tuned) -> &'static str {
    match tuned {
        Tuned::Neighbors(_) => "k (nearest neighbours, logarithmic)",
        Tuned::C(_) | Tuned::Nothing => "C (inverse regularisation, logarithmic)",
    }
}

/// Where a point is along the axis.
fn at(point: &GridPoint) -> f64 {
    point.tuned.value()
}

fn picture(selection: &CrossValidation) -> String {
    let mut points: Vec<&GridPoint> = selection.points.iter().collect();
    points.sort_by(|a, b| at(a).total_cmp(&at(b)));
    let metric = selection.metric;
    // Standard errors may reach beyond what there can be.
    let top = if metric.is_bounded() { 1.0 } else { f64::INFINITY };
    let ends = |point: &GridPoint| {
        [point.mean_score - point.score_standard_error, point.mean_score + point.score_standard_error]
            .map(|end| end.clamp(0.0, top))
    };
    let all = points.iter().flat_map(|point| point.fold_score.iter().flatten().copied().chain(ends(point)));
    let (y, y_ticks) = match metric.is_percentage() {
        true => shares(all),
        false => numbers(all, metric.is_bounded().then_some(top)),
    };
    let (low, high) = (at(points[0]).log10(), at(points[points.len() - 1]).log10());
    let room = (0.04 * (high - low)).max(0.1);
    let axes = Axes { x: (low - room, high + room), y };

    let place = |point: &GridPoint, value: f64| axes.at(at(point).log10(), value);
    let upper = points.iter().map(|point| place(point, ends(point)[1]));
    let lower = points.iter().rev().map(|point| place(point, ends(point)[0]));
    let band: Vec<String> = upper.chain(lower).collect();
    let line: Vec<String> = points.iter().map(|point| place(point, point.mean_score)).collect();
    let dot = |c: f64, value: f64, class: &str, radius: f64| {
        let (x, y) = (axes.across(c.log10()), axes.down(value));
        format!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#)
    };
    let folds: String = points
        .iter()
        .flat_map(|point| point.fold_score.iter().flatten().map(|&value| dot(at(point), value, "fold", 2.6)))
        .collect();
    let means: String = points
        .iter()
        .map(|point| {
            dot(at(point), point.mean_score, if point.certificate.converged { "mean" } else { "mean doubtful" }, 3.6)
        })
        .collect();
    let best = selection.best();
    let (x, top, bottom) = (axes.across(at(best).log10()), axes.down(axes.y.1), axes.down(axes.y.0));
    let anchor = if at(best).log10() > (low + high) / 2.0 { ("end", -6.0) } else { ("start", 6.0) };
    let chosen = format!(
        r#"<path class="chosen" d="M{x:.1},{bottom:.1}V{top:.1}"/>{}<text class="{} strong" x="{:.1}" y="{:.1}">{symbol} = {}</text>"#,
        dot(at(best), best.mean_score, "ring", 7.0),
        anchor.0,
        x + anchor.1,
        bottom - 8.0,
        short(at(best)),
        symbol = symbol(best),
    );
    let drawn = format!(
        r#"<polygon class="band" points="{}"/>{folds}<polyline class="line" points="{}"/>{means}{chosen}"#,
        band.join(" "),
        line.join(" ")
    );
    let description = format!(
        "Mean {} over {} against {} from {} to {}; the best is {}{} at {symbol} = {}.",
        metric.title(),
        count(selection.folds, "split", "folds"),
        count(points.len(), &format!("value of {}", symbol(best)), &format!("values of {}", symbol(best))),
        short(at(points[0])),
        short(at(points[points.len() - 1])),
        metric.digits(best.mean_score),
        metric.unit(),
        short(at(best)),
        symbol = symbol(best),
    );
    let x_ticks = decades(&points, low - room, high + room);
    let title = format!("{} against {}", capital(metric.title()), symbol(best));
    let x_name = axis(best.tuned);
    axes.picture((&title, &description), (x_name, &x_ticks), (&measured(metric), &y_ticks), &drawn)
}

/// Powers of ten along the axis; the values themselves where it spans no two of them, and for numbers of neighbours.
fn decades(points: &[&GridPoint], low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    let is_count = points.iter().any(|point| matches!(point.tuned, Tuned::Neighbors(_)));
    if last - first >= 1 && !is_count {
        let step = (last - first) / 9 + 1;
        return (first..=last).step_by(step as usize).map(|power| (f64::from(power), power_of_ten(power))).collect();
    }
    let step = points.len() / 5 + 1;
    points.iter().step_by(step).map(|point| (at(point).log10(), short(at(point)))).collect()
}

fn power_of_ten(power: i32) -> String {
    let raised = |digit: char| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(digit),
    };
    format!("10{}", power.to_string().chars().map(raised).collect::<String>())
}

/// A metric and its unit: `accuracy, %`.
fn measured(metric: Metric) -> String {
    match metric.unit().trim() {
        "" => metric.title().into(),
        unit => format!("{}, {unit}", metric.title()),
    }
}

fn table(selection: &CrossValidation) -> String {
    let metric = selection.metric;
    let other = metric != Metric::Accuracy;
    let has_loss = metric != Metric::LogLoss && selection.points.iter().any(|point| point.log_loss.is_some());
    let rows: String = selection
        .points
        .iter()
        .enumerate()
        .map(|(index, point)| {
            let folds: Vec<String> =
                point.fold_score.iter().map(|score| metric.digits(score.unwrap_or(f64::NAN))).collect();
            let cell = |wanted: bool, text: String| if wanted { format!("<td>{text}</td>") } else { String::new() };
            let accuracy = cell(other, percent(point.mean_accuracy));
            let loss = cell(has_loss, point.log_loss.map_or_else(|| "–".into(), |loss| format!("{loss:.4}")));
            let class = if index == selection.best { r#" class="best""# } else { "" };
            let certificate = &point.certificate;
            let converged = if certificate.converged { "" } else { " (not converged)" };
            format!(
                r#"<tr{class}><th scope="row">{}</th><td>{}</td><td>{}</td>{accuracy}{loss}<td>{:.0e}{converged}</td><td class="left">{}</td></tr>"#,
                short(at(point)),
                metric.digits(point.mean_score),
                metric.digits(point.score_standard_error),
                certificate.value,
                folds.join(" · ")
            )
        })
        .collect();
    let symbol = symbol(selection.best());
    let heading =
        |wanted: bool, text: &str| if wanted { format!(r#"<th scope="col">{text}</th>"#) } else { String::new() };
    let (accuracy, loss) = (heading(other, "accuracy, %"), heading(has_loss, "log-loss"));
    let measured = measured(metric);
    format!(
        r#"<details><summary>Every {symbol} in numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Scores of every {symbol}"><table><thead><tr><th scope="col">{symbol}</th><th scope="col">{measured}</th><th scope="col">± s.e.</th>{accuracy}{loss}<th scope="col">certificate</th><th scope="col" class="left">folds: {measured}</th></tr></thead><tbody>{rows}</tbody></table></div></details>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Fixture, assert_well_formed};
    use headstart_trainer::HeadKind;

    #[test]
    fn every_fold_of_every_c_is_a_dot() {
        let fixture = Fixture::new(HeadKind::Logistic);
        let content = Content::gather(&fixture.subject()).unwrap();
        let selection = content.outcome.selection.as_ref().unwrap();
        let svg = picture(selection);
        assert_well_formed(&svg);
        let dots = svg.matches(r#"class="fold""#).count();
        assert_eq!(dots, selection.points.len() * selection.folds);
        assert_eq!(svg.matches(r#"class="mean"#).count(), selection.points.len());
        assert!(svg.contains(&format!("C = {}</text>", short(at(selection.best())))));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn one_c_is_a_picture_too() {
        let fixture = Fixture::new(HeadKind::Svm);
        let content = Content::gather(&fixture.subject()).unwrap();
        let mut selection = content.outcome.selection.clone().unwrap();
        selection.points = vec![selection.best().clone()];
        selection.best = 0;
        selection.points[0].fold_score = vec![Some(1.0), None, Some(1.0)];
        (selection.points[0].mean_score, selection.points[0].score_standard_error) = (1.0, 0.0);
        let svg = picture(&selection);
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn the_metric_is_named_wherever_it_is_shown() {
        for (metric, axis) in
            [(Metric::Accuracy, "accuracy, %"), (Metric::LogLoss, "log-loss, nats"), (Metric::Auc, "AUC")]
        {
            let fixture = Fixture::chosen_by(HeadKind::Logistic, metric);
            let content = Content::gather(&fixture.subject()).unwrap();
            let section = section(&content);
            assert_well_formed(&section);
            assert!(section.contains(&format!(">{axis}</text>")), "{section}");
            assert!(section.contains(&format!(r#"<th scope="col">{axis}</th>"#)), "{section}");
            assert!(section.contains(&format!("<figcaption>{} on held-out rows", capital(metric.title()))));
            assert!(section.contains(r#"<th scope="col">accuracy, %</th>"#), "accuracy is always told");
            assert!(!section.contains("NaN") && !section.contains("inf"), "{section}");
            let best = content.outcome.selection.as_ref().unwrap().best();
            assert!(section.contains(&format!("<td>{}</td>", metric.digits(best.mean_score))));
        }
    }

    #[test]
    fn powers_are_raised() {
        assert_eq!([-4, 0, 12].map(power_of_ten), ["10⁻⁴", "10⁰", "10¹²"]);
    }
}
