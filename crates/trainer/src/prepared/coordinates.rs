//! Training rows in the coordinates that solvers see, and what heads share of them.

use std::sync::OnceLock;
use std::time::Instant;

use super::Prepared;
use crate::Error;
use crate::engine::{Columns, Gram, Rows, wants_inner_products};
use crate::features::Features;
use crate::made_rows::MadeRows;
use crate::memory::{self, Memory};
use crate::params::{Bias, EngineChoice, HeadKind, HeadParams, Loss};
use crate::reduction::Design;
use crate::selection::Scheme;
use crate::splits::Split;

/// Training rows in solver coordinates for one kind of bias.
pub(super) struct Coordinates<'a> {
    pub(super) bias: Bias,
    /// The features with a column of ones, if the bias is the weight of that.
    pub(super) with_ones: Option<MadeRows<'a>>,
    pub(super) full: Design,
    /// For folds whose design is their own and small enough to keep.
    pub(super) fold_designs: Vec<OnceLock<Design>>,
    /// Inner products of the rows of `full`, for heads that want them.
    pub(super) inner: OnceLock<Gram>,
    /// What is known of the columns of `full`, for heads that want it.
    pub(super) columns: OnceLock<Columns>,
}

/// One fold's design.
pub(super) enum FoldDesign<'p> {
    /// That of all training rows, of which the fold's are some.
    Whole(&'p Design),
    /// One of the fold's own, kept for other heads.
    Kept(&'p Design),
    /// One of the fold's own, too large to keep.
    Fresh(Box<Design>),
}

impl FoldDesign<'_> {
    pub(super) fn design(&self) -> &Design {
        match self {
            Self::Whole(design) | Self::Kept(design) => design,
            Self::Fresh(design) => design,
        }
    }

    /// Training and held-out rows in solver coordinates.
    pub(super) fn rows<'s, 'f: 's>(&'s self, features: Features<'f>, split: &'s Split) -> (Rows<'s>, Rows<'s>) {
        let design = self.design();
        match self {
            Self::Whole(_) => (design.select(features, &split.train), design.select(features, &split.test)),
            _ => (design.train(features, &split.train), design.test(features, &split.test)),
        }
    }
}

impl<'a> Prepared<'a> {
    /// Makes what these heads gain from, shared by all their fits: columns turned to principal axes, inner products of all rows. Without
    /// it, results are the same but for rounding, and fits take longer.
    ///
    /// # Errors
    /// [`Error::Eigen`] if an eigendecomposition fails, which finite features have not been seen to cause.
    pub fn for_heads(mut self, heads: &[HeadParams]) -> Result<Self, Error> {
        let started = Instant::now();
        // Orthogonal columns cost more than one fit.
        self.rotate =
            !self.splits.is_empty() && heads.iter().any(|head| head.kind.has_c() && head.loss() != Loss::Hinge);
        let shares = self.scheme == Scheme::KFold && !self.scaling.standardize;
        // Neighbours are looked for among the features themselves.
        for head in heads.iter().filter(|head| head.kind != HeadKind::Knn) {
            let needed = memory::of_solver(head, self.samples.features.ncols(), self.samples.classes.len());
            if needed > self.memory.bytes() {
                let (left, way_out) = (self.memory.bytes(), "");
                return Err(Error::Memory { method: "a fit of so many features and classes", needed, left, way_out });
            }
            let coordinates = self.coordinates(head.bias)?;
            let features = self.features_of(coordinates);
            let train = coordinates.full.train(features, &self.train);
            let (rows, columns) = train.dim();
            // The products, and the rows in f64 and f32.
            let needed = memory::bytes_of(rows, rows) + 3 * memory::bytes_of(rows, columns);
            if shares && wants_inner_products(head, rows, columns) && needed <= self.left().bytes() {
                coordinates.inner.get_or_init(|| Gram::new(train.to_dense().view()));
            }
            // Before threads part: one that waits for another inside its own parallel work would wait for ever.
            if head.engine == EngineChoice::Default && head.kind.has_c() && head.loss() != Loss::Hinge {
                coordinates.columns.get_or_init(|| Columns::new(&train, coordinates.full.is_orthogonal()));
            }
            features.sound(())?;
        }
        self.seconds += started.elapsed().as_secs_f64();
        Ok(self)
    }

    /// Coordinates for heads of this bias.
    pub(super) fn coordinates(&self, bias: Bias) -> Result<&Coordinates<'a>, Error> {
        let place = match bias {
            Bias::Free => &self.free,
            Bias::Regularized => &self.regularized,
        };
        if let Some(made) = place.get() {
            return Ok(made);
        }
        let with_ones =
            (bias == Bias::Regularized).then(|| MadeRows::with_ones(self.samples.features, self.scaling.normalize));
        let copies = u64::from(with_ones.is_some()) * memory::of_features(&self.samples.features);
        let held_out = if self.scheme == Scheme::Holdout { &self.splits[0].test[..] } else { &[] };
        let features = either(&with_ones, self.features());
        let memory = self.left().less(copies).bytes();
        let full = Design::build(features, &self.train, held_out, self.scaling.standardize, bias, self.rotate, memory)?;
        if !full.varies() {
            return Err(Error::ConstantFeatures { rows: self.train.len() });
        }
        let fold_designs = self.splits.iter().map(|_| OnceLock::new()).collect();
        let (inner, columns) = (OnceLock::new(), OnceLock::new());
        Ok(place.get_or_init(|| Coordinates { bias, with_ones, full, fold_designs, inner, columns }))
    }

    /// Memory that features and what was made of them leave.
    pub(super) fn left(&self) -> Memory {
        let made = [&self.free, &self.regularized].into_iter().filter_map(OnceLock::get);
        made.fold(self.memory, |left, coordinates| {
            let ones = coordinates.with_ones.as_ref().map_or(0, |rows| memory::of_features(&rows.features()));
            let products = coordinates.inner.get().map_or(0, |_| memory::bytes_of(self.train.len(), self.train.len()));
            left.less(ones + products + coordinates.full.bytes())
        })
    }

    /// The rows that these coordinates are made of.
    pub(super) fn features_of<'p>(&'p self, coordinates: &'p Coordinates<'a>) -> Features<'p> {
        either(&coordinates.with_ones, self.features())
    }

    pub(super) fn fold_design<'p>(&self, coordinates: &'p Coordinates, fold: usize) -> Result<FoldDesign<'p>, Error> {
        let Coordinates { bias, full, fold_designs, .. } = coordinates;
        let split = &self.splits[fold];
        if self.scheme == Scheme::Holdout {
            return Ok(FoldDesign::Kept(full));
        }
        if !self.scaling.standardize {
            // All rows train, so rows of the samples are rows of the design.
            return Ok(FoldDesign::Whole(full));
        }
        if let Some(design) = fold_designs[fold].get() {
            return Ok(FoldDesign::Kept(design));
        }
        let (features, share) =
            (either(&coordinates.with_ones, self.features()), self.left().bytes() / self.splits.len() as u64);
        let design = Design::build(features, &split.train, &split.test, true, *bias, self.rotate, share)?;
        if self.keeps(&design) {
            Ok(FoldDesign::Kept(fold_designs[fold].get_or_init(|| design)))
        } else {
            Ok(FoldDesign::Fresh(Box::new(design)))
        }
    }

    /// Whether a fold's design is kept for other heads and for further values of C. With no more rows than features it is small
    /// and dear, so those of a single cross-validation are kept in any case, all others as far as they fit together.
    fn keeps(&self, design: &Design) -> bool {
        /// 2 GiB.
        const MOST_BYTES: u64 = 1 << 31;
        let all = design.bytes() * self.splits.len() as u64;
        (design.is_reduced() && self.repeats == 1) || all <= MOST_BYTES.min(self.left().bytes())
    }

    /// Inner products of a fold's training rows, where they are those of all training rows.
    pub(super) fn inner_products<'p>(
        &'p self,
        coordinates: &'p Coordinates,
        design: &Design,
        fold: usize,
    ) -> Option<(&'p Gram, &'p [usize])> {
        let shared = std::ptr::eq(design, &coordinates.full) && self.scheme == Scheme::KFold;
        coordinates.inner.get().filter(|_| shared).map(|all| (all, &self.splits[fold].train[..]))
    }
}

/// The rows that were made of others, or where none were made, the others.
pub(super) fn either<'r, 'a: 'r>(made: &'r Option<MadeRows<'a>>, others: Features<'a>) -> Features<'r> {
    made.as_ref().map_or(others.reborrow(), MadeRows::features)
}
