//! Platt's sigmoid, by Newton's method with backtracking as in Lin, Lin and Weng, "A note on Platt's probabilistic outputs for
//! support vector machines", Machine Learning 68 (2007), appendix 3.

/// 1 / (1 + e⁻ᶻ), safe for z of any size.
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// log(1 + eᶻ).
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Slope and intercept of the sigmoid that makes scores and sides likeliest, with Platt's targets: (n₊ + 1) / (n₊ + 2) for
/// positive rows and 1 / (n₋ + 2) for others, so that classes that do not overlap get a finite slope. The order of the rows
/// does not matter to the last bit.
pub(super) fn fit(mut rows: Vec<(f64, bool)>) -> (f64, f64) {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let count = rows.len() as f64;
    let positive = rows.iter().filter(|row| row.1).count() as f64;
    let negative = count - positive;
    let target = |side: bool| if side { (positive + 1.0) / (positive + 2.0) } else { 1.0 / (negative + 2.0) };
    // The optimum is the same in any unit; in this one the Hessian is well conditioned and the tolerance has a meaning.
    let mean = rows.iter().map(|row| row.0).sum::<f64>() / count;
    let spread = rows.iter().map(|row| (row.0 - mean).abs()).fold(0.0, f64::max);
    let unit = if spread > 0.0 { spread } else { 1.0 };
    let rows: Vec<(f64, f64)> = rows.iter().map(|&(score, side)| ((score - mean) / unit, target(side))).collect();

    let loss = |slope: f64, intercept: f64| -> f64 {
        rows.iter()
            .map(|&(score, target)| {
                let z = slope * score + intercept;
                target * softplus(-z) + (1.0 - target) * softplus(z)
            })
            .sum()
    };
    let (mut slope, mut intercept) = (0.0, ((positive + 1.0) / (negative + 1.0)).ln());
    let mut value = loss(slope, intercept);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for &(score, target) in &rows {
            let p = sigmoid(slope * score + intercept);
            let (off, curve) = (p - target, p * (1.0 - p));
            g = [g[0] + off * score, g[1] + off];
            h = [h[0] + curve * score * score, h[1] + curve * score, h[2] + curve];
        }
        if g[0].abs().max(g[1].abs()) <= 1e-12 * count {
            break;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[1] * g[1] - h[2] * g[0]) / determinant, (h[1] * g[0] - h[0] * g[1]) / determinant];
        let descent = g[0] * step[0] + g[1] * step[1];
        let mut length = 1.0;
        let better = loop {
            let next = (slope + length * step[0], intercept + length * step[1]);
            let there = loss(next.0, next.1);
            if there < value + 1e-4 * length * descent {
                break Some((next, there));
            }
            length /= 2.0;
            if length < 1e-10 {
                break None;
            }
        };
        // No length helps: what is left is rounding.
        let Some((next, there)) = better else { break };
        ((slope, intercept), value) = (next, there);
    }
    (slope / unit, intercept - slope * mean / unit)
}
