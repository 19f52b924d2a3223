//! Text and numbers as the page shows them.

use headstart_trainer::Tuned;

/// What a grid chose, `C = 0.01`; none for heads with nothing to choose.
pub fn chosen(tuned: Tuned) -> Option<String> {
    Some(format!("{} = {}", tuned.symbol()?, short(tuned.value())))
}

/// Text from outside as it may stand in an element or in a quoted attribute. Characters that HTML forbids become �.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(character),
            _ if character.is_control() => safe.push('\u{fffd}'),
            _ => safe.push(character),
        }
    }
    safe
}

/// A name from outside: escaped, and kept from turning the direction of the text around it.
pub fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(text))
}

/// 0.8251 as `82.5`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}", 100.0 * share) } else { "–".into() }
}

/// As [`percent`]; a ratio of nothing to nothing is a dash.
pub fn percent_or_dash(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), percent)
}

/// C as people write it: 0.01, 100, 3.2e-5.
pub fn short(value: f64) -> String {
    // Four digits, of which zeros at the end say nothing.
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if (1e-3..1e5).contains(&rounded.abs()) || rounded == 0.0 { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// The text with its first letter large.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// One, or several of something.
pub fn count(n: usize, one: &str, several: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {several}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escape("<b>&\"it's\"</b>"), "&lt;b&gt;&amp;&quot;it&#39;s&quot;&lt;/b&gt;");
        assert_eq!(escape("a\0b\u{1b}[1m\u{85}\n"), "a\u{fffd}b\u{fffd}[1m\u{fffd}\n");
        assert_eq!(escape("Größe 漢字"), "Größe 漢字");
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [1e-4, 0.01, 0.0316227766, 1.0, 100.0, 1234.56, 1e6, 3.16227e-5].into_iter().map(short).collect();
        assert_eq!(shown, ["1e-4", "0.01", "0.03162", "1", "100", "1235", "1e6", "3.162e-5"]);
        assert_eq!(
            (percent(0.8251), percent(f64::NAN), percent_or_dash(None)),
            ("82.5".into(), "–".into(), "–".into())
        );
    }
}
