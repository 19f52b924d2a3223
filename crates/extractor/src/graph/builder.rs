//! What the zoo describes architectures with. Scopes make the names: a node built inside `module("layer1", …)` and
//! `module("0", …)` is called `layer1.0.…`, and a name used again in the same scope gets `_1`, `_2`, as torch.fx numbers
//! repeated calls.

use super::{Conv2d, Graph, Module, Node, NodeId, Op};
use std::collections::HashMap;

/// Builds a [`Graph`] node by node, in execution order.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    modules: Vec<Module>,
    stages: Vec<String>,
    scope: Vec<String>,
    calls: HashMap<String, usize>,
}

impl Builder {
    /// An empty graph and its input node, `x`.
    pub fn new() -> (Self, NodeId) {
        let input = Node { name: "x".into(), op: Op::Input, inputs: Vec::new() };
        let builder = Self {
            nodes: vec![input],
            modules: Vec::new(),
            stages: Vec::new(),
            scope: Vec::new(),
            calls: HashMap::from([("x".into(), 1)]),
        };
        (builder, 0)
    }

    fn path(&self, name: &str) -> String {
        let mut path = self.scope.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path + name
    }

    /// Everything built by `body` is named below `name` (which may be dotted); the module's path then stands for the
    /// value `body` returns.
    pub fn module(&mut self, name: &str, body: impl FnOnce(&mut Self) -> NodeId) -> NodeId {
        let path = self.path(name);
        self.scope.push(name.to_string());
        let output = body(self);
        self.scope.pop();
        self.modules.push(Module { path, output });
        output
    }

    /// Adds a node named `name` in the current scope.
    pub fn op(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let path = self.path(name);
        let calls = self.calls.entry(path.clone()).or_insert(0);
        let name = if *calls == 0 { path } else { format!("{path}_{calls}") };
        *calls += 1;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// Declares that the node or module of this full name ends a stage.
    pub fn stage(&mut self, name: &str) {
        self.stages.push(name.to_string());
    }

    /// A convolution.
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv2d) -> NodeId {
        self.op(name, Op::Conv2d(conv), &[x])
    }

    /// Batch normalisation with PyTorch's default epsilon, 1e-5.
    pub fn batch_norm(&mut self, name: &str, x: NodeId, channels: usize) -> NodeId {
        self.op(name, Op::BatchNorm2d { channels, eps: 1e-5 }, &[x])
    }

    /// A rectifier.
    pub fn relu(&mut self, name: &str, x: NodeId) -> NodeId {
        self.op(name, Op::Relu, &[x])
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, name: &str, x: NodeId, inputs: usize, outputs: usize) -> NodeId {
        self.op(name, Op::Linear { inputs, outputs }, &[x])
    }

    /// Max pooling without padding, rounding down.
    pub fn max_pool(&mut self, name: &str, x: NodeId, kernel: usize, stride: usize) -> NodeId {
        self.op(name, Op::MaxPool2d { kernel, stride, padding: 0, ceil: false }, &[x])
    }

    /// Element-wise sum.
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> NodeId {
        self.op(name, Op::Add, &[a, b])
    }

    /// A feature map as one vector.
    pub fn flatten(&mut self, name: &str, x: NodeId) -> NodeId {
        self.op(name, Op::Flatten, &[x])
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        let graph = Graph::new(self.nodes, self.modules, self.stages);
        for stage in graph.stages() {
            debug_assert!(graph.find(stage).is_some(), "stage {stage} names no node");
        }
        graph
    }
}
