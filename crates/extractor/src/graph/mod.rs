//! The description of a backbone: named nodes in execution order, and everything that follows from the description
//! alone (shapes, parameters, multiply-adds, which nodes a tap needs). No tensor is ever touched here.

mod builder;
mod op;
mod plan;
mod select;

pub use builder::Builder;
pub use op::{Conv2d, Op, Shape, ShapeError};
pub use plan::{Activation, Kernel, Pass, Plan, Step};
pub use select::{LayerSpec, Pool, SelectError, Tap, near_names};

use std::collections::HashMap;

/// Index of a node in [`Graph::nodes`]; nodes are stored in execution order, so inputs have smaller ids.
pub type NodeId = usize;

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name torchvision's `get_graph_node_names` prints (`layer1.0.relu_1`); also the prefix of its parameters' keys.
    pub name: String,
    /// What the node computes.
    pub op: Op,
    /// The nodes whose values it reads, in the order the operation takes them.
    pub inputs: Vec<NodeId>,
}

/// A module path (`layer1`, `features.1.conv.0`) and the node whose value the module returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The dotted path, as in PyTorch's `named_modules`.
    pub path: String,
    /// The node that holds the value the module returns.
    pub output: NodeId,
}

/// A learnable or running-statistics tensor that a graph expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The state-dict key (`layer1.0.conv1.weight`).
    pub key: String,
    /// The shape PyTorch gives it: O×I/g×kH×kW for convolutions, O×I for linear layers, C for the rest.
    pub shape: Vec<usize>,
    /// The node it belongs to.
    pub node: NodeId,
    /// False for running statistics, which are not counted as parameters of a model.
    pub learnable: bool,
}

/// A backbone as a directed acyclic graph of named nodes. Node 0 is the input, named `x`.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    modules: Vec<Module>,
    stages: Vec<String>,
    names: HashMap<String, NodeId>,
}

impl Graph {
    pub(crate) fn new(nodes: Vec<Node>, modules: Vec<Module>, stages: Vec<String>) -> Self {
        let mut names: HashMap<String, NodeId> =
            modules.iter().map(|module| (module.path.clone(), module.output)).collect();
        // A node's own name wins over a module of the same path: `layer1.0.relu` is the first of the module's two calls.
        names.extend(nodes.iter().enumerate().map(|(id, node)| (node.name.clone(), id)));
        Self { nodes, modules, stages, names }
    }

    /// Every node, in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Every module path that is not also the name of a node, in the order the modules return.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().filter(|module| self.nodes[self.names[&module.path]].name != module.path)
    }

    /// Names of the taps that end the stages of the network, from the input on (`layer1` … `layer4`).
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// The node that a node name or a module path stands for.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    /// Every name that can be tapped: node names in execution order, each followed by the modules it ends.
    pub fn tap_names(&self) -> Vec<&str> {
        let mut ending: Vec<Vec<&str>> = vec![Vec::new(); self.nodes.len()];
        for module in self.modules() {
            ending[module.output].push(&module.path);
        }
        let mut names = Vec::new();
        for (node, modules) in self.nodes.iter().zip(ending) {
            names.push(node.name.as_str());
            names.extend(modules);
        }
        names
    }

    /// Every tensor the graph expects, in the order of the nodes.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            for (suffix, shape, learnable) in node.op.parameters() {
                all.push(Parameter { key: format!("{}.{suffix}", node.name), shape, node: id, learnable });
            }
        }
        all
    }

    /// Number of learnable scalars, as PyTorch counts them (running statistics left out).
    pub fn parameter_count(&self) -> u64 {
        self.parameters()
            .iter()
            .filter(|parameter| parameter.learnable)
            .map(|parameter| parameter.shape.iter().product::<usize>() as u64)
            .sum()
    }

    /// The shape of every node's value for an input of C×H×W.
    ///
    /// # Errors
    /// When the input is too small for the network, or has the wrong number of channels; the error names the node.
    pub fn shapes(&self, input: [usize; 3]) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<Shape> = node.inputs.iter().map(|&id| shapes[id]).collect();
            let shape = match node.op {
                Op::Input => Shape::Map(input),
                _ => node.op.infer(&inputs).map_err(|reason| ShapeError { node: node.name.clone(), input, reason })?,
            };
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Multiply-adds of every node for one image, given [`Graph::shapes`]. Convolutions and linear layers only, as
    /// published tables count them.
    pub fn multiply_adds(&self, shapes: &[Shape]) -> Vec<u64> {
        self.nodes.iter().zip(shapes).map(|(node, &shape)| node.op.multiply_adds(shape)).collect()
    }

    /// Multiply-adds for one image of everything that must run to compute `taps`.
    pub fn multiply_adds_to(&self, taps: &[NodeId], shapes: &[Shape]) -> u64 {
        let needed = self.ancestors(taps);
        self.multiply_adds(shapes).iter().zip(needed).filter(|(_, needed)| *needed).map(|(cost, _)| cost).sum()
    }

    /// The nodes whose values are normalised by batch statistics, in the order of the network.
    pub fn batch_norm_inputs(&self) -> Vec<NodeId> {
        let is_norm = |node: &&Node| matches!(node.op, Op::BatchNorm2d { .. });
        self.nodes.iter().filter(is_norm).map(|node| node.inputs[0]).collect()
    }

    /// Which nodes must run to compute `taps`: the taps and everything they are computed from.
    pub fn ancestors(&self, taps: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for &tap in taps {
            needed[tap] = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if needed[id] {
                for &input in &self.nodes[id].inputs {
                    needed[input] = true;
                }
            }
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residual_block() -> Graph {
        let (mut b, x) = Builder::new();
        let out = b.module("layer1", |b| {
            b.module("0", |b| {
                let y = b.conv("conv1", x, Conv2d::new(3, 3, 3).padding(1));
                let y = b.batch_norm("bn1", y, 3);
                let y = b.relu("relu", y);
                let y = b.conv("conv2", y, Conv2d::new(3, 3, 3).padding(1));
                let y = b.add("add", y, x);
                b.relu("relu", y)
            })
        });
        b.stage("layer1");
        let y = b.flatten("flatten", out);
        b.linear("fc", y, 3 * 8 * 8, 5);
        b.finish()
    }

    #[test]
    fn names_follow_the_scopes_and_repeated_calls_are_numbered() {
        let graph = residual_block();
        let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "x",
                "layer1.0.conv1",
                "layer1.0.bn1",
                "layer1.0.relu",
                "layer1.0.conv2",
                "layer1.0.add",
                "layer1.0.relu_1",
                "flatten",
                "fc"
            ]
        );
        assert_eq!(graph.find("layer1"), graph.find("layer1.0.relu_1"));
        assert_eq!(graph.find("layer1.0"), graph.find("layer1.0.relu_1"));
        assert_ne!(graph.find("layer1.0.relu"), graph.find("layer1.0.relu_1"));
        assert_eq!(graph.modules().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["layer1.0", "layer1"]);
    }

    #[test]
    fn shapes_parameters_and_costs() {
        let graph = residual_block();
        let shapes = graph.shapes([3, 8, 8]).unwrap();
        assert_eq!(shapes[graph.find("layer1").unwrap()], Shape::Map([3, 8, 8]));
        assert_eq!(shapes[graph.find("fc").unwrap()], Shape::Vector(5));
        assert_eq!(graph.parameter_count(), 2 * (3 * 3 * 9) + 2 * 3 + 192 * 5 + 5);
        let costs = graph.multiply_adds(&shapes);
        assert_eq!(costs[graph.find("layer1.0.conv1").unwrap()], 8 * 8 * 3 * 3 * 9);
        assert_eq!(costs[graph.find("fc").unwrap()], 192 * 5);
        assert_eq!(costs.iter().sum::<u64>(), 2 * 8 * 8 * 81 + 960);
    }

    #[test]
    fn a_wrong_input_names_the_node() {
        let graph = residual_block();
        let error = graph.shapes([1, 8, 8]).unwrap_err().to_string();
        assert!(error.contains("layer1.0.conv1"), "{error}");
        let error = graph.shapes([3, 9, 8]).unwrap_err().to_string();
        assert!(error.contains("fc"), "{error}");
    }

    #[test]
    fn a_shallow_tap_needs_only_what_is_before_it() {
        let graph = residual_block();
        let needed = graph.ancestors(&[graph.find("layer1.0.relu").unwrap()]);
        assert_eq!(needed.iter().filter(|&&n| n).count(), 4);
    }
}
