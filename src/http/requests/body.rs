//! The body of a response, measured to its end.

use super::work::Work;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A body whose making counts for its request. Nothing is boxed, and frames, sizes, trailers and
    /// errors are the inner body's own.
    pub struct Measured<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<B> {
        Served {
            #[pin]
            body: B,
            work: Option<Work>,
        },
        // Why the request was refused.
        Refused { body: Option<Bytes> },
    }
}

impl<B> Measured<B> {
    pub(super) fn served(body: B, work: Option<Work>) -> Measured<B> {
        Measured {
            state: State::Served { body, work },
        }
    }

    pub(super) fn refused(why: Bytes) -> Measured<B> {
        Measured {
            state: State::Refused { body: Some(why) },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Measured<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().state.project() {
            Projected::Served { body, work } => {
                let polled = match work {
                    Some(under_way) => under_way.run(|| body.poll_frame(context)),
                    None => body.poll_frame(context),
                };
                let frame = ready!(polled);
                // Noted here: a server may keep the body for a while.
                if !matches!(frame, Some(Ok(_)))
                    && let Some(work) = work.take()
                    && frame.is_some()
                {
                    work.fail();
                }
                Poll::Ready(frame)
            }
            Projected::Refused { body } => Poll::Ready(body.take().map(|all| Ok(Frame::data(all)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Served { body, .. } => body.is_end_stream(),
            State::Refused { body } => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Served { body, .. } => body.size_hint(),
            State::Refused { body } => {
                SizeHint::with_exact(body.as_ref().map_or(0, |all| all.len() as u64))
            }
        }
    }
}

impl<B> fmt::Debug for Measured<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measured").finish_non_exhaustive()
    }
}
