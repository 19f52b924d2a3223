//! The marks of series. Outlines differ, and where they have all been used, the lines that cut them do: a print in black and white
//! can be read.

/// The shape of a series' mark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Corners around the centre, y downwards; none for a circle of [`RADIUS`].
    pub corners: &'static [(f64, f64)],
    /// Lines through it, in the colour of what lies behind the mark.
    pub cut: Cut,
}

/// How a mark is cut. No dot is among these: a filled mark with a hole looks like a hollow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// From left to right.
    Across,
    /// From top to bottom.
    Down,
    /// Both ways.
    Quartered,
}

/// Radius of the circle.
pub const RADIUS: f64 = 4.0;

/// Told apart at the size of a dot, filled or not: what is hollow means something else (images that are not trained on).
const OUTLINES: [&[(f64, f64)]; 8] = [
    // A circle.
    &[],
    // A square.
    &[(-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)],
    // A triangle that points up.
    &[(0.0, -5.0), (4.6, 3.0), (-4.6, 3.0)],
    // A diamond.
    &[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)],
    // A triangle that points down.
    &[(0.0, 5.0), (4.6, -3.0), (-4.6, -3.0)],
    // A plus.
    &[
        (-1.5, -4.8),
        (1.5, -4.8),
        (1.5, -1.5),
        (4.8, -1.5),
        (4.8, 1.5),
        (1.5, 1.5),
        (1.5, 4.8),
        (-1.5, 4.8),
        (-1.5, 1.5),
        (-4.8, 1.5),
        (-4.8, -1.5),
        (-1.5, -1.5),
    ],
    // A cross.
    &[
        (2.3, -4.5),
        (4.5, -2.3),
        (2.1, 0.0),
        (4.5, 2.3),
        (2.3, 4.5),
        (0.0, 2.1),
        (-2.3, 4.5),
        (-4.5, 2.3),
        (-2.1, 0.0),
        (-4.5, -2.3),
        (-2.3, -4.5),
        (0.0, -2.1),
    ],
    // An hourglass.
    &[(-4.2, -4.4), (4.2, -4.4), (0.9, 0.0), (4.2, 4.4), (-4.2, 4.4), (-0.9, 0.0)],
];

const CUTS: [Cut; 4] = [Cut::Whole, Cut::Across, Cut::Down, Cut::Quartered];

impl Cut {
    /// Whether a line goes across, and whether one goes down.
    pub fn lines(self) -> (bool, bool) {
        (matches!(self, Self::Across | Self::Quartered), matches!(self, Self::Down | Self::Quartered))
    }
}

impl Mark {
    /// Series of which no two have the same mark.
    #[cfg(test)]
    pub const COUNT: usize = OUTLINES.len() * CUTS.len();

    /// The mark of series `index`; marks begin again after 32 series.
    pub fn of(index: usize) -> Self {
        Self { corners: OUTLINES[index % OUTLINES.len()], cut: CUTS[index / OUTLINES.len() % CUTS.len()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_marks_are_the_same() {
        for index in 0..Mark::COUNT {
            assert!((0..index).all(|other| Mark::of(other) != Mark::of(index)), "{index}");
        }
        assert_eq!(Mark::of(Mark::COUNT), Mark::of(0));
    }
}
