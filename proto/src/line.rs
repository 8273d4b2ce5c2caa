//! A connection to a master that says with each call who is calling.

use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response, header};
use tonic::transport::{Channel, Error};

use crate::Secret;

/// A connection, and the credential that goes with each call on it.
#[derive(Clone, Debug)]
pub struct Line {
    channel: Channel,
    authorization: Option<HeaderValue>,
}

impl Line {
    /// A connection on which each call carries this credential, if there is one.
    pub(crate) fn new(channel: Channel, credential: Option<&Secret>) -> Self {
        Self { channel, authorization: credential.map(Secret::header) }
    }
}

impl From<Channel> for Line {
    fn from(channel: Channel) -> Self {
        Self { channel, authorization: None }
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        self.channel.call(request)
    }
}
