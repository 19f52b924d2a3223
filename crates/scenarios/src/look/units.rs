//! The images that excite a unit (a column of a layer) most, and how much a unit keeps to one class.

use super::{ImageRow, LookError, blocks, image, page::Sheet, rows};
use crate::report::{ReportError, write_page};
use headstart_cache::{Cache, LayerInfo};
use ndarray::{Array1, Array2, Axis};
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Which units to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    Units(Vec<usize>),
    /// So many of the most selective.
    Most(usize),
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unit {
    /// Its column in the layer.
    pub unit: usize,
    /// The class selectivity index of Morcos et al. (On the importance of single directions for generalization, ICLR 2018):
    /// (µ_max − µ_rest) / (µ_max + µ_rest), where µ_max is the largest of the classes' mean activations and µ_rest the mean of
    /// the others; 0 for none, 1 for a unit that one class alone excites. None where activations are negative or all zero.
    pub selectivity: Option<f64>,
    /// The share of the variance that lies between the classes: the correlation ratio η² (Fisher 1925). 0 to 1, whatever the
    /// activations. None of images of fewer than two classes.
    pub eta2: Option<f64>,
    /// The class that excites it most; none where no image has a label.
    pub class: Option<String>,
    /// Mean activation of every class, in their order.
    pub class_means: Vec<f64>,
    /// The images that excite it most.
    pub images: Vec<Excited>,
}

/// An image and what a unit makes of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Excited {
    /// The image.
    #[serde(flatten)]
    pub image: ImageRow,
    /// The activation.
    pub activation: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Units {
    /// The cache.
    pub cache: PathBuf,
    /// `layer:pool`.
    pub layer: String,
    /// Units of the layer.
    pub width: usize,
    /// Images that were looked at.
    pub images: usize,
    /// Labelled ones among them.
    pub labelled: usize,
    /// Classes that have images.
    pub classes: Vec<String>,
    /// The measure by which units are called selective: `selectivity`, or `eta2` where some activation is negative. None where the
    /// images are not of two classes or more: the units are the first ones then.
    pub ranked_by: Option<&'static str>,
    /// The units.
    pub units: Vec<Unit>,
}

/// Looks at the units of a layer; `count` images each. Labelled images of all splits count towards the classes' means.
///
/// # Errors
/// A unit that there is not; a cache that cannot be read.
pub fn units(cache: &Cache, layer: &LayerInfo, wanted: &Wanted, count: usize) -> Result<Units, LookError> {
    if let Wanted::Units(units) = wanted
        && let Some(&unit) = units.iter().find(|&&unit| unit >= layer.width)
    {
        let (path, width) = (cache.path().to_path_buf(), layer.width);
        return Err(LookError::NoUnit { path, layer: layer.name.clone(), unit, width });
    }
    let rows = rows(cache, layer)?;
    let sums = Sums::over(cache, layer, &rows)?;
    let present: Vec<usize> = (0..cache.classes().len()).filter(|&class| sums.counts[class] > 0.0).collect();
    let measured: Vec<Measures> = (0..layer.width).map(|unit| sums.measures(unit, &present)).collect();
    let negative = sums.least.iter().any(|&least| least < 0.0);
    let rank = |unit: usize| match negative {
        true => measured[unit].eta2.unwrap_or(0.0),
        false => measured[unit].selectivity.unwrap_or(0.0),
    };
    let chosen: Vec<usize> = match wanted {
        Wanted::Units(units) => units.clone(),
        Wanted::Most(most) => {
            let mut all: Vec<usize> = (0..layer.width).collect();
            all.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
            all.truncate(*most);
            all
        }
    };
    let mut top: Vec<Vec<(f32, usize)>> = vec![Vec::new(); chosen.len()];
    for block in blocks(&rows, layer) {
        let values = cache.read_rows(layer, block)?;
        for (top, &unit) in top.iter_mut().zip(&chosen) {
            top.extend(values.column(unit).iter().copied().zip(block.iter().copied()));
            top.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            top.truncate(count);
        }
    }
    let excited = |(activation, row)| Excited { image: image(cache, row), activation: f64::from(activation) };
    let unit = |(&unit, top): (&usize, Vec<(f32, usize)>)| {
        let Measures { selectivity, eta2, means, best } = measured[unit].clone();
        let class = best.map(|class| cache.classes()[class].clone());
        let images = top.into_iter().map(excited).collect();
        Unit { unit, selectivity, eta2, class, class_means: means, images }
    };
    Ok(Units {
        cache: cache.path().to_path_buf(),
        layer: layer.name.clone(),
        width: layer.width,
        images: rows.len(),
        labelled: sums.counts.sum() as usize,
        classes: present.iter().map(|&class| cache.classes()[class].clone()).collect(),
        ranked_by: (present.len() > 1).then_some(if negative { "eta2" } else { "selectivity" }),
        units: chosen.iter().zip(top).map(unit).collect(),
    })
}

/// Sums over all labelled images.
struct Sums {
    /// Images of each class.
    counts: Array1<f64>,
    /// Classes × units.
    of_class: Array2<f64>,
    /// Of each unit the sum of squared distances from `origin`, and the sum of the distances.
    squares: Array1<f64>,
    /// The activations of the first image: near them, squares do not cancel.
    origin: Array1<f64>,
    least: Array1<f64>,
}

/// What is said of a unit.
#[derive(Clone)]
struct Measures {
    selectivity: Option<f64>,
    eta2: Option<f64>,
    /// Of the classes that are present.
    means: Vec<f64>,
    best: Option<usize>,
}

impl Sums {
    fn over(cache: &Cache, layer: &LayerInfo, rows: &[usize]) -> Result<Self, LookError> {
        let (classes, width) = (cache.classes().len(), layer.width);
        let mut sums = Self {
            counts: Array1::zeros(classes),
            of_class: Array2::zeros((classes, width)),
            squares: Array1::zeros(width),
            origin: cache.read_rows(layer, &rows[..1])?.row(0).mapv(f64::from),
            least: Array1::from_elem(width, f64::INFINITY),
        };
        for block in blocks(rows, layer) {
            let values = cache.read_rows(layer, block)?;
            for (values, &row) in values.outer_iter().zip(block) {
                let Some(class) = usize::try_from(cache.rows().label[row]).ok().filter(|&class| class < classes) else {
                    continue;
                };
                sums.counts[class] += 1.0;
                let mut of_class = sums.of_class.index_axis_mut(Axis(0), class);
                for (unit, &value) in values.iter().enumerate() {
                    let off = f64::from(value) - sums.origin[unit];
                    of_class[unit] += off;
                    sums.squares[unit] += off * off;
                    sums.least[unit] = sums.least[unit].min(f64::from(value));
                }
            }
        }
        Ok(sums)
    }

    fn measures(&self, unit: usize, present: &[usize]) -> Measures {
        let of = |class: usize| self.of_class[[class, unit]];
        let means: Vec<f64> = present.iter().map(|&class| self.origin[unit] + of(class) / self.counts[class]).collect();
        let n: f64 = present.iter().map(|&class| self.counts[class]).sum();
        let sum: f64 = present.iter().map(|&class| of(class)).sum();
        let between: f64 =
            present.iter().map(|&class| of(class).powi(2) / self.counts[class]).sum::<f64>() - sum * sum / n;
        let total = self.squares[unit] - sum * sum / n;
        let best = (0..means.len()).fold(None, |best: Option<usize>, at| match best {
            Some(best) if means[best] >= means[at] => Some(best),
            _ => Some(at),
        });
        let selectivity = best.filter(|_| means.len() > 1 && self.least[unit] >= 0.0).and_then(|best| {
            let rest = (means.iter().sum::<f64>() - means[best]) / (means.len() - 1) as f64;
            (means[best] > 0.0).then(|| (means[best] - rest) / (means[best] + rest))
        });
        let eta2 = (means.len() > 1).then(|| if total > 0.0 { (between / total).clamp(0.0, 1.0) } else { 0.0 });
        Measures { selectivity, eta2, best: best.map(|at| present[at]), means }
    }
}

impl Unit {
    /// Mean activation of the class that excites it most, and the mean of those of the other classes, as far as there are any.
    pub fn means(&self) -> (Option<f64>, Option<f64>) {
        let best = self.class_means.iter().copied().reduce(f64::max);
        let others = self.class_means.len().saturating_sub(1);
        let rest =
            best.filter(|_| others > 0).map(|best| (self.class_means.iter().sum::<f64>() - best) / others as f64);
        (best, rest)
    }
}

impl Units {
    /// Writes a contact sheet (`index.html` and `metrics.json`) into a folder, and gives the path of the page.
    ///
    /// # Errors
    /// When the folder or a file cannot be written. Images that cannot be read are no error: the page says so.
    pub fn write_report(&self, cache: &Cache, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
        let mut sheet = Sheet::new(cache, command);
        for unit in &self.units {
            let selectivity =
                unit.selectivity.map_or_else(String::new, |index| format!("Class selectivity index {index:.2}. "));
            let means: Vec<String> =
                self.classes.iter().zip(&unit.class_means).map(|(class, mean)| format!("{class} {mean:.3}")).collect();
            let between = unit.eta2.map_or_else(String::new, |eta2| {
                format!("Between the classes lie {:.0} % of its variance (η²). ", 100.0 * eta2)
            });
            let about = match &means[..] {
                [] => "No image has a label, so nothing can be said of classes.".into(),
                means => format!("{selectivity}{between}Mean activation: {}.", means.join(", ")),
            };
            let images = unit.images.iter().map(|excited| {
                let own = unit.class.is_some() && excited.image.class == unit.class;
                (&excited.image, format!("{:.4}", excited.activation), own)
            });
            let class = unit.class.as_ref().map_or_else(String::new, |class| format!(": {class}"));
            sheet.section(&format!("Unit {}{class}", unit.unit), &about, images);
        }
        let about = format!("{}, {} of {} units, {} images", self.layer, self.units.len(), self.width, self.images);
        write_page(folder, self, &sheet.page("What excites units", &about))
    }
}
