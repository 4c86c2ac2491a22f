//! The crate from outside, in one binary.

mod build; // making an index, and failing to
mod changes; // changes of an index, and a model of them
mod damage; // files that are not what was written
#[cfg(unix)]
mod durable; // power cuts and failing calls at every point of a change
mod element; // what numbers are stored as
mod filters; // which prompts and images a filter selects
mod given; // prompts known by themselves, by images, by predictions
mod golden; // an index as each version of the format wrote it
mod layers; // modules import downwards only
#[cfg(unix)]
mod medium; // a storage that knows what a power cut leaves
mod model; // random changes against a plain model
mod recall; // the graph against exact search
#[cfg(unix)]
mod refused; // a full disk, missing permission
mod search; // the three modes, pages, ties
mod segments; // adding, deleting, compacting, and readers meanwhile
mod staging; // a killed build goes on
mod util; // data and folders
