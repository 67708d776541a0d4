//! Why a document must be written anew.

/// The text is so that nothing can be put into it; the document is written anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotAsText;
