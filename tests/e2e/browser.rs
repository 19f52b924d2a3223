//! Chromium without a window, to see pages as readers do.

use crate::harness::{Dir, repository, skip};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The browser of this machine.
pub struct Browser(PathBuf);

impl Browser {
    /// None, after saying so, where there is none.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("HEADSTART_CHROMIUM").map(PathBuf::from);
        let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
        let found = named.into_iter().chain(usual).find(|path| path.exists());
        if found.is_none() {
            skip("no browser (apt-get install chromium); HEADSTART_CHROMIUM names another");
        }
        found.map(Self)
    }

    /// Looks at a page in a viewport of this width, and gives what it measured.
    ///
    /// Windows of Chromium are at least 500 pixels wide, so the page is put into a frame, whose width it takes for that of
    /// the screen. A screenshot of all of it is left in the folder that HEADSTART_SCREENSHOTS names, if it does.
    pub fn look(&self, dir: &Dir, page: &str, width: u32, name: &str) -> Seen {
        let html = String::from_utf8(dir.read(page)).unwrap().replace('&', "&amp;").replace('"', "&quot;");
        let measure = include_str!("browser.js");
        let wrapper = |height: u64| {
            format!(
                "<!DOCTYPE html><meta charset=utf-8><body style=margin:0><iframe style='border:0;width:{width}px;height:{height}px' \
                 srcdoc=\"{html}\"></iframe><script>{measure}</script>"
            )
        };
        dir.write("wrapper.html", wrapper(900));
        let dumped = self.run(dir, &["--dump-dom"], (1400, 1000));
        let (_, said) = dumped.split_once("<pre id=\"measured\">").expect("the script has run");
        let said = said.split_once("</pre>").unwrap().0.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let measured: Value = serde_json::from_str(&said).unwrap();

        let height = measured["height"].as_u64().unwrap().min(12_000);
        dir.write("wrapper.html", wrapper(height));
        let picture = dir.path(&format!("{name}.png"));
        self.run(dir, &[&format!("--screenshot={}", picture.display())], (width.max(500), height as u32));
        if let Some(folder) = std::env::var_os("HEADSTART_SCREENSHOTS") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(&picture, Path::new(&folder).join(format!("{name}.png"))).unwrap();
        }
        Seen { measured, picture: image::open(picture).unwrap().to_rgb8() }
    }

    fn run(&self, dir: &Dir, arguments: &[&str], (width, height): (u32, u32)) -> String {
        let profile = tempfile::tempdir().unwrap();
        let output = Command::new(&self.0)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={width},{height}"))
            .args(arguments)
            .arg(format!("file://{}", dir.path("wrapper.html").display()))
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A page as a reader sees it.
pub struct Seen {
    /// What browser.js found.
    pub measured: Value,
    pub picture: image::RgbImage,
}

impl Seen {
    /// Insists on what any page has to be: as wide as the screen and no wider, with all its pictures, from no other place,
    /// in letters that can be read.
    #[track_caller]
    pub fn is_sound(&self, width: u32) {
        let measured = &self.measured;
        assert_eq!(measured["innerWidth"], width, "{measured}");
        assert!(measured["scrollWidth"].as_u64().unwrap() <= u64::from(width), "it runs out of the screen: {measured}");
        assert_eq!(measured["outside"], serde_json::json!([]), "these run out of the screen");
        assert_eq!(measured["brokenImages"], 0);
        assert_eq!(measured["loaded"], serde_json::json!([]), "everything has to be in the page");
        assert!(measured["smallestLetters"].as_f64().unwrap() >= 9.5, "{measured}");
        assert!(measured["leastContrast"].as_f64().unwrap() >= 4.5, "{measured}");
        let background = self.picture.get_pixel(2, 2);
        let drawn = self.picture.pixels().filter(|pixel| *pixel != background).count();
        assert!(drawn > 20_000, "the picture is all but empty");
    }
}
