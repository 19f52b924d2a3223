//! Progress bars, on a terminal only.

#[cfg(feature = "torch")]
pub use extraction::Bar;

use indicatif::ProgressBar;
use std::time::Duration;

/// Says what is being done, for work of unknown length.
pub struct Spinner(ProgressBar);

impl Default for Spinner {
    fn default() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }
}

impl Spinner {
    /// What is being done now.
    pub fn tell(&self, what: String) {
        self.0.set_message(what);
    }

    /// Prints with the line out of the way.
    pub fn pause(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    /// Removes the line.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(feature = "torch")]
mod extraction {
    use crate::table;
    use headstart_extractor::pipeline::{Estimate, Progress};
    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
    use std::sync::OnceLock;

    /// Shows an extraction: what it will take, a bar with rate and time left, and every image that cannot be used.
    #[derive(Default)]
    pub struct Bar {
        bar: OnceLock<ProgressBar>,
    }

    impl Bar {
        /// Removes the bar, leaving what was said above it.
        pub fn finish(&self) {
            if let Some(bar) = self.bar.get() {
                bar.finish_and_clear();
            }
        }

        fn say(&self, line: &str) {
            match self.bar.get() {
                Some(bar) if !bar.is_hidden() => bar.println(line),
                _ => eprintln!("{line}"),
            }
        }
    }

    impl Progress for Bar {
        fn begin(&self, plan: &Estimate) {
            // Nobody needs to know that it will take "0.0 s".
            let time =
                plan.seconds.map_or_else(String::new, |s| format!(", about {}", table::short_seconds(s.max(0.1))));
            let already = if plan.already == 0 { String::new() } else { format!(" ({} are done)", plan.already) };
            let what = if plan.views { "views" } else { "images" };
            eprintln!("{} {what} to do{already}: {} of activations{time}", plan.rows, table::short_bytes(plan.bytes));
            let bar = ProgressBar::with_draw_target(Some(plan.rows as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(&format!(
                "{{bar:32}} {{pos}}/{{len}} {what}  {{per_sec}}  {{elapsed}} elapsed  {{eta}} left"
            ));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            let _ = self.bar.set(bar);
        }

        fn advance(&self, rows: usize) {
            if let Some(bar) = self.bar.get() {
                bar.inc(rows as u64);
            }
        }

        fn bad_image(&self, path: &str, reason: &str) {
            self.say(&format!("skipped {path}: {reason}"));
        }
    }
}
