//! What every page of headstart's has around its sections: style, policy, heading and foot.

use super::html::{escape, name};

/// All of the style is in the page: it has to look the same without a network, for years.
const STYLE: &str = include_str!("style.css");

/// The policy makes a browser refuse to load anything, should anything ever slip through the escaping.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A page that needs nothing but itself.
pub struct Document<'a> {
    /// What it is about; plain text.
    pub title: &'a str,
    /// Of which data; plain text, for the title of the window.
    pub about: &'a str,
    /// The line below the title; HTML.
    pub lead: &'a str,
    /// What stands out above the sections; HTML.
    pub headline: &'a str,
    /// The sections; HTML.
    pub main: &'a str,
}

impl Document<'_> {
    /// The whole file.
    pub fn html(&self) -> String {
        format!(
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{} · {} · headstart</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{}</h1>
<p class="lead">{}</p>
{}
</header>
<main>
{}</main>
<footer><p>Written by headstart {}. The same numbers for programs: <code>metrics.json</code>, beside this page.</p></footer>
</body>
</html>
"#,
            escape(self.title),
            escape(self.about),
            name(self.title),
            self.lead,
            self.headline,
            self.main,
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// A section with its heading.
pub fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{body}\n</section>\n")
}
