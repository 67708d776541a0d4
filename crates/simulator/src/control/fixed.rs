//! A constant number of pods.

use super::Controller;
use crate::cluster::View;

/// A constant number of pods: shows how many pods a load needs without an autoscaler.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(u32);

impl Fixed {
    /// Creates a controller that keeps this number of pods.
    pub fn new(size: u32) -> Self {
        Self(size)
    }
}

impl Controller for Fixed {
    fn decide(&mut self, _: &View<'_>) -> Option<u32> {
        Some(self.0)
    }
}
