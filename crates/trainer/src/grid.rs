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
            _ => {
                let exponent = low + (high - low) * index as f64 / (count - 1) as f64;
                let rounded = exponent.round();
                // 1e-3 reads better in a report than 1.0000000000000002e-3, and the parser gives the nearest double.
                if (exponent - rounded).abs() < 1e-9 {
                    format!("1e{rounded}").parse().unwrap_or_else(|_| 10f64.powf(exponent))
                } else {
                    10f64.powf(exponent)
                }
            }
        })
        .collect()
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
