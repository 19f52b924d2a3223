//! The values of C to try.

use crate::Error;

/// Log-spaced values of C, written `FROM:TO:COUNT`, e.g. `1e-4:1e3:8`.
///
/// # Errors
/// [`Error::Parameter`] if the text has another form, an end is not positive and finite, or `COUNT` is 0 or over 1000.
pub fn parse_c_grid(text: &str) -> Result<Vec<f64>, Error> {
    let wrong = || Error::Parameter {
        name: "--c-grid",
        value: format!("'{text}'"),
        wanted: "write FROM:TO:COUNT with 0 < FROM <= TO and 1 to 1000 points, e.g. 1e-4:1e3:8",
    };
    let parts: Vec<&str> = text.split(':').collect();
    let [from, to, count] = parts[..] else { return Err(wrong()) };
    let from: f64 = from.trim().parse().map_err(|_| wrong())?;
    let to: f64 = to.trim().parse().map_err(|_| wrong())?;
    let count: usize = count.trim().parse().map_err(|_| wrong())?;
    if !(from.is_finite() && to.is_finite() && from > 0.0 && to >= from && (1..=1000).contains(&count)) {
        return Err(wrong());
    }
    Ok(log_spaced(from, to, count))
}

/// `count` values from `from` to `to` with equal ratios; both ends exact, and powers of ten exact where they fall on the grid.
fn log_spaced(from: f64, to: f64, count: usize) -> Vec<f64> {
    if count == 1 || from == to {
        return vec![from];
    }
    let (low, high) = (from.log10(), to.log10());
    (0..count)
        .map(|index| match index {
            0 => from,
            last if last == count - 1 => to,
            _ => power(low + (high - low) * index as f64 / (count - 1) as f64),
        })
        .collect()
}

/// 10 to the `exponent`, exact for whole numbers: 1e-3 reads better in a report than 1.0000000000000002e-3, and the parser gives
/// the nearest double.
fn power(exponent: f64) -> f64 {
    let rounded = exponent.round();
    if (exponent - rounded).abs() < 1e-9 {
        return format!("1e{rounded}").parse().unwrap_or_else(|_| 10f64.powf(exponent));
    }
    10f64.powf(exponent)
}

/// The values of C to try next around the best of `cs` (ascending): halfway to its neighbours in the logarithm, and where it has
/// none on one side, as far beyond it as the neighbour on the other side is away. None that has been tried; fewer than two where
/// floating-point numbers end.
pub(crate) fn around(cs: &[f64], best: usize) -> Vec<f64> {
    let at = |index: usize| cs.get(index).map(|c| c.log10());
    let (below, here, above) = (best.checked_sub(1).and_then(at), cs[best].log10(), at(best + 1));
    let (lower, upper) = match (below, above) {
        (Some(below), Some(above)) => ((below + here) / 2.0, (here + above) / 2.0),
        (None, Some(above)) => (2.0 * here - above, (here + above) / 2.0),
        (Some(below), None) => ((below + here) / 2.0, 2.0 * here - below),
        (None, None) => return Vec::new(),
    };
    let mut next = vec![power(lower), power(upper)];
    next.retain(|c| c.is_finite() && *c > 0.0 && !cs.contains(c));
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten() {
        assert_eq!(parse_c_grid("1e-4:1e3:8").unwrap(), [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0]);
    }

    #[test]
    fn equal_ratios() {
        let grid = parse_c_grid("0.5:8:5").unwrap();
        for pair in grid.windows(2) {
            assert!((pair[1] / pair[0] - 2.0).abs() < 1e-12, "{grid:?}");
        }
        assert_eq!((grid[0], grid[4]), (0.5, 8.0));
    }

    #[test]
    fn around_the_best_are_midpoints_or_a_step_further() {
        assert_eq!(around(&[1e-4, 1e-2, 1.0], 1), [1e-3, 0.1]);
        assert_eq!(around(&[1e-4, 1e-2, 1.0], 0), [1e-6, 1e-3]);
        assert_eq!(around(&[1e-4, 1e-2, 1.0], 2), [0.1, 100.0]);
        let halves = around(&[1.0, 10.0, 100.0], 1);
        assert!((halves[0] - 10f64.sqrt()).abs() < 1e-14 && (halves[1] / 1000f64.sqrt() - 1.0).abs() < 1e-14);
        // Where there is nothing between, and nothing beyond.
        assert!(around(&[1.0], 0).is_empty());
        let next = 1.0f64.next_up();
        assert!(around(&[1.0, next, 2.0], 0).iter().all(|c| *c != 1.0 && *c != next));
        assert_eq!(around(&[1e-300, 1e300], 1), [1.0]);
    }

    #[test]
    fn one_point() {
        assert_eq!(parse_c_grid("3:3:1").unwrap(), [3.0]);
        assert_eq!(parse_c_grid("3:9:1").unwrap(), [3.0]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "1", "1:2", "1:2:3:4", "0:1:3", "-1:1:3", "2:1:3", "1:2:0", "1:inf:3", "nan:1:3", "a:b:c", "1:2:1001"]
        {
            let message = parse_c_grid(text).unwrap_err().to_string();
            assert!(message.contains("1e-4:1e3:8"), "{text}: {message}");
        }
    }
}
