//! Contact sheets: images below headings, with what is to be said of each.

use super::ImageRow;
use crate::report::{
    blocks,
    command::quoted,
    document::{Document, section},
    gallery::{tile, tiles},
    html::{escape, name},
    thumbnail::{self, Thumbnail},
};
use headstart_cache::Cache;
use std::ffi::OsString;

/// A page in the making.
pub struct Sheet<'a> {
    cache: &'a Cache,
    command: String,
    main: String,
    /// Why the first image that cannot be shown cannot, as long as none can.
    missing: Option<String>,
    shown: bool,
}

impl<'a> Sheet<'a> {
    /// Of images of this cache.
    pub fn new(cache: &'a Cache, command: &[OsString]) -> Self {
        Self { cache, command: quoted(command), main: String::new(), missing: None, shown: false }
    }

    /// Adds images, each with what is said of it and whether it is of the class that is expected. All plain text.
    pub fn section<'i>(
        &mut self,
        title: &str,
        about: &str,
        images: impl Iterator<Item = (&'i ImageRow, String, bool)>,
    ) {
        let listed_from = self.cache.provenance().images.as_deref();
        let images: Vec<(&ImageRow, String, bool, Thumbnail)> = images
            .map(|(image, said, expected)| (image, said, expected, thumbnail::of(listed_from, &image.path)))
            .collect();
        let class = |image: &ImageRow, expected: bool| {
            let class = match &image.class {
                None => "note",
                Some(_) if expected => "hit",
                Some(_) => "miss",
            };
            let label = image.class.as_deref().unwrap_or("no label");
            let split = if image.split.is_empty() { String::new() } else { format!(" · {}", escape(&image.split)) };
            format!(r#"<span class="{class}">{}</span>{split}"#, name(label))
        };
        let reachable = images.iter().any(|(.., thumbnail)| thumbnail.is_ok());
        self.shown |= reachable;
        if self.missing.is_none() {
            self.missing = images.iter().find_map(|(.., thumbnail)| thumbnail.as_ref().err().cloned());
        }
        let body = if reachable {
            tiles(images.iter().map(|(image, said, expected, thumbnail)| {
                let alt = format!("{}, of class {}", image.path, image.class.as_deref().unwrap_or("unknown"));
                let caption = format!(r#"{}<span class="note">{}</span>"#, class(image, *expected), escape(said));
                tile(thumbnail, &alt, &caption, &image.path)
            }))
        } else {
            let row = |(image, said, expected, _): &(&ImageRow, String, bool, Thumbnail)| {
                vec![name(&image.path), class(image, *expected), escape(said)]
            };
            blocks::table(title, &["image", "<class", "value"], images.iter().map(row))
        };
        self.main += &section(&name(title), &format!("<p>{}</p>{body}", escape(about)));
    }

    /// The whole file.
    pub fn page(self, title: &str, about: &str) -> String {
        let provenance = self.cache.provenance();
        let lead = format!("{} · {}", name(&provenance.backbone), name(about));
        let headline = match self.missing.filter(|_| !self.shown) {
            Some(why) => {
                format!("<p>The images cannot be shown ({}); their paths are listed instead.</p>", escape(&why))
            }
            None => String::new(),
        };
        let main = self.main + &section("The command", &blocks::command(&self.command, None));
        Document { title, about, lead: &lead, headline: &headline, main: &main }.html()
    }
}
