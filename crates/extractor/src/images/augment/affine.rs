//! Turning, shearing and mirroring: where a pixel of the square comes from.
//!
//! Rotation and shear of training images: Simard, Steinkraus and Platt 2003, “Best practices for convolutional neural networks
//! applied to visual document analysis”; mirroring: Krizhevsky, Sutskever and Hinton 2012, “ImageNet classification with deep
//! convolutional neural networks”. Directions are those of Pillow's `Image.rotate`: positive degrees turn the picture
//! counterclockwise.

/// The matrix from offsets in the square to offsets in the scaled image, y downwards.
pub type Matrix = [[f64; 2]; 2];

/// Neither turned nor sheared nor mirrored.
pub const IDENTITY: Matrix = [[1.0, 0.0], [0.0, 1.0]];

/// The picture sheared along both axes by these angles, then turned, then mirrored left to right; in degrees.
pub fn matrix(rotation: f64, shear: [f64; 2], mirror: bool) -> Matrix {
    let (sine, cosine) = sine_and_cosine(rotation);
    let [across, down] = shear.map(|degrees| libm::tan(degrees.to_radians()));
    let turned = [[cosine, -sine], [sine, cosine]];
    let sheared = [[1.0, across], [down, 1.0]];
    let sign = if mirror { -1.0 } else { 1.0 };
    let product =
        |row: usize, column: usize| -> f64 { (0..2).map(|inner| sheared[row][inner] * turned[inner][column]).sum() };
    [[sign * product(0, 0), product(0, 1)], [sign * product(1, 0), product(1, 1)]]
}

/// Exact for quarter turns, which then move whole pixels.
fn sine_and_cosine(degrees: f64) -> (f64, f64) {
    let turn = degrees.rem_euclid(360.0);
    match turn {
        0.0 => (0.0, 1.0),
        90.0 => (1.0, 0.0),
        180.0 => (0.0, -1.0),
        270.0 => (-1.0, 0.0),
        _ => libm::sincos(turn.to_radians()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_brings_the_right_to_the_top() {
        let [[a, b], [c, d]] = matrix(90.0, [0.0; 2], false);
        // One pixel above the centre comes from one to the right of it.
        assert_eq!((-b, -d), (1.0, 0.0));
        assert_eq!((a, c), (0.0, 1.0));
        assert_eq!(matrix(0.0, [0.0; 2], false), IDENTITY);
        assert_eq!(matrix(360.0, [0.0; 2], true), [[-1.0, 0.0], [0.0, 1.0]]);
    }

    #[test]
    fn a_shear_moves_rows_by_their_height() {
        let [[a, b], [c, d]] = matrix(0.0, [45.0, 0.0], false);
        assert!((a - 1.0).abs() + (b - 1.0).abs() + c.abs() + (d - 1.0).abs() < 1e-12);
    }
}
