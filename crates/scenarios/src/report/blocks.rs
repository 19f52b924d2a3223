//! What sections of pages are put together from.

use super::html::escape;

/// A large figure with what it is.
pub fn card(title: &str, figure: &str, note: &str) -> String {
    format!(
        r#"<div class="card"><p class="title">{title}</p><p class="figure">{figure}</p><p class="note">{note}</p></div>"#
    )
}

/// A table that scrolls in a box of its own where the screen is too narrow. Headings of text columns begin with `<`.
pub fn table(about: &str, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let class = |heading: &str| if heading.starts_with('<') { r#" class="left""# } else { "" };
    let head: String = headings
        .iter()
        .map(|heading| format!(r#"<th scope="col"{}>{}</th>"#, class(heading), heading.trim_start_matches('<')))
        .collect();
    let row = |cells: Vec<String>| -> String {
        let cells = cells.into_iter().zip(headings).enumerate().map(|(at, (cell, heading))| match at {
            0 => format!(r#"<th scope="row">{cell}</th>"#),
            _ => format!("<td{}>{cell}</td>", class(heading)),
        });
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let body: String = rows.into_iter().map(row).collect();
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"#,
        escape(about)
    )
}

/// Facts by their names, below each other.
pub fn facts(facts: &[(&str, String)]) -> String {
    let rows: String =
        facts.iter().map(|(fact, value)| format!(r#"<tr><th scope="row">{fact}</th><td>{value}</td></tr>"#)).collect();
    format!(r#"<table class="facts"><tbody>{rows}</tbody></table>"#)
}

/// The command, ready to be copied, and where it was run.
pub fn command(command: &str, folder: Option<&str>) -> String {
    let folder = folder
        .map_or_else(String::new, |folder| format!(r#"<p class="note">Run in <code>{}</code>.</p>"#, escape(folder)));
    format!(r#"<pre tabindex="0"><code>{}</code></pre>{folder}"#, escape(command))
}
