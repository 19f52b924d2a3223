//! What actually runs for a set of taps: only their ancestors, with neighbouring operations fused and every value freed
//! after its last use. A plan is made from the description alone; the engine executes it. Each pass is a file, and none
//! changes a value that somebody asked for.

mod activations;
mod identities;
mod in_place;
mod joins;
mod lifetimes;
mod merge;
mod norms;
mod sums;

use super::{Graph, NodeId, Op};

/// The non-linearity at the end of a fused step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
}

/// What one step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// The operation of a single node that is neither a convolution nor a batch normalisation.
    Node(NodeId),
    /// act(bn(conv(x)) + residual), where everything but the convolution is optional. The batch normalisation is folded
    /// into the convolution's weights when they are loaded.
    Conv {
        /// The convolution.
        conv: NodeId,
        /// The batch normalisation folded into it.
        norm: Option<NodeId>,
        /// Whether the step's second input is added.
        residual: bool,
        /// What is applied last.
        activation: Option<Activation>,
    },
    /// act(bn(x)) of a batch normalisation that follows no convolution. x are all inputs, one behind the other.
    Norm {
        /// The batch normalisation.
        norm: NodeId,
        /// What is applied last.
        activation: Option<Activation>,
    },
}

/// A rewriting of a plan that leaves its values as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Dropouts are left out.
    Identities,
    /// Batch normalisations are folded into the convolutions before them.
    Norms,
    /// Other batch normalisations join their inputs themselves.
    Joins,
    /// Convolutions add the other side of a sum.
    Sums,
    /// Rectifiers are applied by the step before them.
    Activations,
    /// Steps write over an input that nothing reads afterwards.
    InPlace,
}

impl Pass {
    /// Every pass, in the order that lets each see what the others made for it.
    pub const ALL: [Self; 6] =
        [Self::Identities, Self::Norms, Self::Joins, Self::Sums, Self::Activations, Self::InPlace];
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it computes.
    pub kernel: Kernel,
    /// The values it reads, named by the nodes that produce them.
    pub inputs: Vec<NodeId>,
    /// The node whose value it produces (the last one of a fused chain).
    pub output: NodeId,
    /// Which input it may write its result over, because nothing reads that afterwards.
    pub overwrites: Option<usize>,
    /// Values that nothing reads after this step; its own, when it is only tapped.
    pub free: Vec<NodeId>,
}

/// The steps for a set of taps, in execution order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What runs; the input node is no step.
    pub steps: Vec<Step>,
    /// The nodes handed out, in the order asked for.
    pub taps: Vec<NodeId>,
}

impl Plan {
    /// The plan that computes the values of `taps` (which may repeat) and nothing they do not need.
    pub fn new(graph: &Graph, taps: &[NodeId]) -> Self {
        Self::with(graph, taps, &Pass::ALL)
    }

    /// [`Self::new`] with these passes only; with none, every node is a step of its own, as it is described.
    pub fn with(graph: &Graph, taps: &[NodeId], passes: &[Pass]) -> Self {
        let needed = graph.ancestors(taps);
        let step = |(id, node): (NodeId, &super::Node)| Step {
            kernel: match node.op {
                Op::Conv2d(_) => Kernel::Conv { conv: id, norm: None, residual: false, activation: None },
                Op::BatchNorm2d { .. } => Kernel::Norm { norm: id, activation: None },
                _ => Kernel::Node(id),
            },
            inputs: node.inputs.clone(),
            output: id,
            overwrites: None,
            free: Vec::new(),
        };
        let runs = |&(id, node): &(NodeId, &super::Node)| needed[id] && node.op != Op::Input;
        let mut steps: Vec<Step> = graph.nodes().iter().enumerate().filter(runs).map(step).collect();
        for pass in passes {
            match pass {
                Pass::Identities => identities::drop(graph, taps, &mut steps),
                Pass::Norms => norms::fold(taps, &mut steps),
                Pass::Joins => joins::fuse(graph, taps, &mut steps),
                Pass::Sums => sums::fuse(graph, taps, &mut steps),
                Pass::Activations => activations::fuse(graph, taps, &mut steps),
                Pass::InPlace => {}
            }
        }
        lifetimes::assign(&mut steps);
        if passes.contains(&Pass::InPlace) {
            in_place::assign(graph, &mut steps);
        }
        Self { steps, taps: taps.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, Conv2d};
    use super::*;

    /// conv1-bn1-relu-conv2-bn2-(+x)-relu, then pooling and a head: the shape of a ResNet.
    fn block() -> Graph {
        let (mut b, x) = Builder::new();
        let stem = b.conv("stem", x, Conv2d::new(3, 4, 3).padding(1));
        let y = b.conv("conv1", stem, Conv2d::new(4, 4, 3).padding(1));
        let y = b.batch_norm("bn1", y, 4);
        let y = b.relu("relu", y);
        let y = b.conv("conv2", y, Conv2d::new(4, 4, 3).padding(1));
        let y = b.batch_norm("bn2", y, 4);
        let y = b.add("add", y, stem);
        let y = b.relu("relu", y);
        let y = b.op("avgpool", Op::AdaptiveAvgPool2d { side: 1 }, &[y]);
        let y = b.flatten("flatten", y);
        b.linear("fc", y, 4, 2);
        b.finish()
    }

    fn outputs<'a>(graph: &'a Graph, plan: &Plan) -> Vec<&'a str> {
        plan.steps.iter().map(|step| graph.node(step.output).name.as_str()).collect()
    }

    #[test]
    fn a_residual_block_becomes_two_fused_convolutions() {
        let graph = block();
        let plan = Plan::new(&graph, &[graph.find("fc").unwrap()]);
        assert_eq!(outputs(&graph, &plan), ["stem", "relu", "relu_1", "avgpool", "flatten", "fc"]);
        let fused = &plan.steps[2];
        assert_eq!(
            fused.kernel,
            Kernel::Conv {
                conv: graph.find("conv2").unwrap(),
                norm: graph.find("bn2"),
                residual: true,
                activation: Some(Activation::Relu)
            }
        );
        assert_eq!(fused.inputs, [graph.find("relu").unwrap(), graph.find("stem").unwrap()]);
    }

    #[test]
    fn a_tapped_node_is_never_fused_away() {
        let graph = block();
        for name in ["conv1", "bn1", "relu", "conv2", "bn2", "add", "relu_1"] {
            let tap = graph.find(name).unwrap();
            let plan = Plan::new(&graph, &[tap, graph.find("fc").unwrap()]);
            assert!(plan.steps.iter().any(|step| step.output == tap), "{name} is not computed");
        }
    }

    #[test]
    fn deeper_nodes_do_not_run_for_a_shallow_tap() {
        let graph = block();
        let plan = Plan::new(&graph, &[graph.find("relu").unwrap()]);
        assert_eq!(outputs(&graph, &plan), ["stem", "relu"]);
    }

    #[test]
    fn every_value_is_freed_after_its_last_use() {
        let graph = block();
        let tap = graph.find("relu").unwrap();
        let plan = Plan::new(&graph, &[tap, graph.find("fc").unwrap()]);
        let mut live: Vec<NodeId> = vec![0];
        for step in &plan.steps {
            for input in &step.inputs {
                assert!(live.contains(input), "{} reads a freed value", graph.node(step.output).name);
            }
            live.push(step.output);
            live.retain(|node| !step.free.contains(node));
        }
        assert!(live.is_empty(), "{live:?} are never freed");
    }

    #[test]
    fn the_other_side_of_a_sum_is_written_over_where_nothing_reads_it_later() {
        let graph = block();
        let plan = Plan::new(&graph, &[graph.find("fc").unwrap()]);
        assert_eq!(plan.steps[2].overwrites, Some(1));
        let (mut b, x) = Builder::new();
        let y = b.conv("conv", x, Conv2d::new(3, 3, 1));
        let z = b.add("add", y, x);
        let graph = b.finish();
        // The other side is the caller's image.
        assert_eq!(Plan::new(&graph, &[z]).steps[0].overwrites, None);
    }

    #[test]
    fn a_value_read_later_is_not_overwritten() {
        let (mut b, x) = Builder::new();
        let y = b.op("tanh", Op::Tanh, &[x]);
        let r = b.relu("relu", y);
        let s = b.relu("again", r);
        b.add("add", s, y);
        let graph = b.finish();
        let plan = Plan::new(&graph, &[graph.find("add").unwrap()]);
        let overwrites: Vec<Option<usize>> = plan.steps.iter().map(|step| step.overwrites).collect();
        // `tanh` reads the caller's image, `relu` reads what `add` reads again; the other two read last.
        assert_eq!(overwrites, [None, None, Some(0), Some(0)]);
    }

    #[test]
    fn a_value_that_shares_memory_is_not_overwritten() {
        let (mut b, x) = Builder::new();
        let y = b.op("tanh", Op::Tanh, &[x]);
        let same = b.op("dropout", Op::Dropout, &[y]);
        let r = b.relu("relu", y);
        b.add("add", r, same);
        let graph = b.finish();
        let taps = [graph.find("add").unwrap(), same];
        let plan = Plan::new(&graph, &taps);
        assert_eq!(outputs(&graph, &plan), ["tanh", "dropout", "relu", "add"]);
        assert_eq!(plan.steps[2].overwrites, None);
    }

    #[test]
    fn dropout_runs_only_where_it_is_tapped() {
        let (mut b, x) = Builder::new();
        let y = b.conv("conv", x, Conv2d::new(3, 3, 1));
        let y = b.op("dropout", Op::Dropout, &[y]);
        b.relu("relu", y);
        let graph = b.finish();
        let relu = graph.find("relu").unwrap();
        assert_eq!(outputs(&graph, &Plan::new(&graph, &[relu])), ["relu"]);
        assert_eq!(outputs(&graph, &Plan::new(&graph, &[relu, y])), ["conv", "dropout", "relu"]);
    }

    #[test]
    fn a_normalisation_before_a_convolution_takes_its_rectifier_along() {
        let (mut b, x) = Builder::new();
        let y = b.batch_norm("norm", x, 3);
        let y = b.relu("relu", y);
        b.conv("conv", y, Conv2d::new(3, 4, 1));
        let graph = b.finish();
        let plan = Plan::new(&graph, &[graph.find("conv").unwrap()]);
        assert_eq!(outputs(&graph, &plan), ["relu", "conv"]);
        let norm = graph.find("norm").unwrap();
        assert_eq!(plan.steps[0].kernel, Kernel::Norm { norm, activation: Some(Activation::Relu) });
    }

    #[test]
    fn a_normalisation_joins_its_inputs_unless_others_read_them_joined() {
        let (mut b, x) = Builder::new();
        let y = b.conv("conv", x, Conv2d::new(3, 4, 1));
        let joined = b.op("cat", Op::Concat, &[x, y]);
        let z = b.batch_norm("norm", joined, 7);
        b.relu("relu", z);
        let graph = b.finish();
        let relu = graph.find("relu").unwrap();
        let plan = Plan::new(&graph, &[relu]);
        assert_eq!(outputs(&graph, &plan), ["conv", "relu"]);
        assert_eq!(plan.steps[1].inputs, [x, y]);
        assert_eq!(plan.steps[1].kernel, Kernel::Norm { norm: z, activation: Some(Activation::Relu) });
        let plan = Plan::new(&graph, &[relu, joined]);
        assert_eq!(outputs(&graph, &plan), ["conv", "cat", "relu"]);
    }
}
