//! Where the values of a tap come to on the host.

use crate::engine::cudart::{Functions, Pinned};

/// Memory for the values of one tap, used again from batch to batch.
pub enum Values {
    Pinned(Pinned<f32>),
    Ordinary(Vec<f32>),
}

impl Values {
    /// All there is room for.
    pub fn all(&mut self) -> &mut [f32] {
        match self {
            Self::Pinned(values) => values,
            Self::Ordinary(values) => values,
        }
    }

    /// Makes room for as many, pinned by these functions where they can.
    pub fn make_room(&mut self, count: usize, pin: Option<&'static Functions>) {
        if self.all().len() < count {
            let pinned = pin.and_then(|functions| Pinned::zeros(functions, count).ok());
            *self = pinned.map_or_else(|| Self::Ordinary(vec![0.0; count]), Self::Pinned);
        }
    }

    /// The first values; ordinary memory is handed out itself.
    pub fn take(&mut self, count: usize) -> Vec<f32> {
        match self {
            Self::Pinned(values) => values[..count].to_vec(),
            Self::Ordinary(values) => {
                let mut values = std::mem::take(values);
                values.truncate(count);
                values
            }
        }
    }
}
