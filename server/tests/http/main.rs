//! The server as its clients meet it: over a socket, on a port of its own.

mod clients; // slow, greedy, or gone
mod images; // pictures of the index, and nothing else
mod layers; // modules import upwards only
mod life; // new generations, overload, stopping
mod limits; // what is refused, and how
mod routes; // what is answered
mod support; // a server with a small index
