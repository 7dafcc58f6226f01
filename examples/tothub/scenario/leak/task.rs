//! Tasks that wait for ever: each enrolment form waits for its guardian's signature, and nobody has
//! given the waiting an end.

use crate::scenario::visits::{Visits, scan};
use tokio::runtime::Handle;

/// What the runtime needs for a task, beside its form.
const BYTES_A_TASK: usize = 256;

pub fn run(mut visits: Visits, runtime: &Handle) {
    loop {
        let bytes = visits.serve();
        let form = scan(bytes.saturating_sub(BYTES_A_TASK));
        runtime.spawn(async move {
            signature().await;
            tracing::debug!(bytes = form.len(), "an enrolment was signed");
        });
    }
}

/// The message that asks for it was lost on the way, so it never comes.
async fn signature() {
    std::future::pending().await
}
