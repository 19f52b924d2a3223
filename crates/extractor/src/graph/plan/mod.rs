//! What actually runs for a set of taps: only their ancestors, with neighbouring operations fused and every value freed
//! after its last use. A plan is made from the description alone; the engine executes it.

mod fuse;
mod lifetimes;

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
    /// The operation of a single node.
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
    /// Whether its first input may be overwritten: nothing reads it afterwards.
    pub in_place: bool,
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
        let needed = graph.ancestors(taps);
        let mut steps: Vec<Step> = graph
            .nodes()
            .iter()
            .enumerate()
            .filter(|&(id, node)| needed[id] && node.op != Op::Input)
            .map(|(id, node)| Step {
                kernel: Kernel::Node(id),
                inputs: node.inputs.clone(),
                output: id,
                in_place: false,
                free: Vec::new(),
            })
            .collect();
        fuse::convolutions(graph, taps, &mut steps);
        lifetimes::assign(graph, &mut steps);
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
    fn a_value_read_later_is_not_overwritten() {
        let (mut b, x) = Builder::new();
        let y = b.batch_norm("norm", x, 3);
        let r = b.relu("relu", y);
        let s = b.relu("again", r);
        b.add("add", s, y);
        let graph = b.finish();
        let plan = Plan::new(&graph, &[graph.find("add").unwrap()]);
        let in_place: Vec<bool> = plan.steps.iter().map(|step| step.in_place).collect();
        // `norm` reads the caller's image, `relu` reads what `add` reads again; the other two read last.
        assert_eq!(in_place, [false, false, true, true]);
    }
}
