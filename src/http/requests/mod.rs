//! The request layer: how long requests take, and what they allocate, by route.
//!
//! A tower [`Layer`](tower::Layer) around a service. For each request it
//!
//! 1. finds the route by its template, so that their number stays bounded;
//! 2. refuses it with 503 and `Retry-After` while the monitor sheds load, unless the route is one by
//!    which the program is watched;
//! 3. adds up what each poll of the handler, and of the response's body, allocates on the thread that
//!    it runs on: exact over `await` points and worker threads, because a future runs on one thread at
//!    a time; what the handler hands to other tasks or threads belongs to it by [`carry`];
//! 4. gives the response `X-Memory-Usage` and `Server-Timing`;
//! 5. notes time and bytes, and logs slow requests.
//!
//! ```text
//! request ─► route ─► shed? ─► poll … poll ─► headers ─► frame … frame ─► noted
//!                               └─ tally ─┘              └── tally ──┘
//! ```
//!
//! In steady state it allocates nothing: routes have their memory from their first request on, and
//! header values stand ready. (A response without any header has its header map made for it.)
//!
//! | file | its one idea |
//! |---|---|
//! | `layer` | the layer and its settings |
//! | `service` | one request from its beginning to the response's head |
//! | `body` | and on to the end of its body |
//! | `work` | what is known of a request under way |
//! | `tally` | what a thread allocates around a call |
//! | `carried` | what other threads allocate for a request |
//! | `route`, `routes` | what is kept of one route, and the bounded table of all |
//! | `figures` | the same for who asks |
//! | `headers` | header values that stand ready |

mod body;
mod carried;
mod figures;
mod headers;
mod layer;
mod route;
mod routes;
mod service;
mod tally;
mod work;

pub use body::Measured;
pub use carried::{Carry, carry, carry_future};
pub use figures::{BOUNDS, RouteFigures};
pub use layer::{RequestLayer, RequestSettings};
pub use service::{RequestFuture, RequestService};
