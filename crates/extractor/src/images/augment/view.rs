//! One view of one image, with every choice made.

use super::{affine::Matrix, colour::Shift, frame::Part, noise::Noise, warp::Field};

/// What is done to an image.
#[derive(Debug, Clone)]
pub struct View {
    /// Which part of it is seen.
    pub part: Part,
    /// Where offsets from the centre of the square come from.
    pub matrix: Matrix,
    /// Local displacements.
    pub field: Option<Field>,
    /// Changed colours.
    pub colour: Option<Shift>,
    /// Added noise.
    pub noise: Option<Noise>,
}
