//! The pods that a scale-down deletes first.

/// Which pods a scale-down deletes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// Starting pods, then unready ones, then those with the lowest deletion cost, then the youngest, like a
    /// ReplicaSet.
    #[default]
    Cost,
    /// The youngest, like a StatefulSet.
    Youngest,
}
