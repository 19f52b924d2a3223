//! The closed set of operations: the shape each gives, the parameters it holds, what it costs.

use std::fmt;

/// Shape of one image's value at a node, without the batch dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A feature map, C×H×W.
    Map([usize; 3]),
    /// A vector of D numbers.
    Vector(usize),
}

impl Shape {
    /// The dimensions, outermost first.
    pub fn dims(&self) -> Vec<usize> {
        match *self {
            Shape::Map(chw) => chw.to_vec(),
            Shape::Vector(d) => vec![d],
        }
    }

    /// How many numbers a value of this shape holds.
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Map([c, h, w]) => write!(f, "{c}×{h}×{w}"),
            Shape::Vector(d) => write!(f, "{d}"),
        }
    }
}

/// An input that the network cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an input of {}×{}×{} does not fit node {node}: {reason}", .input[0], .input[1], .input[2])]
pub struct ShapeError {
    /// The first node that cannot take what reaches it.
    pub node: String,
    /// The network's input, C×H×W.
    pub input: [usize; 3],
    /// What is wrong there.
    pub reason: String,
}

/// A 2-D convolution, square in everything, as all the families here are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel, in pixels.
    pub kernel: usize,
    /// Step between outputs, in pixels.
    pub stride: usize,
    /// Zeros added on every side, in pixels.
    pub padding: usize,
    /// Channel groups (`inputs` of them for a depthwise convolution).
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2d {
    /// A convolution without bias, stride 1, no padding, one group.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: 0, groups: 1, bias: false }
    }

    /// With this stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With this many zeros on every side.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// With this many channel groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// With a bias.
    pub fn bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

/// What a node computes. Each variant follows the PyTorch module or function of the same name in evaluation mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// The normalised image, C×H×W.
    Input,
    /// `torch.nn.Conv2d`, zero padding.
    Conv2d(Conv2d),
    /// `torch.nn.BatchNorm2d` with its running statistics.
    BatchNorm2d {
        /// Channels.
        channels: usize,
        /// Added to the variance before the square root.
        eps: f64,
    },
    /// `torch.nn.Linear` with bias.
    Linear {
        /// Width of the input vector.
        inputs: usize,
        /// Width of the output vector.
        outputs: usize,
    },
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// The hyperbolic tangent.
    Tanh,
    /// `torch.nn.MaxPool2d`
    MaxPool2d {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Minus infinities added on every side.
        padding: usize,
        /// Whether a window that starts inside but ends outside still counts.
        ceil: bool,
    },
    /// `torch.nn.AvgPool2d` without padding.
    AvgPool2d {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
    },
    /// `torch.nn.AdaptiveAvgPool2d` to a square.
    AdaptiveAvgPool2d {
        /// Side of the output.
        side: usize,
    },
    /// Element-wise sum of two values.
    Add,
    /// Concatenation along the channels.
    Concat,
    /// A C×H×W value as one vector.
    Flatten,
    /// `torch.nn.Dropout`, which does nothing in evaluation mode.
    Dropout,
}

impl Op {
    /// The operation's name in listings.
    pub fn label(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv2d(conv) if conv.groups > 1 && conv.groups == conv.inputs => "depthwise_conv2d",
            Op::Conv2d(_) => "conv2d",
            Op::BatchNorm2d { .. } => "batch_norm2d",
            Op::Linear { .. } => "linear",
            Op::Relu => "relu",
            Op::Relu6 => "relu6",
            Op::Tanh => "tanh",
            Op::MaxPool2d { .. } => "max_pool2d",
            Op::AvgPool2d { .. } => "avg_pool2d",
            Op::AdaptiveAvgPool2d { .. } => "adaptive_avg_pool2d",
            Op::Add => "add",
            Op::Concat => "concat",
            Op::Flatten => "flatten",
            Op::Dropout => "dropout",
        }
    }

    /// Suffix, shape and learnability of every tensor the operation holds.
    pub(super) fn parameters(&self) -> Vec<(&'static str, Vec<usize>, bool)> {
        match *self {
            Op::Conv2d(c) => {
                let mut all = vec![("weight", vec![c.outputs, c.inputs / c.groups, c.kernel, c.kernel], true)];
                if c.bias {
                    all.push(("bias", vec![c.outputs], true));
                }
                all
            }
            Op::BatchNorm2d { channels, .. } => vec![
                ("weight", vec![channels], true),
                ("bias", vec![channels], true),
                ("running_mean", vec![channels], false),
                ("running_var", vec![channels], false),
            ],
            Op::Linear { inputs, outputs } => {
                vec![("weight", vec![outputs, inputs], true), ("bias", vec![outputs], true)]
            }
            _ => Vec::new(),
        }
    }

    /// The output shape for these input shapes, or why they do not fit.
    pub(super) fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match (*self, inputs) {
            (Op::Conv2d(conv), &[Shape::Map([c, h, w])]) => {
                if c != conv.inputs {
                    return Err(format!("it takes {} channels and gets {c}", conv.inputs));
                }
                let h = windows(h, conv.kernel, conv.stride, conv.padding, false)?;
                let w = windows(w, conv.kernel, conv.stride, conv.padding, false)?;
                Ok(Shape::Map([conv.outputs, h, w]))
            }
            (Op::BatchNorm2d { channels, .. }, &[shape @ Shape::Map([c, _, _])]) => {
                if c != channels {
                    return Err(format!("it takes {channels} channels and gets {c}"));
                }
                Ok(shape)
            }
            (Op::Linear { inputs: wanted, outputs }, &[Shape::Vector(d)]) => {
                if d != wanted {
                    return Err(format!("it takes a vector of {wanted} and gets {d}"));
                }
                Ok(Shape::Vector(outputs))
            }
            (Op::Relu | Op::Relu6 | Op::Tanh | Op::Dropout, &[shape]) => Ok(shape),
            (Op::MaxPool2d { kernel, stride, padding, ceil }, &[Shape::Map([c, h, w])]) => {
                let h = windows(h, kernel, stride, padding, ceil)?;
                let w = windows(w, kernel, stride, padding, ceil)?;
                Ok(Shape::Map([c, h, w]))
            }
            (Op::AvgPool2d { kernel, stride }, &[Shape::Map([c, h, w])]) => {
                Ok(Shape::Map([c, windows(h, kernel, stride, 0, false)?, windows(w, kernel, stride, 0, false)?]))
            }
            (Op::AdaptiveAvgPool2d { side }, &[Shape::Map([c, _, _])]) => Ok(Shape::Map([c, side, side])),
            (Op::Add, &[a, b]) if a == b => Ok(a),
            (Op::Add, &[a, b]) => Err(format!("it adds values of different shapes, {a} and {b}")),
            (Op::Concat, &[Shape::Map([first, h, w]), ref rest @ ..]) => {
                let mut channels = first;
                for shape in rest {
                    match *shape {
                        Shape::Map([c, other_h, other_w]) if (other_h, other_w) == (h, w) => channels += c,
                        other => return Err(format!("it joins {other} to maps of {h}×{w}")),
                    }
                }
                Ok(Shape::Map([channels, h, w]))
            }
            (Op::Flatten, &[shape]) => Ok(Shape::Vector(shape.elements())),
            _ => Err(format!("{} cannot take {} inputs of these shapes", self.label(), inputs.len())),
        }
    }

    /// Multiply-adds for one image, given the output shape.
    pub(super) fn multiply_adds(&self, output: Shape) -> u64 {
        match *self {
            Op::Conv2d(c) => output.elements() as u64 * (c.inputs / c.groups * c.kernel * c.kernel) as u64,
            Op::Linear { inputs, outputs } => inputs as u64 * outputs as u64,
            _ => 0,
        }
    }
}

/// How many windows fit along one side, as PyTorch's `pooling_output_shape` counts them.
fn windows(side: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Result<usize, String> {
    let room = (side + 2 * padding)
        .checked_sub(kernel)
        .ok_or_else(|| format!("a window of {kernel} does not fit into {side} pixels; the image is too small"))?;
    let mut count = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
    // With ceil, the last window must start inside the image or its left padding.
    if ceil && (count - 1) * stride >= side + padding {
        count -= 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_windows_follow_pytorch() {
        assert_eq!(windows(112, 3, 2, 1, false), Ok(56));
        assert_eq!(windows(109, 3, 2, 0, true), Ok(54));
        assert_eq!(windows(110, 3, 2, 0, true), Ok(55));
        assert_eq!(windows(2, 1, 2, 0, true), Ok(1));
        assert!(windows(2, 3, 2, 0, true).is_err());
    }
}
