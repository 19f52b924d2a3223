//! Scores with their intervals as rows of dots, one band for each name: names of any length fit, on a phone too.

use super::{
    axes::shares,
    html::{escape, name, percent},
};
use crate::plot::{
    ScorePlot,
    mark::{Mark, RADIUS},
};

/// As other plots of the page: letters stay readable on a phone.
const WIDTH: f64 = super::axes::WIDTH;
/// Height of a dot's line within a band.
const LINE: f64 = 15.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 40.0;
const RIGHT: f64 = 14.0;
/// Letters of a name that are shown; the rest is in its tooltip.
const LETTERS: usize = 20;

/// The picture with its legend.
pub fn figure(plot: &ScorePlot, caption: &str) -> String {
    let names = plot.series.iter().map(|series| series.name.as_str());
    format!(r#"<figure class="plot">{}{}<figcaption>{caption}</figcaption></figure>"#, legend(names), picture(plot))
}

/// The marks of series with their names.
pub fn legend<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let entries: String = names
        .into_iter()
        .enumerate()
        .map(|(index, series)| {
            let marker = marker(index, 8.0, 8.0);
            format!(r#"<li><svg viewBox="0 0 16 16" aria-hidden="true">{marker}</svg>{}</li>"#, name(series))
        })
        .collect();
    format!(r#"<ul class="legend">{entries}</ul>"#)
}

fn picture(plot: &ScorePlot) -> String {
    let shown: Vec<String> = plot.layers.iter().map(|name| shortened(name)).collect();
    let letters = shown.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = 14.0 + 6.9 * letters as f64;
    let band = LINE * plot.series.len() as f64 + 8.0;
    let height = TOP + band * plot.layers.len() as f64 + BOTTOM;
    let all = plot.series.iter().flat_map(|series| &series.points).flat_map(|point| [point.low, point.high]);
    let ((low, high), ticks) = shares(all.map(|end| end.clamp(0.0, 1.0)));
    let across = |score: f64| left + (score.clamp(0.0, 1.0) - low) / (high - low) * (WIDTH - left - RIGHT);
    let bottom = height - BOTTOM;
    let grid: String = ticks
        .iter()
        .map(|(value, label)| {
            let x = across(*value);
            format!(
                r#"<path class="grid" d="M{x:.1},{TOP}V{bottom:.1}"/><text class="middle" x="{x:.1}" y="{:.1}">{label}</text>"#,
                bottom + 16.0
            )
        })
        .collect();
    let names: String = plot
        .layers
        .iter()
        .zip(&shown)
        .enumerate()
        .map(|(row, (name, shown))| {
            let y = TOP + band * (row as f64 + 0.5) + 4.0;
            format!(
                r#"<text class="end name" x="{:.1}" y="{y:.1}">{}<title>{}</title></text>"#,
                left - 8.0,
                escape(shown),
                escape(name)
            )
        })
        .collect();
    let mut dots = String::new();
    for (index, series) in plot.series.iter().enumerate() {
        for point in &series.points {
            let y = TOP + band * point.layer as f64 + 4.0 + LINE * (index as f64 + 0.5);
            let (from, to) = (across(point.low), across(point.high));
            let class = index % COLOURS;
            dots += &format!(
                r#"<g><title>{}, {}: {} [{}, {}]</title><path class="whisker c{class}" d="M{from:.1},{y:.1}H{to:.1}"/>{}</g>"#,
                escape(&plot.layers[point.layer]),
                escape(&series.name),
                percent(point.score),
                percent(point.low),
                percent(point.high),
                marker(index, across(point.score), y)
            );
        }
    }
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{}"><title>{}</title>{grid}<path class="axis" d="M{left:.1},{bottom:.1}H{:.1}"/>{names}{dots}<text class="middle" x="{:.1}" y="{:.1}">{}</text></svg>"#,
        escape(&format!("{}; the table below has the numbers", plot.title)),
        escape(&plot.title),
        WIDTH - RIGHT,
        (left + WIDTH - RIGHT) / 2.0,
        height - 6.0,
        escape(&plot.score)
    )
}

/// Colours in the page's style.
pub const COLOURS: usize = 6;

/// The mark of a series, by which alone 32 of them can be told apart in black and white.
pub fn marker(index: usize, x: f64, y: f64) -> String {
    let (class, mark) = (index % COLOURS, Mark::of(index));
    let outline = if mark.corners.is_empty() {
        format!(r#"<circle class="dot c{class}" cx="{x:.1}" cy="{y:.1}" r="{RADIUS}"/>"#)
    } else {
        let corner = |&(right, down): &(f64, f64)| format!("{:.1},{:.1}", x + right, y + down);
        let corners: Vec<String> = mark.corners.iter().map(corner).collect();
        format!(r#"<polygon class="dot c{class}" points="{}"/>"#, corners.join(" "))
    };
    let (across, down) = match mark.cut.lines() {
        (false, false) => return outline,
        (across, down) => (if across { "m-4,0h8m-4,0" } else { "" }, if down { "m0,-4v8" } else { "" }),
    };
    format!(r#"{outline}<path class="cut c{class}" d="M{x:.1},{y:.1}{across}{down}"/>"#)
}

/// The end of a long name: layers of one network begin alike.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    match letters.len() {
        0..=LETTERS => name.to_owned(),
        count => format!("…{}", letters[count - LETTERS + 1..].iter().collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Point, Series};
    use crate::report::fixture::assert_well_formed;

    #[test]
    fn every_score_is_drawn_and_named() {
        let point = |layer, score| Point { layer, score, low: score - 0.1, high: score + 0.1 };
        let plot = ScorePlot {
            title: "a <b>".into(),
            score: "accuracy (%)".into(),
            layers: vec!["conv1".into(), "a.very.long.name.of.a.layer.relu_2:gap".into()],
            series: vec![
                Series { name: "logistic".into(), points: vec![point(0, 0.5), point(1, 0.95)] },
                Series { name: "svm & co".into(), points: vec![point(1, 0.9)] },
            ],
        };
        let shown = figure(&plot, "caption");
        assert_well_formed(&shown);
        assert_eq!(shown.matches("whisker").count(), 3);
        assert_eq!((shown.matches("<circle").count(), shown.matches("<polygon").count()), (3, 2), "legend included");
        assert!(shown.contains("95.0 [85.0, 105.0]") && shown.contains("svm &amp; co") && !shown.contains("<b>"));
        assert!(shown.contains("…y.long.name") || shown.contains("…"), "{shown}");
    }

    #[test]
    fn marks_differ_without_their_colours() {
        let bare = |index| {
            (0..COLOURS).fold(marker(index, 8.0, 8.0), |text, colour| text.replace(&format!(" c{colour}\""), "\""))
        };
        let marks: std::collections::HashSet<String> = (0..Mark::COUNT).map(bare).collect();
        assert_eq!(marks.len(), Mark::COUNT);
    }

    #[test]
    fn print_shows_what_the_screen_shows() {
        let (_, print) = include_str!("style.css").split_once("@media print").unwrap();
        let value = |name: &str| {
            let (_, after) = print.split_once(&format!("--{name}: #")).unwrap();
            after.split(';').next().unwrap()
        };
        assert_eq!(value("paper"), "fff");
        for colour in ["ink", "soft", "blue", "orange", "green", "purple"] {
            let first = u8::from_str_radix(&value(colour)[..1], 16).unwrap();
            assert!(first <= 7, "{colour} is too faint on paper");
        }
        // Only what nobody has opened is left out.
        let hidden: Vec<&str> = print.lines().filter(|line| line.contains("display: none")).collect();
        assert_eq!(hidden, ["  details:not([open]) { display: none; }"]);
        assert!(!print.contains("visibility") && !print.contains("opacity"));
    }
}
