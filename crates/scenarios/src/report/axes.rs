//! The frame of a plot on the page: scales, grid and ticks. Colours and letters come from the page's style, so that plots
//! follow it into dark mode and onto paper.

use super::html::escape;

/// Size in units of which a phone shows about 340 and a desktop 500: letters stay readable on both.
pub const WIDTH: f64 = 420.0;
pub const HEIGHT: f64 = 290.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 46.0;

/// Two linear scales.
pub struct Axes {
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Axes {
    /// Where a value is, from the left.
    pub fn across(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a value is, from the top.
    pub fn down(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    /// A point as SVG attributes write it.
    pub fn at(&self, x: f64, y: f64) -> String {
        format!("{:.1},{:.1}", self.across(x), self.down(y))
    }

    /// The whole picture around what is drawn in it. `ticks`: values with their labels.
    pub fn picture(
        &self,
        (title, description): (&str, &str),
        (x_name, x_ticks): (&str, &[(f64, String)]),
        (y_name, y_ticks): (&str, &[(f64, String)]),
        drawn: &str,
    ) -> String {
        let (left, right, bottom) = (self.across(self.x.0), self.across(self.x.1), self.down(self.y.0));
        let y_grid: String = y_ticks
            .iter()
            .map(|(value, label)| {
                let y = self.down(*value);
                format!(
                    r#"<path class="grid" d="M{left:.1},{y:.1}H{right:.1}"/><text class="end" x="{:.1}" y="{:.1}">{label}</text>"#,
                    left - 6.0,
                    y + 4.0
                )
            })
            .collect();
        let x_grid: String = x_ticks
            .iter()
            .map(|(value, label)| {
                let x = self.across(*value);
                format!(
                    r#"<path class="axis" d="M{x:.1},{bottom:.1}v4"/><text class="middle" x="{x:.1}" y="{:.1}">{label}</text>"#,
                    bottom + 18.0
                )
            })
            .collect();
        format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}"><title>{}</title>{y_grid}{x_grid}<path class="axis" d="M{left:.1},{bottom:.1}H{right:.1}"/>{drawn}<text class="middle" x="{:.1}" y="{:.1}">{x_name}</text><text x="2" y="13">{y_name}</text></svg>"#,
            escape(description),
            escape(title),
            (left + right) / 2.0,
            HEIGHT - 8.0,
        )
    }
}

/// A range of shares that holds all `values` with room around them, within 0 and 1, and round numbers in it as percent.
pub fn shares(values: impl Iterator<Item = f64>) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = ((high - low) * 0.06).max(0.01);
    // A dot at 100 % is to be seen whole.
    let (low, high) = ((low - room).max(-0.01), (high + room).min(1.01));
    let steps = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
    let step = steps.into_iter().find(|step| (high - low) / step <= 6.5).unwrap_or(0.25);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let label =
        |value: f64| if step < 0.01 { format!("{:.1}", 100.0 * value) } else { format!("{:.0}", 100.0 * value) };
    let ticks = (first..=last).map(|index| index as f64 * step).map(|value| (value, label(value))).collect();
    ((low, high), ticks)
}

/// A range that holds all `values`, none of which is below 0, with room around them, and round numbers in it. `top`: the
/// largest value there can be, if there is one.
pub fn numbers(values: impl Iterator<Item = f64>, top: Option<f64>) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = ((high - low) * 0.06).max(0.01 * high.abs()).max(1e-3);
    // A dot at an end of the scale is to be seen whole.
    let low = (low - room).max(-0.01);
    let high = top.map_or(high + room, |top| (high + room).min(1.01 * top));
    let mut step = 10f64.powf(((high - low) / 6.5).log10().floor());
    step *= [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| (high - low) / (step * times) <= 6.5).unwrap_or(10.0);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    let ticks = (first..=last).map(|index| index as f64 * step).map(|value| (value, format!("{value:.decimals$}")));
    ((low, high), ticks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_not_too_many() {
        for (low, high) in [(0.0, 1.0), (0.98, 0.99), (0.5, 0.5), (0.31, 0.64), (1.0, 1.0), (0.0, 0.0)] {
            let ((from, to), ticks) = shares([low, high].into_iter());
            assert!(from < low && high < to, "{low} {high}");
            assert!((1..=7).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.iter().all(|(value, _)| (from..=to).contains(value)), "{ticks:?}");
        }
        assert_eq!(shares([0.0, 1.0].into_iter()).1[1], (0.2, "20".to_owned()));
    }

    #[test]
    fn numbers_of_any_size_have_round_ticks() {
        for (low, high, top) in
            [(0.5, 1.0, Some(1.0)), (0.97, 0.9712, Some(1.0)), (0.0, 0.0, None), (0.3, 0.3, None), (0.2, 4300.0, None)]
        {
            let ((from, to), ticks) = numbers([low, high].into_iter(), top);
            assert!(from < low && high < to, "{low} {high}: {from} {to}");
            assert!((1..=7).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|(value, _)| (from..=to).contains(value)), "{ticks:?}");
            let mut labels: Vec<&String> = ticks.iter().map(|(_, label)| label).collect();
            labels.dedup();
            assert_eq!(labels.len(), ticks.len(), "{ticks:?}");
        }
        let labels: Vec<String> = numbers([0.5, 1.0].into_iter(), Some(1.0)).1.into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]);
    }
}
