//! Which images are worth a look: where the head was sure and wrong, and where it hardly knew.

use super::{
    Subject,
    reliability::Reliability,
    thumbnail::{self, Thumbnail},
};
use headstart_trainer::{Error, Vectors, Verdicts};
use ndarray::ArrayView1;
use serde::Serialize;

/// Images in each of the two lists.
const SHOWN: usize = 12;
/// Images in each of the two lists of a class.
const SHOWN_OF_CLASS: usize = 6;
/// Classes that have lists of their own.
const CLASSES: usize = 12;

/// The images worth a look, and what they were picked from.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// Which rows they were picked from.
    pub rows: Basis,
    /// How many these are.
    pub n: usize,
    /// Wrong predictions among them.
    pub mistakes: usize,
    pub confidence: Confidence,
    /// The folder or CSV the images were listed from; none for imported vectors.
    pub listed_from: Option<String>,
    /// Whether any of the images below could be shown.
    pub reachable: bool,
    /// Wrong, by falling confidence.
    pub most_confident_mistakes: Vec<Pick>,
    /// Right or wrong, by rising confidence.
    pub least_certain: Vec<Pick>,
    /// The classes with most mistakes, those first.
    pub by_class: Vec<OfClass>,
}

/// The images of one class.
#[derive(Debug, Serialize)]
pub struct OfClass {
    pub class: String,
    /// How many were judged.
    pub n: usize,
    /// Wrong predictions among them.
    pub mistakes: usize,
    /// What these were taken for, the commonest first.
    pub taken_for: Vec<TakenFor>,
    /// Wrong, those first whose own class got least.
    pub wrong: Vec<Pick>,
    /// Right, those first whose own class got least.
    pub hardest_right: Vec<Pick>,
}

/// A class that images of another were taken for.
#[derive(Debug, Serialize)]
pub struct TakenFor {
    pub class: String,
    pub images: usize,
}

/// Which rows were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "part", content = "split")]
pub enum Basis {
    /// Rows of this split, which chose nothing.
    Test(String),
    /// Rows of this split, which chose C but were not fitted.
    Validation(String),
    /// The rows that the head was fitted on, each judged by the model of the fold that held it out.
    #[serde(rename = "out_of_fold")]
    OutOfFold,
    /// The rows that the head was fitted on.
    Training,
}

/// What stands for the head's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The probability of the predicted class.
    Probability,
    /// How far the best score is above the second best.
    Margin,
}

/// One image and what the head says.
#[derive(Debug, Serialize)]
pub struct Pick {
    /// As in the cache.
    pub path: String,
    pub truth: String,
    pub predicted: String,
    pub confidence: f64,
    /// What the true class got: its probability, or by how much its score is above the best other's.
    pub of_truth: f64,
    /// The picture, or why there is none.
    #[serde(skip)]
    pub thumbnail: Thumbnail,
}

/// What the head says of one row.
struct Verdict {
    truth: usize,
    predicted: usize,
    confidence: f64,
    of_truth: f64,
}

impl Judged {
    /// Judges the test rows, else those that were held out to choose C, else those trained on; and how reliable the
    /// probabilities are, where the rows can tell.
    pub fn new(subject: &Subject) -> Result<(Self, Option<Reliability>), Error> {
        let ToJudge { basis, vectors, rows: picked, confidence, verdicts } = rows_to_judge(subject)?;
        let model = &subject.outcome.model;
        let outcomes: Vec<(f64, bool)> = verdicts.iter().map(|v| (v.confidence, v.truth == v.predicted)).collect();
        let telling = confidence == Confidence::Probability && basis != Basis::Training;
        let reliability = telling.then(|| Reliability::new(&outcomes)).flatten();

        let mut wrong: Vec<usize> = (0..verdicts.len()).filter(|&row| !outcomes[row].1).collect();
        let mistakes = wrong.len();
        wrong.sort_by(|&a, &b| verdicts[b].confidence.total_cmp(&verdicts[a].confidence));
        wrong.truncate(SHOWN);
        let mut unsure: Vec<usize> = (0..verdicts.len()).collect();
        unsure.sort_by(|&a, &b| verdicts[a].confidence.total_cmp(&verdicts[b].confidence));
        unsure.truncate(SHOWN);

        let listed_from = subject.provenance.images.as_deref();
        let pick = |row: usize| {
            let path = subject.rows.path[vectors.rows[picked[row]]].clone();
            let Verdict { truth, predicted, confidence, of_truth } = verdicts[row];
            let class = |index: usize| model.classes()[index].clone();
            let thumbnail = thumbnail::of(listed_from, &path);
            Pick { path, truth: class(truth), predicted: class(predicted), confidence, of_truth, thumbnail }
        };
        let by_class = by_class(model.classes(), &verdicts, &pick);
        let most_confident_mistakes: Vec<Pick> = wrong.into_iter().map(pick).collect();
        let least_certain: Vec<Pick> = unsure.into_iter().map(pick).collect();
        let of_classes = by_class.iter().flat_map(|class| class.wrong.iter().chain(&class.hardest_right));
        let mut picks = most_confident_mistakes.iter().chain(&least_certain).chain(of_classes);
        let reachable = picks.any(|pick| pick.thumbnail.is_ok());
        let listed_from = subject.provenance.images.clone();
        let n = picked.len();
        let judged = Self {
            rows: basis,
            n,
            mistakes,
            confidence,
            listed_from,
            reachable,
            most_confident_mistakes,
            least_certain,
            by_class,
        };
        Ok((judged, reliability))
    }
}

/// The classes with most mistakes, each with its wrong images and those that are only just right.
fn by_class(names: &[String], verdicts: &[Verdict], pick: &dyn Fn(usize) -> Pick) -> Vec<OfClass> {
    let mut rows = vec![Vec::new(); names.len()];
    (0..verdicts.len()).for_each(|row| rows[verdicts[row].truth].push(row));
    let is_wrong = |row: &usize| verdicts[*row].predicted != verdicts[*row].truth;
    let mistakes = |class: usize| rows[class].iter().filter(|row| is_wrong(row)).count();
    let mut classes: Vec<usize> = (0..names.len()).filter(|&class| !rows[class].is_empty()).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(mistakes(class)));
    classes.truncate(CLASSES);
    let of_class = |class: usize| {
        let (mut wrong, mut right): (Vec<usize>, Vec<usize>) = rows[class].iter().partition(|row| is_wrong(row));
        let mut times = vec![0; names.len()];
        wrong.iter().for_each(|&row| times[verdicts[row].predicted] += 1);
        let mut others: Vec<usize> = (0..names.len()).filter(|&other| times[other] > 0).collect();
        others.sort_by_key(|&other| std::cmp::Reverse(times[other]));
        for list in [&mut wrong, &mut right] {
            list.sort_by(|&a, &b| verdicts[a].of_truth.total_cmp(&verdicts[b].of_truth));
        }
        let shown = |list: &[usize]| list.iter().take(SHOWN_OF_CLASS).map(|&row| pick(row)).collect();
        OfClass {
            class: names[class].clone(),
            n: rows[class].len(),
            mistakes: wrong.len(),
            taken_for: others
                .into_iter()
                .map(|other| TakenFor { class: names[other].clone(), images: times[other] })
                .collect(),
            wrong: shown(&wrong),
            hardest_right: shown(&right),
        }
    };
    classes.into_iter().map(of_class).collect()
}

/// Rows judged at once.
const ROWS: usize = 1024;

/// The rows to judge and what is said of them.
struct ToJudge<'a> {
    basis: Basis,
    vectors: &'a Vectors,
    /// Indices into the vectors. Augmented views are left out: nobody has seen them.
    rows: Vec<usize>,
    confidence: Confidence,
    verdicts: Vec<Verdict>,
}

fn rows_to_judge<'a>(subject: &Subject<'a>) -> Result<ToJudge<'a>, Error> {
    let by_the_head = |basis, vectors: &'a Vectors| {
        let rows: Vec<usize> = (0..vectors.len()).filter(|&row| vectors.scored[row]).collect();
        let model = &subject.outcome.model;
        let mut verdicts = Vec::with_capacity(rows.len());
        // Some rows at a time: the features may be more than memory holds.
        for rows in rows.chunks(ROWS) {
            let features = vectors.features.view().read(rows)?;
            judge(&model.verdicts(features.view())?, vectors, rows, &mut verdicts);
        }
        let confidence = if model.has_probabilities() { Confidence::Probability } else { Confidence::Margin };
        Ok(ToJudge { basis, vectors, rows, confidence, verdicts })
    };
    if !subject.test.is_empty() {
        return by_the_head(Basis::Test(subject.test_rows.unwrap_or("test").to_owned()), subject.test);
    }
    let Some(held_out) = &subject.outcome.held_out else {
        return by_the_head(Basis::Training, subject.training);
    };
    let basis = subject.chosen_on.map_or(Basis::OutOfFold, |split| Basis::Validation(split.to_owned()));
    let said = held_out.as_the_head();
    let (rows, vectors, mut verdicts) = (held_out.rows.clone(), subject.training, Vec::new());
    judge(said, vectors, &rows, &mut verdicts);
    let confidence = if said.probabilities.is_some() { Confidence::Probability } else { Confidence::Margin };
    Ok(ToJudge { basis, vectors, rows, confidence, verdicts })
}

/// Adds what is said of some rows: the confidence is the probability of the predicted class, else its margin.
fn judge(said: &Verdicts, vectors: &Vectors, rows: &[usize], verdicts: &mut Vec<Verdict>) {
    let margin = |values: ArrayView1<f64>, predicted: usize| {
        let others = values.iter().enumerate().filter(|&(class, _)| class != predicted);
        values[predicted] - others.fold(f64::NEG_INFINITY, |top, (_, &value)| top.max(value))
    };
    verdicts.extend(rows.iter().zip(&said.predicted).enumerate().map(|(index, (&row, &predicted))| {
        let of = |class: usize| match &said.probabilities {
            Some(probabilities) => probabilities[[index, class]],
            None => margin(said.decision.row(index), class),
        };
        let truth = vectors.labels[row];
        Verdict { truth, predicted, confidence: of(predicted), of_truth: of(truth) }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{content::Content, fixture::Fixture};
    use headstart_trainer::HeadKind;

    #[test]
    fn mistakes_are_wrong_and_sorted() {
        for kind in [HeadKind::Logistic, HeadKind::Svm] {
            let fixture = Fixture::new(kind);
            let content = Content::gather(&fixture.subject()).unwrap();
            let images = &content.images;
            assert_eq!(images.rows, Basis::Test("test".into()));
            let metrics = content.test.unwrap();
            let right: usize = (0..3).map(|class| metrics.confusion[class][class]).sum();
            assert_eq!((images.n, images.n - images.mistakes), (metrics.n, right));
            assert!(images.mistakes > 0, "the classes overlap");
            assert!(images.most_confident_mistakes.iter().all(|pick| pick.truth != pick.predicted));
            assert!(images.most_confident_mistakes.is_sorted_by(|a, b| a.confidence >= b.confidence));
            assert!(images.least_certain.is_sorted_by(|a, b| a.confidence <= b.confidence));
            assert!(images.least_certain.iter().all(|pick| pick.confidence >= 0.0));
            assert_eq!(content.reliability.is_some(), kind == HeadKind::Logistic);
        }
    }

    #[test]
    fn classes_have_their_wrong_and_their_hardest_images() {
        for kind in [HeadKind::Logistic, HeadKind::Svm] {
            let fixture = Fixture::new(kind);
            let content = Content::gather(&fixture.subject()).unwrap();
            let (metrics, images) = (content.test.unwrap(), &content.images);
            assert_eq!(images.by_class.len(), 3);
            assert!(images.by_class.is_sorted_by(|a, b| a.mistakes >= b.mistakes));
            for class in &images.by_class {
                let index = content.classes.iter().position(|name| *name == class.class).unwrap();
                let row = &metrics.confusion[index];
                assert_eq!((class.n, class.mistakes), (row.iter().sum(), class.n - row[index]));
                for other in &class.taken_for {
                    let at = content.classes.iter().position(|name| *name == other.class).unwrap();
                    assert_eq!(other.images, row[at]);
                }
                assert_eq!(class.taken_for.iter().map(|other| other.images).sum::<usize>(), class.mistakes);
                assert_eq!(class.wrong.len(), class.mistakes.min(6));
                assert_eq!(class.hardest_right.len(), row[index].min(6));
                assert!(class.wrong.iter().all(|pick| pick.truth == class.class && pick.predicted != class.class));
                assert!(class.hardest_right.iter().all(|pick| pick.predicted == class.class));
                for list in [&class.wrong, &class.hardest_right] {
                    assert!(list.is_sorted_by(|a, b| a.of_truth <= b.of_truth));
                }
                // What is right has at least as much for its own class as the best other.
                assert!(class.hardest_right.iter().all(|pick| pick.of_truth == pick.confidence));
            }
        }
    }

    #[test]
    fn without_test_rows_those_that_were_held_out_are_judged() {
        let mut fixture = Fixture::new(HeadKind::Logistic);
        fixture.forget_test();
        let content = Content::gather(&fixture.subject()).unwrap();
        assert_eq!((&content.images.rows, content.images.n), (&Basis::OutOfFold, 60));
        let metrics = &content.outcome.selection.as_ref().unwrap().out_of_fold;
        let right: usize = (0..3).map(|class| metrics.confusion[class][class]).sum();
        assert_eq!(content.images.mistakes, 60 - right);
        assert!(content.reliability.is_some());
        fixture.forget_held_out();
        let content = Content::gather(&fixture.subject()).unwrap();
        assert_eq!(content.images.rows, Basis::Training);
        assert!(content.reliability.is_none(), "rows that were fitted say nothing about it");
    }
}
