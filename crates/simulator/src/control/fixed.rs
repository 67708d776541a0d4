//! The same size all the time.

use super::Controller;
use crate::cluster::View;

/// The same size all the time: what a load takes without any autoscaler.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(u32);

impl Fixed {
    /// This size.
    pub fn new(size: u32) -> Self {
        Self(size)
    }
}

impl Controller for Fixed {
    fn decide(&mut self, _: &View<'_>) -> Option<u32> {
        Some(self.0)
    }
}
