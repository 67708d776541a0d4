//! The counts of the last hours, in blocks of two minutes.

use crate::numbers::to_f32;
use crate::snapshot::{Snapshot, Visit, visit};

use super::counts::Window;

/// The length of a block in seconds, and the number of blocks: four hours are 24 service times of ten minutes.
const BLOCK_SECONDS: u64 = 120;
const MAX_BLOCKS: u32 = 120;

/// The sums of the seconds that have left the ring of seconds.
#[derive(Clone, Debug)]
pub(super) struct Blocks(Box<[Block]>);

impl Visit for Blocks {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.0.visit(snapshot);
    }
}

/// The sums of one block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    number: u32,
    arrivals: f32,
    completed: f32,
    waited: f32,
    served: f32,
    seconds: f32,
}

visit!(Block: number, arrivals, completed, waited, served, seconds);

impl Default for Blocks {
    fn default() -> Self {
        Self(vec![Block::default(); MAX_BLOCKS as usize].into_boxed_slice())
    }
}

impl Blocks {
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// Adds the sums of one second.
    pub(super) fn add(&mut self, second: u64, sums: &Window) {
        let number = number(second);
        let block = &mut self.0[(number % MAX_BLOCKS) as usize];
        if block.number != number {
            *block = Block {
                number,
                ..Block::default()
            };
        }
        block.arrivals += to_f32(sums.arrivals);
        block.completed += to_f32(sums.completed);
        block.waited += to_f32(sums.waited);
        block.served += to_f32(sums.served);
        block.seconds += to_f32(sums.seconds);
    }

    /// Returns the sums of each block that ends after the second `from`, newest first; `newest` is the newest second.
    pub(super) fn since(&self, from: u64, newest: u64) -> impl Iterator<Item = Window> {
        let newest = number(newest);
        let oldest = number(from).max((newest + 1).saturating_sub(MAX_BLOCKS));
        (oldest..=newest)
            .rev()
            .map(|number| (number, &self.0[(number % MAX_BLOCKS) as usize]))
            .filter(|(number, block)| block.number == *number && block.seconds > 0.0)
            .map(|(_, block)| Window {
                arrivals: block.arrivals.into(),
                completed: block.completed.into(),
                waited: block.waited.into(),
                served: block.served.into(),
                seconds: block.seconds.into(),
            })
    }
}

fn number(second: u64) -> u32 {
    u32::try_from(second / BLOCK_SECONDS).unwrap_or(u32::MAX - 1)
}
