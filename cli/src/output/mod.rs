//! What the user sees: results on stdout, everything else on stderr.

pub(crate) mod logging;
pub(crate) mod progress;
pub(crate) mod sheet;
pub(crate) mod stages;
pub(crate) mod status;
pub(crate) mod table;
