//! The HTTP edge: each route turns its request into one of the application's verbs, and the answer
//! into a response. Conventions: `202` with `Location`, RFC 9457 problem+json for every error.

mod access;
mod bodies;
mod download;
mod events;
mod formulas;
mod health;
mod ingests;
mod jobs;
mod legacy;
mod list;
mod listen;
mod look;
mod metrics;
mod openapi;
mod policy;
mod preflight;
mod problem;
mod session;
mod site;
mod slaves;
mod socket;
mod sources;
mod spec;
mod submit;
mod tables;
mod transport;
mod tus;
mod ui;
mod upload;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::access::Access;
use crate::config::Config;
use crate::jobs::Jobs;
#[cfg(feature = "broker")]
use crate::jobs::Wanted;
use bodies::Bodies;
use problem::Problem;
use site::Site;
use socket::Sockets;

/// Serves HTTP on `listener` until `shutdown` resolves, then lets requests under way end.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    jobs: Jobs,
    config: &Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let site = Site::new(loopback, &config.http_hosts);
    let (app, sockets) = app(jobs, config.max_http_requests, site, config.access.clone());
    let shutdown = async {
        shutdown.await;
        sockets.stop();
    };
    let app = if config.tls.is_some() { transport::only_by_tls(app) } else { app };
    let served = listen::serve(listener, app, config, shutdown).await;
    sockets.close().await;
    served
}

/// All routes, for at most `max_requests` requests at a time. Public so that a test can call them
/// without a socket.
pub fn router(jobs: Jobs, max_requests: usize) -> Router {
    app(jobs, max_requests, Site::default(), Access::open()).0
}

/// The same, and the sockets that are open.
fn app(jobs: Jobs, max_requests: usize, site: Site, access: Access) -> (Router, Sockets) {
    let places = Arc::new(Semaphore::new(max_requests));
    let bodies = Bodies::new(&jobs, &places);
    let limit = from_fn(move |request: Request, next: Next| {
        let places = Arc::clone(&places);
        async move {
            match places.try_acquire() {
                Ok(_place) => next.run(request).await,
                Err(_) => Problem::busy("as many requests as the master takes are under way")
                    .into_response(),
            }
        }
    });
    let (router, api) = routes().split_for_parts();
    let router = router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", api))
        .route("/docs/http.md", get(docs))
        .merge(ui::routes())
        .merge(session::routes())
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        // Inputs may have any size: they are streamed to the spool and never held in memory.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(formulas::guard))
        .layer(limit)
        .layer(from_fn(metrics::count))
        .with_state(jobs.clone());
    let (router, sockets) = socket::add(router, jobs, access.clone());
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        access::check(access.clone(), request, next)
    }));
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let checked = site.check(&request);
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
    }));
    // Around all else: whoever refuses a request, its body is read.
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        bodies.clone().answer(request, |request| next.run(request))
    }));
    (router.layer(from_fn(policy::add)), sockets)
}

/// The routes that are described in `/openapi.json`.
fn routes() -> OpenApiRouter<Jobs> {
    OpenApiRouter::with_openapi(openapi::Api::openapi())
        .routes(routes!(jobs::list, jobs::submit))
        .routes(routes!(ingests::create))
        .routes(routes!(jobs::get, jobs::delete))
        .routes(routes!(jobs::cancel))
        .routes(routes!(preflight::look))
        .routes(routes!(jobs::tasks))
        .routes(routes!(jobs::history))
        .routes(routes!(events::job))
        .routes(routes!(jobs::result))
        .routes(routes!(jobs::summary))
        .routes(routes!(jobs::rejects))
        .routes(routes!(jobs::receipt))
        .routes(routes!(jobs::repair))
        .routes(routes!(jobs::input))
        .routes(routes!(tus::create))
        .routes(routes!(tus::offset, tus::go_on, tus::end))
        // What tus clients ask first; no part of the description, which has no OPTIONS of its own.
        .route("/api/v1/uploads", options(tus::options))
        .route("/api/v1/uploads/{id}", options(tus::options))
        .routes(routes!(slaves::list))
        .routes(routes!(slaves::trust))
        .routes(routes!(jobs::cluster))
        .routes(routes!(events::cluster))
        .routes(routes!(sources::list))
        .routes(routes!(sources::get))
        .routes(routes!(sources::poll))
        .routes(routes!(metrics::show))
        .routes(routes!(health::health))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(legacy::count))
        .routes(routes!(legacy::result))
        .merge(tables::routes())
}

/// `GET /docs/http.md`: what the types of problems point to.
async fn docs() -> Response {
    let text = HeaderValue::from_static("text/markdown; charset=utf-8");
    ([(header::CONTENT_TYPE, text)], include_str!("../../../docs/http.md")).into_response()
}

/// The job that the query of a submission describes, for those who take the same by other ways.
#[cfg(feature = "broker")]
pub(crate) fn wanted(
    query: &str,
    file_name: Option<String>,
    expected: Option<u64>,
) -> Result<Wanted, String> {
    let params = spec::Params::parse(Some(query)).map_err(Problem::into_detail)?;
    upload::wanted(&params, None, file_name, expected).map_err(Problem::into_detail)
}

/// What every handler is given.
type App = axum::extract::State<Jobs>;

/// What every handler answers.
type Answer = Result<Response, Problem>;
