//! Rows that stay in a file give the same heads as rows in memory, to the last bit.

use std::sync::atomic::{AtomicUsize, Ordering};

use headstart_trainer::*;
use ndarray::Array2;

/// Rows of overlapping clusters far from 0, with their classes.
fn clusters(rows: usize, width: usize, classes: usize) -> (Array2<f32>, Vec<usize>) {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let labels: Vec<usize> = (0..rows).map(|row| row % classes).collect();
    let x = Array2::from_shape_fn((rows, width), |(row, column)| {
        20.0 + uniform() + uniform() + if column % classes == labels[row] { 0.4 } else { 0.0 }
    });
    (x, labels)
}

/// Gives rows from memory as a file would, until it has been asked too often.
#[derive(Debug)]
struct Source {
    rows: Array2<f32>,
    reads: AtomicUsize,
    good: usize,
}

impl Source {
    fn new(rows: &Array2<f32>, good: usize) -> Self {
        Self { rows: rows.clone(), reads: AtomicUsize::new(0), good }
    }
}

impl RowSource for Source {
    fn len(&self) -> usize {
        self.rows.nrows()
    }

    fn width(&self) -> usize {
        self.rows.ncols()
    }

    fn read(&self, rows: &[usize], out: &mut [f32]) {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.good {
            return out.fill(f32::NAN);
        }
        for (out, &row) in out.chunks_exact_mut(self.width()).zip(rows) {
            out.copy_from_slice(self.rows.row(row).as_slice().unwrap());
        }
    }

    fn failure(&self) -> Option<String> {
        (self.reads.load(Ordering::Relaxed) > self.good).then(|| "x.h5: cannot read layer a:gap".into())
    }
}

fn fit(features: Features, labels: &[usize], params: &TrainParams) -> Result<Outcome, Error> {
    let classes: Vec<String> = (0..=*labels.iter().max().unwrap()).map(|class| class.to_string()).collect();
    let groups: Vec<usize> = (0..labels.len()).collect();
    let samples = Samples {
        features: features.reborrow(),
        labels,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    train(samples, &params.clone().check().unwrap(), &|_| ())
}

fn heads() -> Vec<HeadParams> {
    let squared = HeadParams { svm_loss: SvmLoss::SquaredHinge, ..HeadParams::new(HeadKind::Svm) };
    vec![HeadParams::new(HeadKind::Logistic), squared, HeadParams::new(HeadKind::Ridge)]
}

#[test]
fn the_same_bits_from_memory_and_from_a_source_on_any_number_of_threads() {
    for (rows, width) in [(150, 260), (1200, 240)] {
        let (x, labels) = clusters(rows, width, 3);
        let source = Source::new(&x, usize::MAX);
        for head in heads() {
            let plain = TrainParams::new(HeadParams { tolerance: 1e-3, ..head }).cs([0.01, 1.0]);
            let all = [
                plain.clone().validation(Validation::KFold(3)),
                plain.clone().cs([0.1]).validation(Validation::None),
                plain.cs([0.1]).validation(Validation::KFold(2)).standardize(true).normalize(Normalize::L2).nested(2),
            ];
            for params in all {
                let memory = fit(Features::from(x.view()), &labels, &params).unwrap();
                for threads in [1, 2, 8] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let stored = pool.install(|| fit(Features::Stored(&source), &labels, &params).unwrap());
                    assert!(stored.refit.certificate.converged);
                    assert_eq!(memory.model, stored.model, "{rows} × {width}, {params:?}, {threads} threads");
                    assert_eq!(memory.training_metrics, stored.training_metrics);
                    let folds = |outcome: &Outcome| {
                        let selection = outcome.selection.clone();
                        selection.map(|selection| (selection.points.clone(), selection.out_of_fold))
                    };
                    assert_eq!(folds(&memory), folds(&stored));
                }
            }
        }
    }
}

/// Means, neighbours and what is said of held-out rows as well.
#[test]
fn nearest_heads_and_calibration_are_the_same_from_a_source() {
    let (x, labels) = clusters(150, 60, 3);
    let source = Source::new(&x, usize::MAX);
    for kind in [HeadKind::Ncm, HeadKind::Knn, HeadKind::Logistic] {
        for (normalize, standardize) in [(Normalize::None, false), (Normalize::L2, true)] {
            let params = TrainParams::new(kind).validation(Validation::KFold(3)).calibration(CalibrationChoice::Auto);
            let params = params.standardize(standardize).normalize(normalize).keep_held_out(true);
            let memory = fit(Features::from(x.view()), &labels, &params).unwrap();
            let stored = fit(Features::Stored(&source), &labels, &params).unwrap();
            assert_eq!((&memory.model, &memory.held_out), (&stored.model, &stored.held_out), "{kind}");
            assert_eq!(memory.training_metrics, stored.training_metrics);
            assert_eq!(memory.training.calibration, stored.training.calibration);
        }
    }
    // The vectors themselves are the head of nearest neighbours.
    let params = TrainParams::new(HeadKind::Knn).memory(Memory::new(50_000));
    let error = fit(Features::Stored(&source), &labels, &params).unwrap_err().to_string();
    assert!(error.contains("a search among the training vectors needs") && error.contains("logistic"), "{error}");
}

/// With little memory rows are neither reduced nor rotated; the optimum is the same.
#[test]
fn little_memory_finds_the_same_optimum() {
    for (rows, width) in [(300, 310), (1500, 240)] {
        let (x, labels) = clusters(rows, width, 3);
        let source = Source::new(&x, usize::MAX);
        for head in heads() {
            let head = HeadParams { tolerance: 1e-6, ..head };
            let params = TrainParams::new(head).cs([0.1]).validation(Validation::KFold(3));
            let much = fit(Features::from(x.view()), &labels, &params).unwrap();
            let little = fit(Features::Stored(&source), &labels, &params.memory(Memory::new(4 << 20))).unwrap();
            assert!(little.refit.certificate.converged, "{:?}", little.refit.certificate);
            let (much, little) = (much.model.linear().unwrap(), little.model.linear().unwrap());
            let size = much.weights().iter().fold(0f64, |top, weight| top.max(weight.abs()));
            let off = much.weights() - little.weights();
            assert!(off.iter().all(|off| off.abs() < 1e-4 * size), "{head:?}");
        }
    }
}

#[test]
fn a_failed_read_is_an_error_and_never_a_head() {
    let (x, labels) = clusters(1200, 240, 3);
    let params = TrainParams::new(HeadKind::Logistic).cs([0.1, 1.0]).validation(Validation::KFold(2));
    let whole = Source::new(&x, usize::MAX);
    fit(Features::Stored(&whole), &labels, &params).unwrap();
    let reads = whole.reads.load(Ordering::Relaxed);
    for share in 0..20 {
        let source = Source::new(&x, reads * share / 20);
        let error = fit(Features::Stored(&source), &labels, &params).unwrap_err();
        assert!(error.to_string().contains("x.h5: cannot read"), "{share}: {error}");
    }
}

#[test]
fn a_hinge_svm_says_how_much_memory_it_needs() {
    let (x, labels) = clusters(6000, 240, 2);
    let source = Source::new(&x, usize::MAX);
    let params = TrainParams::new(HeadKind::Svm).cs([0.1]).validation(Validation::None).memory(Memory::new(4 << 20));
    let error = fit(Features::Stored(&source), &labels, &params).unwrap_err().to_string();
    for part in ["--memory", "--loss squared-hinge", "MB"] {
        assert!(error.contains(part), "{error}");
    }
}
