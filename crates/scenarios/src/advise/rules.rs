//! Which of the four scenarios are open, and whether a quick sweep bears out their rules of thumb.

use super::Reading;
use crate::{
    scenario::Scenario,
    sweep::{ALPHA, Sweep, SweepRow},
};
use serde::Serialize;

/// Every case that readings of the two axes (high: large, similar) leave open; an axis without a reading leaves both sides open.
pub fn possible(size: Reading, similarity: Option<Reading>) -> Vec<Scenario> {
    let (small, large) = (size != Reading::High, size != Reading::Low);
    let (similar, different) = match similarity {
        Some(reading) => (reading != Reading::Low, reading != Reading::High),
        None => (true, true),
    };
    let open = |scenario: &Scenario| match scenario {
        Scenario::SmallSimilar => small && similar,
        Scenario::LargeSimilar => large && similar,
        Scenario::SmallDifferent => small && different,
        Scenario::LargeDifferent => large && different,
    };
    Scenario::ALL.into_iter().filter(open).collect()
}

/// Whether the rule asks for training of the network itself.
pub fn fine_tunes(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::LargeSimilar | Scenario::LargeDifferent)
}

/// How a rule and the measurement go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The best row is what the rule says, and better than the others.
    Agree,
    /// What the rule says and what it advises against cannot be told apart.
    Undecided,
    /// What the rule advises against is better.
    Disagree,
    /// The rule is about fine-tuning, which was not tried.
    NotMeasured,
}

/// A rule held against the quick sweep.
#[derive(Debug, Clone, Serialize)]
pub struct RuleCheck {
    /// Of which scenario.
    pub scenario: Scenario,
    /// The rule.
    pub rule: &'static str,
    /// The outcome.
    pub verdict: Verdict,
    /// What was measured, in words.
    pub found: String,
    /// Row of the sweep to go on with: what the rule says where the measurement cannot tell, else the best.
    #[serde(skip)]
    pub take: Option<usize>,
}

/// Holds a rule against a sweep of one cache.
pub fn check(scenario: Scenario, sweep: &Sweep) -> RuleCheck {
    // One cache, hence one group of rows that can be compared.
    let best_of_all = sweep.groups.first().map_or(0, |group| group.best);
    let best = &sweep.rows[best_of_all];
    let made =
        |verdict, found: String, take| RuleCheck { scenario, rule: scenario.rule(), verdict, found, take: Some(take) };
    if fine_tunes(scenario) {
        let found = format!(
            "fine-tuning is not part of headstart yet, so the rule was not tried; without it, the best is {}",
            shown(best)
        );
        return made(Verdict::NotMeasured, found, best_of_all);
    }
    let depth = |row: &SweepRow| row.depth.unwrap_or(0.0);
    let deepest = sweep.rows.iter().map(depth).fold(f64::NEG_INFINITY, f64::max);
    let top_wanted = scenario == Scenario::SmallSimilar;
    let wanted = |row: &SweepRow| (depth(row) >= deepest) == top_wanted;
    let best_of = |wanted: &dyn Fn(&SweepRow) -> bool| {
        let rows = sweep.rows.iter().enumerate().filter(|(_, row)| wanted(row));
        rows.max_by(|a, b| a.1.cv_score.total_cmp(&b.1.cv_score).then(b.0.cmp(&a.0))).map(|(index, _)| index)
    };
    let (Some(ruled), Some(other)) = (best_of(&wanted), best_of(&|row| !wanted(row))) else {
        let found = format!("only one depth was tried: {}", shown(best));
        return made(Verdict::NotMeasured, found, best_of_all);
    };
    let (by_rule, against) = (&sweep.rows[ruled], &sweep.rows[other]);
    let (name, other_name) =
        if top_wanted { ("the top layer", "an earlier one") } else { ("an earlier layer", "the top one") };
    // The best of both is the best of all, which the other was compared with. Each is the best of several rows, so p is the one that
    // is corrected for all of them.
    let (winner, loser) = if ruled == best_of_all { (by_rule, against) } else { (against, by_rule) };
    let p = loser.against_best.as_ref().map(|comparison| comparison.p_holm);
    let both = format!(
        "{name} reaches {}, {other_name} {}{}",
        shown(by_rule),
        shown(against),
        p.map_or_else(String::new, |p| format!(
            " (p {} after Holm's correction, corrected resampled t-test on the same folds)",
            bound(p)
        ))
    );
    match p {
        Some(p) if p <= ALPHA && std::ptr::eq(winner, by_rule) => made(Verdict::Agree, both, ruled),
        Some(p) if p <= ALPHA => made(Verdict::Disagree, both, other),
        _ => made(Verdict::Undecided, both, ruled),
    }
}

/// `= 0.012`, or `< 0.001`.
fn bound(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("= {p:.3}") }
}

/// `84.8 % ± 1.2 (layer4:gap with svm)`.
fn shown(row: &SweepRow) -> String {
    format!("{:.1} % ± {:.1} ({} with {})", 100.0 * row.cv_mean, 100.0 * row.cv_se, row.name(), row.head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::{Comparison, Group};
    use headstart_trainer::{HeadKind, Metric, Tuned};

    fn row(layer: &str, depth: f64, score: f64, p: Option<f64>) -> SweepRow {
        // p alone would tell any two rows apart.
        let comparison = |p_holm| Comparison { difference: -0.1, standard_error: 0.05, p: 1e-9, p_holm, test_p: None };
        SweepRow {
            cache: "x.h5".into(),
            backbone: "resnet18".into(),
            layer: layer.into(),
            pool: "gap".into(),
            head: HeadKind::Svm,
            tuned: Tuned::C(1.0),
            metric: Metric::Accuracy,
            cv_score: score,
            cv_score_se: 0.01,
            fold_scores: Vec::new(),
            test_score: None,
            cv_mean: score,
            cv_se: 0.01,
            n_train: 100,
            n_train_images: 100,
            test: None,
            test_low: None,
            test_high: None,
            n_test: 0,
            against_best: p.map(comparison),
            width: 4,
            bytes_per_image: 16,
            multiply_adds: None,
            streamed: false,
            seconds: 0.0,
            warnings: Vec::new(),
            depth: Some(depth),
        }
    }

    fn sweep(early: f64, top: f64, p: f64) -> Sweep {
        let best = usize::from(top > early);
        let of = |index: usize| (index != best).then_some(p);
        let rows = vec![row("layer1", 0.2, early, of(0)), row("layer4", 0.9, top, of(1))];
        Sweep { groups: vec![Group { rows: vec![0, 1], best, cheapest: best }], rows }
    }

    #[test]
    fn readings_leave_scenarios_open() {
        use Reading::{Between, High, Low};
        assert_eq!(possible(Low, Some(High)), [Scenario::SmallSimilar]);
        assert_eq!(possible(High, Some(Low)), [Scenario::LargeDifferent]);
        assert_eq!(possible(Low, Some(Between)), [Scenario::SmallSimilar, Scenario::SmallDifferent]);
        assert_eq!(possible(Between, Some(High)), [Scenario::SmallSimilar, Scenario::LargeSimilar]);
        assert_eq!(possible(Low, None).len(), 2);
        assert_eq!(possible(Between, None).len(), 4);
    }

    #[test]
    fn rules_against_measurements() {
        let verdict = |scenario, early, top, p| {
            let found = check(scenario, &sweep(early, top, p));
            (found.verdict, found.take.unwrap())
        };
        assert_eq!(verdict(Scenario::SmallSimilar, 0.5, 0.9, 0.001), (Verdict::Agree, 1));
        assert_eq!(verdict(Scenario::SmallSimilar, 0.9, 0.5, 0.001), (Verdict::Disagree, 0));
        assert_eq!(verdict(Scenario::SmallSimilar, 0.9, 0.89, 0.7), (Verdict::Undecided, 1));
        assert_eq!(verdict(Scenario::SmallDifferent, 0.9, 0.5, 0.001), (Verdict::Agree, 0));
        assert_eq!(verdict(Scenario::SmallDifferent, 0.5, 0.9, 0.001), (Verdict::Disagree, 1));
        assert_eq!(verdict(Scenario::SmallDifferent, 0.88, 0.9, 0.5), (Verdict::Undecided, 0));
        assert_eq!(verdict(Scenario::LargeSimilar, 0.5, 0.9, 0.001), (Verdict::NotMeasured, 1));
        let found = check(Scenario::SmallDifferent, &sweep(0.5, 0.9, 1e-5)).found;
        assert!(found.contains("layer4:gap with svm") && found.contains("p < 0.001"), "{found}");
    }
}
