//! What the benchmarks take from their environment: variables, and what the machine can run.

use std::env;
use std::str::FromStr;

use pushscale_testkit::local_torchserve::LocalTorchServe;
use pushscale_tests::fleet;
use pushscale_tests::test_cluster::Shape;

/// Returns the number in an environment variable, if it is set.
pub(crate) fn number<N: FromStr>(variable: &str) -> Option<N> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}: it must be a number")))
}

/// Returns the TorchServe for pods of a node; `None`, with a message, if the machine can run no node or no TorchServe.
pub(crate) fn torchserve_on_a_node() -> Option<LocalTorchServe> {
    if !Shape::Node.available() {
        println!("  NOT MEASURED: requires root and network namespaces");
        return None;
    }
    let torchserve = fleet::local_torchserve();
    if torchserve.is_none() {
        println!("  NOT MEASURED: requires Java and Python");
    }
    torchserve
}
