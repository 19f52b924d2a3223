//! How similar images are to the source data: measures to scores, scores to a reading.

use super::{
    Reading,
    calibration::{CalibratedBackbone, KnownSet, Scale},
    measure::{Evidence, Measure, Measured},
};
use serde::Serialize;

/// Groups of images that are left out in turn to see how much measures owe to the sample.
const GROUPS: usize = 10;

/// The second axis.
#[derive(Debug, Clone, Serialize)]
pub struct Similarity {
    /// Images measured.
    pub images: usize,
    /// What was measured.
    pub measured: Measured,
    /// What each measure says.
    pub parts: Vec<SimilarityPart>,
    /// The mean of the parts' scores, all with one weight (Dawes 1979: with few cases, equal weights predict as well as fitted ones);
    /// above 0 is similar. None without calibration.
    pub score: Option<f64>,
    /// Its standard error over the sample (jackknife over ten groups of images).
    pub standard_error: Option<f64>,
    /// Scores up to here are different: half of what the most similar of the known different sets has.
    pub different_below: Option<f64>,
    /// Scores from here on are similar: half of what the most different of the known similar sets has.
    pub similar_above: Option<f64>,
    /// High: similar; low: different. None where nothing can be said.
    pub reading: Option<Reading>,
    /// Why nothing can be said.
    pub why_not: Option<String>,
    /// The known sets with their scores by these measures, the most similar first.
    pub known: Vec<KnownScore>,
    /// How many of them the others place right, thresholds made without them.
    pub placed_by_others: usize,
}

/// What one measure says.
#[derive(Debug, Clone, Serialize)]
pub struct SimilarityPart {
    /// Which.
    pub measure: Measure,
    /// The value.
    pub value: f64,
    /// Its threshold and unit.
    pub scale: Scale,
    /// How many units the value lies on the similar side.
    pub score: f64,
    /// What it says alone; between, where it lies among sets of both kinds or in the gap between them.
    pub reading: Reading,
}

/// A set of known kind on the same scale.
#[derive(Debug, Clone, Serialize)]
pub struct KnownScore {
    /// What is known.
    #[serde(flatten)]
    pub set: KnownSet,
    /// Its score.
    pub score: f64,
}

/// Judges the images of `rows`. `calibrated` is what is known of the backbone, or why nothing is.
pub fn similarity(evidence: &Evidence, rows: usize, calibrated: Result<&CalibratedBackbone, String>) -> Similarity {
    let all: Vec<usize> = (0..rows).collect();
    let measured = if rows == 0 { Measured::default() } else { evidence.measured(&all) };
    let mut found = judge(measured, rows, calibrated.clone());
    if let (Ok(known), Some(score)) = (calibrated, found.score) {
        let groups = GROUPS.min(rows);
        let without = |group: usize| -> Option<f64> {
            let rest: Vec<usize> = all.iter().copied().filter(|row| row % groups != group).collect();
            judge(evidence.measured(&rest), rest.len(), Ok(known)).score
        };
        let scores: Vec<f64> = (0..groups).filter_map(without).collect();
        if rows >= 2 && scores.len() == groups {
            let mean = scores.iter().sum::<f64>() / groups as f64;
            let sum: f64 = scores.iter().map(|other| (other - mean).powi(2)).sum();
            let error = ((groups - 1) as f64 / groups as f64 * sum).sqrt();
            found.standard_error = Some(error);
            if score.abs() < 1.96 * error {
                found.reading = Some(Reading::Between);
            }
        }
    }
    found
}

/// Judges measured values, without what the sample adds.
pub fn judge(measured: Measured, images: usize, calibrated: Result<&CalibratedBackbone, String>) -> Similarity {
    let mut found = Similarity {
        images,
        measured,
        parts: Vec::new(),
        score: None,
        standard_error: None,
        different_below: None,
        similar_above: None,
        reading: None,
        why_not: None,
        known: Vec::new(),
        placed_by_others: 0,
    };
    let calibrated = match calibrated {
        Ok(calibrated) => calibrated,
        Err(reason) => return Similarity { why_not: Some(reason), ..found },
    };
    let sets: Vec<&KnownSet> = calibrated.sets.iter().collect();
    let measures: Vec<Measure> =
        measured.measures().into_iter().filter(|&measure| Scale::of(measure, &sets).is_some()).collect();
    if measures.is_empty() {
        return Similarity { why_not: Some("nothing that is calibrated could be measured".into()), ..found };
    }
    let Some(scores) = Scores::of(&measures, &sets) else {
        return Similarity { why_not: Some("too few calibrated sets".into()), ..found };
    };
    for (measure, scale) in &scores.scales {
        let Some(value) = measured.get(*measure) else { continue };
        let score = scale.score(*measure, value);
        // Half the gap on either side is no man's land; where kinds overlap, so is the overlap.
        let edge = scale.gap.abs() / 2.0;
        found.parts.push(SimilarityPart {
            measure: *measure,
            value,
            scale: *scale,
            score,
            reading: read(score, -edge, edge),
        });
    }
    let score = scores.score(&measured);
    found.score = Some(score);
    found.known =
        sets.iter().map(|set| KnownScore { set: (*set).clone(), score: scores.score(&set.measured) }).collect();
    found.known.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (different, similar) = scores.edges(&sets);
    found.different_below = Some(different);
    found.similar_above = Some(similar);
    found.placed_by_others = placed_by_others(&measures, &sets);
    if similar <= different {
        found.why_not = Some(
            "what could be measured does not tell the known sets apart by itself; the other measures are needed".into(),
        );
    } else {
        found.reading = Some(read(score, different, similar));
    }
    found
}

fn read(score: f64, different: f64, similar: f64) -> Reading {
    match score {
        score if score <= different => Reading::Low,
        score if score >= similar => Reading::High,
        _ => Reading::Between,
    }
}

/// The scales of some measures.
struct Scores {
    scales: Vec<(Measure, Scale)>,
}

impl Scores {
    fn of(measures: &[Measure], sets: &[&KnownSet]) -> Option<Self> {
        let scales = measures.iter().map(|&measure| Some((measure, Scale::of(measure, sets)?)));
        Some(Self { scales: scales.collect::<Option<_>>()? })
    }

    fn score(&self, measured: &Measured) -> f64 {
        let scores: Vec<f64> = self
            .scales
            .iter()
            .filter_map(|(measure, scale)| Some(scale.score(*measure, measured.get(*measure)?)))
            .collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }

    /// Half of the scores of the sets that come nearest to the other kind.
    fn edges(&self, sets: &[&KnownSet]) -> (f64, f64) {
        let of =
            |similar: bool| sets.iter().filter(move |set| set.similar == similar).map(|set| self.score(&set.measured));
        (0.5 * of(false).fold(f64::NEG_INFINITY, f64::max), 0.5 * of(true).fold(f64::INFINITY, f64::min))
    }
}

/// How many sets lie on their side of 0 by thresholds made from the others.
fn placed_by_others(measures: &[Measure], sets: &[&KnownSet]) -> usize {
    let right = |index: &usize| {
        let others: Vec<&KnownSet> =
            sets.iter().enumerate().filter(|(other, _)| other != index).map(|(_, set)| *set).collect();
        Scores::of(measures, &others)
            .is_some_and(|scores| (scores.score(&sets[*index].measured) > 0.0) == sets[*index].similar)
    };
    (0..sets.len()).filter(right).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::calibration;

    fn set(similar: bool, confidence: f64, distance: Option<f64>) -> KnownSet {
        let measured = Measured { confidence: Some(confidence), information: None, distance, entropy: None };
        KnownSet { name: "x".into(), origin: "made".into(), similar, images: 300, measured }
    }

    fn made() -> CalibratedBackbone {
        let sets = vec![
            set(true, 0.6, Some(0.1)),
            set(true, 0.5, Some(0.2)),
            set(false, 0.3, Some(0.6)),
            set(false, 0.1, Some(0.5)),
        ];
        CalibratedBackbone { backbone: "made".into(), weights: String::new(), input: 224, sets }
    }

    fn reading(confidence: Option<f64>, distance: Option<f64>) -> Option<Reading> {
        judge(Measured { confidence, distance, ..Measured::default() }, 300, Ok(&made())).reading
    }

    #[test]
    fn values_on_either_side_and_in_the_middle() {
        assert_eq!(reading(Some(0.7), Some(0.1)), Some(Reading::High));
        assert_eq!(reading(Some(0.2), Some(0.7)), Some(Reading::Low));
        assert_eq!(reading(Some(0.4), Some(0.35)), Some(Reading::Between));
        // Measures that contradict each other.
        assert_eq!(reading(Some(0.55), Some(0.6)), Some(Reading::Between));
        // One is enough, if it tells the known sets apart.
        assert_eq!(reading(Some(0.6), None), Some(Reading::High));
        assert_eq!(reading(None, None), None);
    }

    #[test]
    fn measures_that_overlap_say_nothing_alone() {
        let mut known = made();
        known.sets[1].measured.confidence = Some(0.2);
        let alone = Measured { confidence: Some(0.9), ..Measured::default() };
        let judged = judge(alone, 300, Ok(&known));
        assert_eq!(judged.reading, None);
        assert!(judged.why_not.unwrap().contains("does not tell the known sets apart"));
        assert!(judged.parts[0].scale.gap < 0.0);
        let both = Measured { distance: Some(0.1), ..alone };
        assert_eq!(judge(both, 300, Ok(&known)).reading, Some(Reading::High));
    }

    #[test]
    fn without_calibration_nothing_is_said() {
        let judged = judge(Measured { confidence: Some(0.9), ..Measured::default() }, 9, Err("no table".into()));
        assert_eq!((judged.reading, judged.why_not.as_deref()), (None, Some("no table")));
        assert_eq!(judged.measured.confidence, Some(0.9));
    }

    #[test]
    fn every_calibrated_backbone_places_the_sets_it_was_calibrated_on() {
        for name in calibration::backbones() {
            let known = calibration::of_backbone(name).unwrap();
            assert!(known.sets.len() >= 7, "{name}");
            for set in &known.sets {
                let judged = judge(set.measured, set.images, Ok(known));
                let wanted = if set.similar { Reading::High } else { Reading::Low };
                assert_eq!(judged.reading, Some(wanted), "{name}: {}: {:?}", set.name, judged.score);
            }
        }
    }
}
